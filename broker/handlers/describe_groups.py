"""DescribeGroups: a group's state and members and, where asked for, why it rebalanced.

Must never know: what an assignment says. Source: KIP-345, KIP-430, KIP-1043.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import trio

from broker.errors import error_code
from broker.groups.state import State
from broker.groups.waiting import settled
from broker.handlers.authorized import GROUP_OPERATIONS
from protocol.api import describe_groups as api
from protocol.errors import ErrorCode, OttlaError

if TYPE_CHECKING:
    from typing import Any

    from broker.dispatch import RequestContext
    from broker.groups.group import Group
    from broker.groups.history import Cause, Moves, Rebalance
    from broker.groups.hosted import HostedGroup
    from broker.groups.manager import Groups

UNKNOWN_IS_AN_ERROR_SINCE = 6


class DescribeGroupsHandler:
    """Describes the groups that this broker owns."""

    def __init__(self, groups: Groups) -> None:
        self._groups = groups

    async def __call__(
        self, request: api.DescribeGroupsRequest, context: RequestContext
    ) -> api.DescribeGroupsResponse:
        """Answer group by group, each once, and leave others their turn in between."""
        response = api.DescribeGroupsResponse()
        for group_id in dict.fromkeys(request.groups):
            await trio.lowlevel.checkpoint()
            group = await self._describe(group_id, request, version=context.api_version)
            if request.include_authorized_operations and not group.error_code:
                group.authorized_operations = GROUP_OPERATIONS
            response.groups.append(group)
        return response

    async def _describe(
        self, group_id: str, request: api.DescribeGroupsRequest, *, version: int
    ) -> api.DescribedGroup:
        def describe(hosted: HostedGroup | None) -> api.DescribedGroup:
            if hosted is None:
                return _unknown(group_id, version=version)
            described = _described(hosted.group)
            if request.include_history:
                described.history_since_ms = hosted.group.history.since_ms
                described.history = [_rebalance(each) for each in hosted.group.history]
            return described

        try:
            outcome: Any = self._groups.enter(group_id, describe)
            answer: api.DescribedGroup = await settled(outcome)
        except OttlaError as error:
            return api.DescribedGroup(
                error_code=error_code(error), error_message=str(error), group_id=group_id
            )
        return answer


def _unknown(group_id: str, *, version: int) -> api.DescribedGroup:
    described = api.DescribedGroup(group_id=group_id, group_state=State.DEAD.value)
    if version >= UNKNOWN_IS_AN_ERROR_SINCE:
        described.error_code = ErrorCode.GROUP_ID_NOT_FOUND
        described.error_message = f"Group {group_id} not found."
    return described


def _described(group: Group) -> api.DescribedGroup:
    """Describe a group; while it rebalances members have what they were given last."""
    is_stable = group.state is State.STABLE
    return api.DescribedGroup(
        group_id=group.group_id,
        group_state=group.state.value,
        protocol_type=group.protocol_type,
        protocol_data=group.protocol_name if is_stable else "",
        members=[
            api.DescribedGroupMember(
                member_id=member.member_id,
                group_instance_id=member.group_instance_id,
                client_id=member.client_id,
                client_host=member.client_host,
                member_metadata=member.metadata(group.protocol_name) if is_stable else b"",
                member_assignment=member.assignment,
            )
            for member in group.members
        ],
    )


def _rebalance(rebalance: Rebalance) -> api.Rebalance:
    return api.Rebalance(
        generation_id=rebalance.generation_id,
        started_ms=rebalance.started_ms,
        completed_ms=-1 if rebalance.completed_ms is None else rebalance.completed_ms,
        member_count=rebalance.member_count,
        leader_id=rebalance.leader_id,
        protocol_name=rebalance.protocol_name,
        causes=[_cause(each) for each in rebalance.causes],
        moves=[_moves(each) for each in rebalance.moves],
    )


def _cause(cause: Cause) -> api.RebalanceCause:
    return api.RebalanceCause(
        kind=cause.kind.value,
        timestamp_ms=cause.timestamp_ms,
        member_id=cause.member_id,
        group_instance_id=cause.group_instance_id,
        client_id=cause.client_id,
        client_host=cause.client_host,
        heartbeat_age_ms=cause.heartbeat_age_ms,
        session_timeout_ms=cause.session_timeout_ms,
        reason=cause.reason,
    )


def _moves(moves: Moves) -> api.PartitionMoves:
    return api.PartitionMoves(moves.member_id, moves.topic, list(moves.gained), list(moves.lost))


def refuse(
    request: api.DescribeGroupsRequest, code: ErrorCode, message: str
) -> api.DescribeGroupsResponse:
    """Answer with an error for each group."""
    return api.DescribeGroupsResponse(
        groups=[
            api.DescribedGroup(error_code=code, error_message=message, group_id=group_id)
            for group_id in request.groups
        ]
    )
