"""JoinGroup (11): enter a consumer group's next generation. Must never know: groups."""

from __future__ import annotations

from protocol.message import Bool, Bytes, Int16, Int32, String, request, response, struct, wire


@struct
class JoinGroupRequestProtocol:
    """An assignment strategy the member knows, with what it tells the leader."""

    name: String = ""
    metadata: Bytes = b""


@request(key=11, versions=(0, 9), flexible_since=6)
class JoinGroupRequest:
    """A member with an empty `member_id` is new."""

    group_id: String = ""
    session_timeout_ms: Int32 = 0
    rebalance_timeout_ms: Int32 = wire(since=1, default=-1, ignorable=True)
    member_id: String = ""
    group_instance_id: String | None = wire(since=5, default=None)
    protocol_type: String = ""
    protocols: list[JoinGroupRequestProtocol] = wire()
    reason: String | None = wire(since=8, default=None, ignorable=True)


@struct
class JoinGroupResponseMember:
    """A member, told to the leader only."""

    member_id: String = ""
    group_instance_id: String | None = wire(since=5, default=None, ignorable=True)
    metadata: Bytes = b""


@response(key=11, versions=(0, 9), flexible_since=6)
class JoinGroupResponse:
    """The generation, its leader and, for the leader, its members."""

    throttle_time_ms: Int32 = wire(since=2, ignorable=True)
    error_code: Int16 = 0
    generation_id: Int32 = -1
    protocol_type: String | None = wire(since=7, default=None, ignorable=True)
    protocol_name: String | None = wire(nullable_since=7, default="")
    leader: String = ""
    skip_assignment: Bool = wire(since=9)
    member_id: String = ""
    members: list[JoinGroupResponseMember] = wire()
