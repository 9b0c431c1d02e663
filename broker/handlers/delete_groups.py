"""DeleteGroups: groups without members are forgotten, their offsets included.

Must never know: how they are kept. Source: KIP-229.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

import trio

from broker.groups.errors import GroupUnknown
from broker.groups.waiting import STORE_TIMEOUT_S, settled
from protocol.api.delete_groups import DeletableGroupResult, DeleteGroupsResponse
from protocol.errors import CoordinationError, ErrorCode, RequestError

if TYPE_CHECKING:
    from broker.dispatch import RequestContext
    from broker.groups.hosted import HostedGroup
    from broker.groups.manager import Groups
    from broker.groups.waiting import Deferred
    from coordinator.groups.queue import Write
    from protocol.api.delete_groups import DeleteGroupsRequest


class DeleteGroupsHandler:
    """Forgets groups."""

    def __init__(self, groups: Groups) -> None:
        self._groups = groups

    async def __call__(
        self, request: DeleteGroupsRequest, _context: RequestContext
    ) -> DeleteGroupsResponse:
        """Answer group by group, once each is gone for good."""
        begun = {
            group_id: self._begin(group_id) for group_id in dict.fromkeys(request.groups_names)
        }
        response = DeleteGroupsResponse()
        give_up_at = trio.current_time() + STORE_TIMEOUT_S
        for group_id, outcome in begun.items():
            code = ErrorCode.COORDINATOR_NOT_AVAILABLE
            with trio.move_on_at(give_up_at):
                code = await _finish(outcome)
            response.results.append(DeletableGroupResult(group_id, code))
        return response

    def _begin(self, group_id: str) -> _Begun:
        try:
            return self._groups.enter(group_id, _delete)
        except RequestError as error:
            return error


_Begun: TypeAlias = "Write | Deferred[Write] | RequestError"


async def _finish(outcome: _Begun) -> ErrorCode:
    try:
        if isinstance(outcome, RequestError):
            raise outcome
        await (await settled(outcome)).wait()
    except RequestError as error:
        return error.code
    except CoordinationError:
        return ErrorCode.COORDINATOR_NOT_AVAILABLE
    return ErrorCode.NONE


def _delete(hosted: HostedGroup | None) -> Write:
    if hosted is None:
        raise GroupUnknown("there is no such group")
    return hosted.delete()


def refuse(request: DeleteGroupsRequest, code: ErrorCode, _message: str) -> DeleteGroupsResponse:
    """Answer with an error for each group."""
    return DeleteGroupsResponse(
        results=[DeletableGroupResult(group_id, code) for group_id in request.groups_names]
    )
