"""DeleteGroups: groups without members are forgotten, their offsets included.

Must never know: how they are kept. Source: KIP-229.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import trio

from broker.errors import error_code
from broker.groups.errors import GroupUnknown
from broker.groups.waiting import settled
from broker.handlers.offset_commit import COMMIT_TIMEOUT_S
from protocol.api.delete_groups import DeletableGroupResult, DeleteGroupsResponse
from protocol.errors import ErrorCode, OttlaError

if TYPE_CHECKING:
    from broker.dispatch import RequestContext
    from broker.groups.hosted import HostedGroup
    from broker.groups.manager import Groups
    from coordinator.groups.writer import Write
    from protocol.api.delete_groups import DeleteGroupsRequest


class DeleteGroupsHandler:
    """Forgets groups."""

    def __init__(self, groups: Groups) -> None:
        self._groups = groups

    async def __call__(
        self, request: DeleteGroupsRequest, _context: RequestContext
    ) -> DeleteGroupsResponse:
        """Answer group by group, once each is gone for good."""
        return DeleteGroupsResponse(
            results=[
                DeletableGroupResult(group_id, await self._delete(group_id))
                for group_id in dict.fromkeys(request.groups_names)
            ]
        )

    async def _delete(self, group_id: str) -> ErrorCode:
        with trio.move_on_after(COMMIT_TIMEOUT_S):
            try:
                write = await settled(self._groups.enter(group_id, _delete))
                await write.wait()
            except OttlaError as error:
                return error_code(error)
            return ErrorCode.NONE
        return ErrorCode.COORDINATOR_NOT_AVAILABLE


def _delete(hosted: HostedGroup | None) -> Write:
    if hosted is None:
        raise GroupUnknown("there is no such group")
    return hosted.delete()


def refuse(request: DeleteGroupsRequest, code: ErrorCode, _message: str) -> DeleteGroupsResponse:
    """Answer with an error for each group."""
    return DeleteGroupsResponse(
        results=[DeletableGroupResult(group_id, code) for group_id in request.groups_names]
    )
