"""DeleteGroups (42): forget empty groups and their offsets. Must never know: groups.

Source: KIP-229.
"""

from __future__ import annotations

from protocol.message import Int16, Int32, String, request, response, struct, wire


@request(key=42, versions=(0, 2), flexible_since=2)
class DeleteGroupsRequest:
    """Which groups."""

    groups_names: list[String] = wire()


@struct
class DeletableGroupResult:
    """The outcome for one group."""

    group_id: String = ""
    error_code: Int16 = 0


@response(key=42, versions=(0, 2), flexible_since=2)
class DeleteGroupsResponse:
    """The outcome, group by group."""

    throttle_time_ms: Int32 = 0
    results: list[DeletableGroupResult] = wire()
