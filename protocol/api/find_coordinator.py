"""FindCoordinator (10): which broker keeps a group or a transaction. Must never know: groups."""

from __future__ import annotations

from protocol.message import Int8, Int16, Int32, String, request, response, struct, wire


@request(key=10, versions=(0, 6), flexible_since=3)
class FindCoordinatorRequest:
    """`key_type` is 0 for groups, 1 for transactions; several keys at once from version 4."""

    key: String = wire(until=3)
    key_type: Int8 = wire(since=1)
    coordinator_keys: list[String] = wire(since=4)


@struct
class Coordinator:
    """The broker of one key (from version 4)."""

    key: String = ""
    node_id: Int32 = 0
    host: String = ""
    port: Int32 = 0
    error_code: Int16 = 0
    error_message: String | None = ""


@response(key=10, versions=(0, 6), flexible_since=3)
class FindCoordinatorResponse:
    """The broker of the one key until version 3, of every key in `coordinators` after."""

    throttle_time_ms: Int32 = wire(since=1, ignorable=True)
    error_code: Int16 = wire(until=3)
    error_message: String | None = wire(since=1, until=3, nullable_since=1, ignorable=True)
    node_id: Int32 = wire(until=3)
    host: String = wire(until=3)
    port: Int32 = wire(until=3)
    coordinators: list[Coordinator] = wire(since=4)
