"""ListGroups (16): the groups that a broker keeps. Must never know: groups.

Source: KIP-518 (states), KIP-848 (types).
"""

from __future__ import annotations

from protocol.message import Int16, Int32, String, request, response, struct, wire


@request(key=16, versions=(0, 5), flexible_since=3)
class ListGroupsRequest:
    """Groups in these states and of these types; an empty filter lets all pass."""

    states_filter: list[String] = wire(since=4)
    types_filter: list[String] = wire(since=5)


@struct
class ListedGroup:
    """One group."""

    group_id: String = ""
    protocol_type: String = ""
    group_state: String = wire(since=4, ignorable=True)
    group_type: String = wire(since=5, ignorable=True)


@response(key=16, versions=(0, 5), flexible_since=3)
class ListGroupsResponse:
    """The groups of the broker that was asked; others have others."""

    throttle_time_ms: Int32 = wire(since=1, ignorable=True)
    error_code: Int16 = 0
    groups: list[ListedGroup] = wire()
