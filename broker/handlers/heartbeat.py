"""Heartbeat: a member says that it lives. Must never know: what follows where it does not."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import trio

from broker.groups.errors import UnknownMember
from broker.groups.living import heartbeat
from broker.groups.waiting import Deferred
from protocol.api.heartbeat import HeartbeatResponse

if TYPE_CHECKING:
    from collections.abc import Coroutine
    from typing import Any

    from broker.dispatch import RequestContext
    from broker.groups.hosted import HostedGroup
    from broker.groups.manager import Groups
    from protocol.api.heartbeat import HeartbeatRequest
    from protocol.errors import ErrorCode


class HeartbeatHandler:
    """Takes note of heartbeats."""

    def __init__(self, groups: Groups) -> None:
        self._groups = groups

    def __call__(
        self, request: HeartbeatRequest, _context: RequestContext
    ) -> HeartbeatResponse | Coroutine[Any, Any, HeartbeatResponse]:
        """Answer at once where the group is at hand."""
        outcome = self._groups.enter(request.group_id, partial(_note, request))
        return outcome.wait() if isinstance(outcome, Deferred) else outcome


def _note(request: HeartbeatRequest, hosted: HostedGroup | None) -> HeartbeatResponse:
    if hosted is None:
        raise UnknownMember(request.member_id)
    heartbeat(
        hosted.group,
        request.member_id,
        request.group_instance_id,
        request.generation_id,
        now=trio.current_time(),
    )
    return HeartbeatResponse()


def refuse(_request: HeartbeatRequest, code: ErrorCode, _message: str) -> HeartbeatResponse:
    """Answer with an error."""
    return HeartbeatResponse(error_code=code)
