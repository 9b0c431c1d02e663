"""SyncGroup (14): the leader tells the assignment, every member gets its own.

Must never know: groups, what an assignment says.
"""

from __future__ import annotations

from protocol.message import Bytes, Int16, Int32, String, request, response, struct, wire


@struct
class SyncGroupRequestAssignment:
    """What the leader gives one member."""

    member_id: String = ""
    assignment: Bytes = b""


@request(key=14, versions=(0, 5), flexible_since=4)
class SyncGroupRequest:
    """Only the leader sends `assignments`."""

    group_id: String = ""
    generation_id: Int32 = 0
    member_id: String = ""
    group_instance_id: String | None = wire(since=3, default=None)
    protocol_type: String | None = wire(since=5, default=None, ignorable=True)
    protocol_name: String | None = wire(since=5, default=None, ignorable=True)
    assignments: list[SyncGroupRequestAssignment] = wire()


@response(key=14, versions=(0, 5), flexible_since=4)
class SyncGroupResponse:
    """The member's own assignment."""

    throttle_time_ms: Int32 = wire(since=1, ignorable=True)
    error_code: Int16 = 0
    protocol_type: String | None = wire(since=5, default=None, ignorable=True)
    protocol_name: String | None = wire(since=5, default=None, ignorable=True)
    assignment: Bytes = b""
