"""LeaveGroup: members go, by their own wish or an administrator's.

Must never know: what follows. Source: KIP-345 (several at once, by instance id), KIP-800 (reasons).
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import trio

from broker.groups.errors import UnknownMember
from broker.groups.waiting import Deferred
from protocol.api.leave_group import LeaveGroupResponse, MemberIdentity, MemberResponse
from protocol.errors import ErrorCode, RequestError

if TYPE_CHECKING:
    from collections.abc import Coroutine
    from typing import Any

    from broker.dispatch import RequestContext
    from broker.groups.hosted import HostedGroup
    from broker.groups.manager import Groups
    from protocol.api.leave_group import LeaveGroupRequest

SEVERAL_SINCE = 3


class LeaveGroupHandler:
    """Lets members go."""

    def __init__(self, groups: Groups) -> None:
        self._groups = groups

    def __call__(
        self, request: LeaveGroupRequest, context: RequestContext
    ) -> LeaveGroupResponse | Coroutine[Any, Any, LeaveGroupResponse]:
        """Answer at once where the group is at hand."""
        act = (
            partial(_let_go, request.members)
            if context.api_version >= SEVERAL_SINCE
            else partial(_let_one_go, request.member_id)
        )
        outcome = self._groups.enter(request.group_id, act)
        return outcome.wait() if isinstance(outcome, Deferred) else outcome


def _let_go(members: list[MemberIdentity], hosted: HostedGroup | None) -> LeaveGroupResponse:
    return LeaveGroupResponse(members=[_leave(member, hosted) for member in members])


def _let_one_go(member_id: str, hosted: HostedGroup | None) -> LeaveGroupResponse:
    return LeaveGroupResponse(error_code=_leave(MemberIdentity(member_id), hosted).error_code)


def _leave(member: MemberIdentity, hosted: HostedGroup | None) -> MemberResponse:
    answer = MemberResponse(member.member_id, member.group_instance_id)
    try:
        if hosted is None:
            raise UnknownMember(member.member_id)
        hosted.leave(
            member.member_id,
            member.group_instance_id,
            reason=member.reason,
            now=trio.current_time(),
        )
    except RequestError as error:
        answer.error_code = error.code
    return answer


def refuse(_request: LeaveGroupRequest, code: ErrorCode, _message: str) -> LeaveGroupResponse:
    """Answer with an error for the whole request."""
    return LeaveGroupResponse(error_code=code)
