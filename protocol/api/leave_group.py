"""LeaveGroup (13): members go; several at once from version 3. Must never know: groups."""

from __future__ import annotations

from protocol.message import Int16, Int32, String, request, response, struct, wire


@struct
class MemberIdentity:
    """A member that goes (from version 3)."""

    member_id: String = ""
    group_instance_id: String | None = None
    reason: String | None = wire(since=5, default=None, ignorable=True)


@request(key=13, versions=(0, 5), flexible_since=4)
class LeaveGroupRequest:
    """One member in `member_id` until version 2, `members` after."""

    group_id: String = ""
    member_id: String = wire(until=2)
    members: list[MemberIdentity] = wire(since=3)


@struct
class MemberResponse:
    """The outcome for one member (from version 3)."""

    member_id: String = ""
    group_instance_id: String | None = ""
    error_code: Int16 = 0


@response(key=13, versions=(0, 5), flexible_since=4)
class LeaveGroupResponse:
    """The outcome, member by member from version 3."""

    throttle_time_ms: Int32 = wire(since=1, ignorable=True)
    error_code: Int16 = 0
    members: list[MemberResponse] = wire(since=3)
