"""Groups: which there are, who their members are and why they rebalanced; forgetting them.

Must never know: how members share out partitions, committed offsets.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from msgspec import Struct

from client.admin.base import AdminBase, refused
from client.admin.rounds import BrokerRouter, GroupRouter, Rounds
from client.group_descriptions import (
    GroupDescription,
    GroupHistory,
    GroupMember,
    ListedGroup,
    PartitionMoves,
    Rebalance,
    RebalanceCause,
)
from client.records import TopicPartition
from protocol.api.delete_groups import DeleteGroupsRequest
from protocol.api.describe_groups import DescribeGroupsRequest
from protocol.api.list_groups import ListGroupsRequest
from protocol.consumer_protocol import PROTOCOL_TYPE, decode_assignment
from protocol.errors import ErrorCode, ProtocolError, RequestError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from protocol.api import describe_groups as wire
    from protocol.api.delete_groups import DeleteGroupsResponse
    from protocol.api.list_groups import ListGroupsResponse

_DEAD: Final = "Dead"
"""The state in which older brokers describe a group that there is not."""


class Done(Struct, frozen=True):
    """Stands for what went well and has nothing to tell."""


class GroupAdmin(AdminBase):
    """The admin's part for groups."""

    async def list_groups(
        self, *, states: Iterable[str] = (), kinds: Iterable[str] = ()
    ) -> tuple[ListedGroup, ...]:
        """List the groups of all brokers, by name; only those in a state or of a kind where given.

        Raises: NoBrokerReachable, RequestError, UnsupportedApi, WaitTimedOut.
        """
        cluster = self._cluster
        request = ListGroupsRequest(states_filter=list(states), types_filter=list(kinds))

        async def question(
            broker_id: int, _: list[int]
        ) -> dict[int, tuple[ListedGroup, ...] | RequestError]:
            response: ListGroupsResponse = await cluster.call(broker_id, request)
            answer = refused(response, f"listing the groups of broker {broker_id}")
            return {broker_id: answer or _listed(response, broker_id)}

        rounds = Rounds(cluster, BrokerRouter(cluster), timeout_s=self.config.timeout_s)
        found: dict[str, ListedGroup] = {}
        for answer in (await rounds.ask(await self._live_brokers(), question)).values():
            if isinstance(answer, RequestError):
                if answer.code is ErrorCode.BROKER_NOT_AVAILABLE:
                    continue  # it has gone since, and others keep its groups
                raise answer
            found |= {group.group_id: group for group in answer}
        return tuple(found[group_id] for group_id in sorted(found))

    async def describe_groups(
        self, group_ids: Iterable[str], *, with_history: bool = False
    ) -> dict[str, GroupDescription | RequestError]:
        """Describe groups, each as its own broker knows it, with their last rebalances if asked.

        Raises: UnsupportedApi, WaitTimedOut.
        """

        async def question(
            broker_id: int, group_ids: list[str]
        ) -> dict[str, GroupDescription | RequestError]:
            request = DescribeGroupsRequest(groups=group_ids, include_history=with_history)
            response: wire.DescribeGroupsResponse = await self._cluster.call(broker_id, request)
            return {
                group.group_id: _refusal_of(group) or _description(group, broker_id)
                for group in response.groups
            }

        return await self._group_rounds().ask(group_ids, question)

    async def delete_groups(self, group_ids: Iterable[str]) -> dict[str, RequestError | None]:
        """Forget groups without members, and what they committed; why not, by name.

        Raises: ConnectionBroken (the outcome is unknown), UnsupportedApi, WaitTimedOut.
        """

        async def question(broker_id: int, group_ids: list[str]) -> dict[str, Done | RequestError]:
            response: DeleteGroupsResponse = await self._cluster.call(
                broker_id, DeleteGroupsRequest(groups_names=group_ids)
            )
            return {
                result.group_id: refused(result, f"deleting group {result.group_id!r}") or Done()
                for result in response.results
            }

        answers = await self._group_rounds().ask(group_ids, question, repeatable=False)
        return {
            group_id: answer if isinstance(answer, RequestError) else None
            for group_id, answer in answers.items()
        }

    def _group_rounds(self) -> Rounds[str]:
        router = GroupRouter(self._coordinators)
        return Rounds(self._cluster, router, timeout_s=self.config.timeout_s)


def _listed(response: ListGroupsResponse, broker_id: int) -> tuple[ListedGroup, ...]:
    return tuple(
        ListedGroup(
            group.group_id, group.protocol_type, group.group_state, group.group_type, broker_id
        )
        for group in response.groups
    )


def _refusal_of(group: wire.DescribedGroup) -> RequestError | None:
    what = f"describing group {group.group_id!r}"
    if group.group_state == _DEAD and not group.error_code:
        return RequestError.of(ErrorCode.GROUP_ID_NOT_FOUND, f"{what}: there is no such group")
    return refused(group, what)


def _description(
    group: wire.DescribedGroup, coordinator_id: int
) -> GroupDescription | RequestError:
    """Translate a group; its members' assignments are their leader's and may be anything."""
    try:
        members = tuple(_member(member, group.protocol_type) for member in group.members)
    except ProtocolError as error:
        return RequestError.of(
            ErrorCode.INCONSISTENT_GROUP_PROTOCOL,
            f"describing group {group.group_id!r}: its leader gave out what no consumer reads:"
            f" {error}",
        )
    history = None
    if group.history_since_ms:
        history = GroupHistory(group.history_since_ms, tuple(map(_rebalance, group.history)))
    return GroupDescription(
        group.group_id,
        group.group_state,
        group.protocol_type,
        group.protocol_data,
        coordinator_id,
        members,
        history,
    )


def _member(member: wire.DescribedGroupMember, protocol_type: str) -> GroupMember:
    is_consumer = protocol_type == PROTOCOL_TYPE
    return GroupMember(
        member.member_id,
        member.group_instance_id,
        member.client_id,
        member.client_host.removeprefix("/"),
        _assignment(member.member_assignment) if is_consumer else (),
    )


def _assignment(data: bytes) -> tuple[TopicPartition, ...]:
    """Read what a member was assigned. Raises: ProtocolError."""
    return tuple(
        sorted(
            TopicPartition(topic.topic, partition)
            for topic in decode_assignment(data).assigned_partitions
            for partition in topic.partitions
        )
    )


def _rebalance(rebalance: wire.Rebalance) -> Rebalance:
    return Rebalance(
        rebalance.generation_id,
        rebalance.started_ms,
        rebalance.completed_ms,
        rebalance.member_count,
        rebalance.leader_id,
        rebalance.protocol_name,
        tuple(
            RebalanceCause(
                cause.kind,
                cause.timestamp_ms,
                cause.member_id,
                cause.group_instance_id,
                cause.client_id,
                cause.client_host.removeprefix("/"),
                cause.heartbeat_age_ms,
                cause.session_timeout_ms,
                cause.reason,
            )
            for cause in rebalance.causes
        ),
        tuple(
            PartitionMoves(move.member_id, move.topic, tuple(move.gained), tuple(move.lost))
            for move in rebalance.moves
        ),
    )
