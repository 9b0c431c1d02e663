"""ListGroups: the groups that this broker owns. Must never know: their members.

Source: KIP-518 (states), KIP-848 (types).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from protocol.api.list_groups import ListedGroup, ListGroupsResponse

if TYPE_CHECKING:
    from broker.dispatch import RequestContext
    from broker.groups.manager import Groups
    from protocol.api.list_groups import ListGroupsRequest
    from protocol.errors import ErrorCode

CLASSIC: Final = "classic"
"""The type of all groups here; Kafka also has those of KIP-848."""


class ListGroupsHandler:
    """Lists groups."""

    def __init__(self, groups: Groups) -> None:
        self._groups = groups

    async def __call__(
        self, request: ListGroupsRequest, _context: RequestContext
    ) -> ListGroupsResponse:
        """Answer with those that pass the filters, which do not look at case."""
        states = {state.casefold() for state in request.states_filter}
        types = {kind.casefold() for kind in request.types_filter}
        if types and CLASSIC not in types:
            return ListGroupsResponse()
        return ListGroupsResponse(
            groups=[
                ListedGroup(
                    group_id=hosted.group.group_id,
                    protocol_type=hosted.group.protocol_type,
                    group_state=hosted.group.state.value,
                    group_type=CLASSIC,
                )
                for hosted in await self._groups.hosted()
                if not states or hosted.group.state.value.casefold() in states
            ]
        )


def refuse(_request: ListGroupsRequest, code: ErrorCode, _message: str) -> ListGroupsResponse:
    """Answer with an error and no groups."""
    return ListGroupsResponse(error_code=code)
