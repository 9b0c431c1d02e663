"""Joining a generation: JoinGroup, dividing the partitions where one is told to lead, SyncGroup.

Must never know: when to join, what the application does with its partitions.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, Final

import trio
from msgspec import Struct

from client.errors import ConnectionBroken, UnsupportedApi, error_code, refusal
from client.group.assignor import Held, RebalanceProtocol, by_topic, places_assigned
from client.group.assignors import common_protocol
from client.group.leader import (
    count_assigned,
    divide,
    partitions_to_divide,
    read_subscribers,
    topics_of,
)
from client.group.verdicts import Verdict
from client.pool import Lane
from client.records import GroupMetadata, TopicPartition
from protocol.api import ApiKey
from protocol.api.describe_groups import DescribeGroupsRequest, DescribeGroupsResponse
from protocol.api.join_group import JoinGroupRequest, JoinGroupRequestProtocol, JoinGroupResponse
from protocol.api.sync_group import (
    SyncGroupRequest,
    SyncGroupRequestAssignment,
    SyncGroupResponse,
)
from protocol.consumer_protocol import (
    PROTOCOL_TYPE,
    ConsumerProtocolSubscription,
    encode_subscription,
)
from protocol.errors import ErrorCode

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from client.cluster import Cluster
    from client.group.assignor import Assignor
    from client.group.broker import GroupBroker
    from client.group.membership import Membership
    from client.group.signal import Signal
    from client.group.topics import GroupTopics
    from protocol.errors import ProtocolError

_log = logging.getLogger(__name__)

REFUSALS: Final = {
    ErrorCode.GROUP_MAX_SIZE_REACHED: "it is full (group.max.size of its broker)",
    ErrorCode.INCONSISTENT_GROUP_PROTOCOL: (
        "its members share no assignor with this one: name one that all of them know"
    ),
    ErrorCode.INVALID_SESSION_TIMEOUT: (
        "session_timeout_s is outside of its broker's group.min.session.timeout.ms and "
        "group.max.session.timeout.ms"
    ),
}
"""What to tell of refusals to which brokers add no sentence."""

JOIN_MARGIN_S: Final = 5.0
"""How much longer than the rebalance timeout a JoinGroup is waited for, as in Java."""


class MemberOptions(Struct, frozen=True):
    """How a member behaves; `assignors` in order of preference, times in seconds."""

    session_timeout_s: float
    heartbeat_interval_s: float
    max_poll_interval_s: float
    assignors: tuple[Assignor, ...]
    rack_id: str | None

    @property
    def protocol(self) -> RebalanceProtocol:
        """Return what the member gives up before it joins."""
        return common_protocol(self.assignors)


class Joiner:
    """Takes one membership from one generation into the next."""

    def __init__(
        self,
        cluster: Cluster,
        broker: GroupBroker,
        membership: Membership,
        options: MemberOptions,
        *,
        signal: Signal,
    ) -> None:
        self._cluster = cluster
        self._broker = broker
        self._membership = membership
        self._options = options
        self._signal = signal
        self._held = Held()
        self._unreadable: set[str] = set()

    async def join(
        self, topics: GroupTopics, owned: Sequence[TopicPartition]
    ) -> frozenset[TopicPartition] | None:
        """Join once; return what is assigned, None where the join has to begin anew.

        Raises: ConnectionBroken, NoBrokerReachable (it may be tried again), OttlaError, final.
        """
        answer = await self._enter_generation(topics, owned)
        if answer is None:
            return None
        assignments = await self._lead(topics, answer) if self._membership.is_leader else []
        places = await self._sync(assignments)
        if places is None:
            return None
        self._held = Held(places, self._membership.identity.generation_id)
        if not all(topics.subscription.wants(place.topic) for place in places):
            self._membership.ask_to_join("the assignment does not match the subscription")
            return None
        return frozenset(places)

    async def _enter_generation(
        self, topics: GroupTopics, owned: Sequence[TopicPartition]
    ) -> JoinGroupResponse | None:
        reason, losses = self._membership.begin_join(), self._membership.losses
        subscribed = topics.note_joined()
        while True:
            asked_as = self._membership.identity
            request = self._join_request(asked_as, subscribed, owned, reason)
            answer: JoinGroupResponse = await self._ask_and_wait(request)
            if self._membership.identity != asked_as or self._membership.losses != losses:
                return None  # left, or thrown out, while the others were waited for
            code = error_code(answer.error_code)
            verdict = self._membership.answered(
                ApiKey.JOIN_GROUP, code, asked_as=asked_as, member_id=answer.member_id
            )
            if verdict is Verdict.DONE:
                self._begin_generation(answer)
                return answer
            if verdict is not Verdict.NAMED:
                self._act_on(verdict, code, "joining")
                return None

    def _join_request(
        self,
        member: GroupMetadata,
        subscribed: Sequence[str],
        owned: Sequence[TopicPartition],
        reason: str,
    ) -> JoinGroupRequest:
        protocols = []
        for assignor in self._options.assignors:
            subscription = ConsumerProtocolSubscription(
                list(subscribed),
                assignor.user_data(self._held),
                by_topic(owned),
                member.generation_id,
                self._options.rack_id,
            )
            metadata = encode_subscription(subscription)
            protocols.append(JoinGroupRequestProtocol(assignor.name, metadata))
        return JoinGroupRequest(
            member.group_id,
            _ms(self._options.session_timeout_s),
            _ms(self._options.max_poll_interval_s),
            member.member_id,
            member.group_instance_id,
            PROTOCOL_TYPE,
            protocols,
            reason,
        )

    def _begin_generation(self, answer: JoinGroupResponse) -> None:
        """Take in that a generation began. Raises: RequestError where it is not one for us."""
        group_id = self._broker.group_id
        names = [assignor.name for assignor in self._options.assignors]
        if (answer.protocol_type or PROTOCOL_TYPE) != PROTOCOL_TYPE:
            raise refusal(
                ErrorCode.INCONSISTENT_GROUP_PROTOCOL,
                f"group {group_id!r} is one of {answer.protocol_type!r}, not of consumers",
            )
        if answer.protocol_name not in names:
            raise refusal(
                ErrorCode.INCONSISTENT_GROUP_PROTOCOL,
                f"group {group_id!r} uses the assignor {answer.protocol_name!r}, not {names}",
            )
        self._membership.joined(
            answer.member_id,
            answer.generation_id,
            assignor_name=answer.protocol_name,
            is_leader=answer.leader == answer.member_id,
        )
        self._signal.notify()

    async def _lead(
        self, topics: GroupTopics, answer: JoinGroupResponse
    ) -> list[SyncGroupRequestAssignment]:
        """Divide the partitions of all topics of the group among its members."""
        subscribers, unreadable = read_subscribers(answer.members)
        self._warn_of(unreadable)
        before, metadata = topics.followed, self._cluster.metadata
        topics.lead(topics_of(subscribers))
        followed = topics.followed or frozenset()
        # Whoever leads without having heard of a topic would find it changed a moment later.
        if topics.followed != before or not all(map(metadata.has_heard_of, followed)):
            self._cluster.follow(topics.followed)
            await self._cluster.refresh()
        topics.update(self._cluster.metadata, trio.current_time())
        if answer.skip_assignment:
            # A static leader that came back: everybody keeps what they have (KIP-814). But what
            # changed since that was divided nobody may have noticed: the leader was away.
            topics.note_assigned_before(await self._find_assigned())
            if (reason := topics.reason_to_rejoin()) is not None:
                self._membership.ask_to_join(reason)
            return []
        counts = topics.note_assigned()
        (assignor,) = (a for a in self._options.assignors if a.name == answer.protocol_name)
        partitions = partitions_to_divide(counts, self._cluster.metadata)
        return divide(assignor, subscribers, partitions)

    async def _find_assigned(self) -> dict[str, int]:
        """Ask how many partitions of each topic the members have; none where nobody says."""
        request = DescribeGroupsRequest(groups=[self._broker.group_id])
        try:
            answer: DescribeGroupsResponse = await self._broker.ask(lambda _: request)
        except (ConnectionBroken, UnsupportedApi) as error:
            self._cluster.last_error = error
            return {}
        return count_assigned(answer.groups[0]) if answer.groups else {}

    def _warn_of(self, unreadable: Mapping[str, ProtocolError]) -> None:
        """Tell once of each member that gets nothing because nobody knows what it wants."""
        for member_id, error in unreadable.items():
            if member_id not in self._unreadable:
                _log.warning(
                    "member %r of group %r gets no partition, its subscription cannot be read"
                    " (%s): see which client it is",
                    member_id,
                    self._broker.group_id,
                    error,
                )
        self._unreadable = {*unreadable}

    async def _sync(
        self, assignments: list[SyncGroupRequestAssignment]
    ) -> tuple[TopicPartition, ...] | None:
        """Ask for the member's own assignment; None where the join has to begin anew."""
        backoff = self._cluster.backoff()
        asked_as = self._membership.identity
        request = SyncGroupRequest(
            asked_as.group_id,
            asked_as.generation_id,
            asked_as.member_id,
            asked_as.group_instance_id,
            PROTOCOL_TYPE,
            self._membership.assignor_name,
            assignments,
        )
        while self._membership.identity == asked_as:
            verdict = Verdict.AGAIN
            try:
                answer: SyncGroupResponse = await self._ask_and_wait(request)
            except ConnectionBroken as error:
                self._cluster.last_error = error
            else:
                if self._membership.identity != asked_as:
                    break
                code = error_code(answer.error_code)
                verdict = self._membership.answered(ApiKey.SYNC_GROUP, code, asked_as=asked_as)
                if verdict is Verdict.DONE:
                    places = places_assigned(answer.assignment)
                    self._membership.synced()
                    return places
                self._act_on(verdict, code, "syncing with")
            if verdict not in {Verdict.AGAIN, Verdict.ELSEWHERE}:
                break
            await trio.sleep(backoff.next_s())
        return None

    async def _ask_and_wait(self, request: object) -> Any:
        """Ask what the broker answers once all other members are there."""
        patience_s = self._options.max_poll_interval_s + JOIN_MARGIN_S
        timeout_s = max(patience_s, self._cluster.options.request_timeout_s)
        return await self._broker.ask(lambda _: request, lane=Lane.GROUP, timeout_s=timeout_s)

    def _act_on(self, verdict: Verdict, code: ErrorCode, act: str) -> None:
        """Act on an answer that is no yes. Raises: RequestError where it is final."""
        group_id = self._broker.group_id
        match verdict:
            case Verdict.ELSEWHERE:
                self._broker.forget()
            case Verdict.REFUSED:
                raise refusal(code, f"{act} group {group_id!r}", detail=REFUSALS.get(code))


def _ms(seconds: float) -> int:
    return int(seconds * 1000)
