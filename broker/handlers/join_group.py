"""JoinGroup: a member comes, or comes again; answered when the next generation is complete.

Must never know: when that is. Source: KIP-345, KIP-394, KIP-559, KIP-800, KIP-814.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, TypeAlias

import trio

from broker.groups.errors import MemberIdRequired, UnknownMember
from broker.groups.joining import can_join, check_joining
from broker.groups.member import Joined, Joining
from broker.groups.waiting import settled
from broker.handlers.client_host import client_host
from protocol.api.join_group import JoinGroupResponse, JoinGroupResponseMember
from protocol.errors import RequestError

if TYPE_CHECKING:
    from collections.abc import Coroutine
    from typing import Any

    from broker.dispatch import RequestContext
    from broker.groups.group import GroupRules
    from broker.groups.hosted import HostedGroup
    from broker.groups.manager import Groups
    from broker.groups.waiting import Deferred, WaitingReply
    from protocol.api.join_group import JoinGroupRequest
    from protocol.errors import ErrorCode

REBALANCE_TIMEOUT_SINCE = 1
MEMBER_IDS_SINCE = 4
NO_PROTOCOL_SINCE = 7
SKIPPING_SINCE = 9


class JoinGroupHandler:
    """Lets members into groups."""

    def __init__(self, groups: Groups) -> None:
        self._groups = groups

    def __call__(
        self, request: JoinGroupRequest, context: RequestContext
    ) -> Coroutine[Any, Any, JoinGroupResponse]:
        """Answer once the group's next generation is complete, or at once where none is needed."""
        joining, rules = _read(request, context), self._groups.rules()
        act = partial(_begin, joining, rules)
        # Who has a member id has a group; where that is gone it starts over without one. Who could
        # not join any has none made.
        outcome: _Begun
        try:
            outcome = self._groups.enter(
                request.group_id, act, create=not request.member_id and can_join(joining, rules)
            )
        except RequestError as error:
            outcome = error
        return _finish(request, outcome, version=context.api_version)


_Begun: TypeAlias = "WaitingReply | Deferred[WaitingReply] | RequestError"


def _begin(joining: Joining, rules: GroupRules, hosted: HostedGroup | None) -> WaitingReply:
    if hosted is None:
        check_joining(joining, rules)
        raise UnknownMember(joining.member_id)
    return hosted.join(joining, now=trio.current_time())


async def _finish(request: JoinGroupRequest, outcome: _Begun, *, version: int) -> JoinGroupResponse:
    try:
        if isinstance(outcome, RequestError):
            raise outcome
        joined = await (await settled(outcome)).wait()
    except RequestError as error:
        response = refuse(request, error.code, str(error))
        response.protocol_name = None if version >= NO_PROTOCOL_SINCE else ""
        if isinstance(error, MemberIdRequired):
            response.member_id = error.member_id
        return response
    assert isinstance(joined, Joined), "a join is answered with a generation"
    return JoinGroupResponse(
        generation_id=joined.generation_id,
        protocol_type=joined.protocol_type,
        protocol_name=joined.protocol_name,
        leader=joined.leader_id,
        skip_assignment=joined.skip_assignment,
        member_id=joined.member_id,
        members=[JoinGroupResponseMember(*member) for member in joined.members],
    )


def _read(request: JoinGroupRequest, context: RequestContext) -> Joining:
    version = context.api_version
    return Joining(
        member_id=request.member_id,
        group_instance_id=request.group_instance_id,
        client_id=context.client_id or "",
        client_host=client_host(context),
        session_timeout_ms=request.session_timeout_ms,
        rebalance_timeout_ms=max(request.rebalance_timeout_ms, 0)
        if version >= REBALANCE_TIMEOUT_SINCE
        else request.session_timeout_ms,
        protocol_type=request.protocol_type,
        protocols=tuple((each.name, each.metadata) for each in request.protocols),
        reason=request.reason,
        needs_member_id=version >= MEMBER_IDS_SINCE,
        may_skip_assignment=version >= SKIPPING_SINCE,
    )


def refuse(request: JoinGroupRequest, code: ErrorCode, _message: str) -> JoinGroupResponse:
    """Answer with an error; the member keeps the id that it has."""
    return JoinGroupResponse(error_code=code, protocol_name="", member_id=request.member_id)
