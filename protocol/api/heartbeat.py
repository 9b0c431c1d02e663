"""Heartbeat (12): a member says that it lives. Must never know: groups."""

from __future__ import annotations

from protocol.message import Int16, Int32, String, request, response, wire


@request(key=12, versions=(0, 4), flexible_since=4)
class HeartbeatRequest:
    """Who lives, in which generation."""

    group_id: String = ""
    generation_id: Int32 = 0
    member_id: String = ""
    group_instance_id: String | None = wire(since=3, default=None)


@response(key=12, versions=(0, 4), flexible_since=4)
class HeartbeatResponse:
    """An error tells the member to rejoin."""

    throttle_time_ms: Int32 = wire(since=1, ignorable=True)
    error_code: Int16 = 0
