"""SyncGroup: the leader brings the assignment, every member gets its own once that is stored.

Must never know: what an assignment says. Source: KIP-345, KIP-559.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import trio

from broker.groups.errors import InconsistentProtocol, UnknownMember
from broker.groups.member import Synced, Syncing
from broker.groups.waiting import settled
from protocol.api.sync_group import SyncGroupResponse

if TYPE_CHECKING:
    from collections.abc import Coroutine
    from typing import Any

    from broker.dispatch import RequestContext
    from broker.groups.hosted import HostedGroup
    from broker.groups.manager import Groups
    from broker.groups.waiting import Deferred, WaitingReply
    from protocol.api.sync_group import SyncGroupRequest
    from protocol.errors import ErrorCode

PROTOCOL_SINCE = 5


class SyncGroupHandler:
    """Hands assignments out."""

    def __init__(self, groups: Groups) -> None:
        self._groups = groups

    def __call__(
        self, request: SyncGroupRequest, context: RequestContext
    ) -> Coroutine[Any, Any, SyncGroupResponse]:
        """Answer once the leader's assignment is stored."""
        if context.api_version >= PROTOCOL_SINCE and None in (
            request.protocol_type,
            request.protocol_name,
        ):
            raise InconsistentProtocol("protocol type and name have to be told since version 5")
        return _finish(self._groups.enter(request.group_id, partial(_begin, request)))


def _begin(request: SyncGroupRequest, hosted: HostedGroup | None) -> WaitingReply:
    if hosted is None:
        raise UnknownMember(request.member_id)
    syncing = Syncing(
        request.member_id,
        request.group_instance_id,
        request.generation_id,
        {each.member_id: each.assignment for each in request.assignments},
        request.protocol_type,
        request.protocol_name,
    )
    return hosted.sync(syncing, now=trio.current_time())


async def _finish(outcome: WaitingReply | Deferred[WaitingReply]) -> SyncGroupResponse:
    synced = await (await settled(outcome)).wait()
    assert isinstance(synced, Synced), "a sync is answered with an assignment"
    return SyncGroupResponse(
        protocol_type=synced.protocol_type,
        protocol_name=synced.protocol_name,
        assignment=synced.assignment,
    )


def refuse(_request: SyncGroupRequest, code: ErrorCode, _message: str) -> SyncGroupResponse:
    """Answer with an error."""
    return SyncGroupResponse(error_code=code)
