"""A member of a group at work: it joins when it should, keeps its place, watches topics, leaves.

It joins only once the application, in `poll`, has given up what must be given up first.
Must never know: callbacks, positions, committed offsets.
"""

from __future__ import annotations

import logging
import math
from typing import TYPE_CHECKING, Final

import trio

from client.errors import ConnectionBroken, NoBrokerReachable, refusal
from client.group.handover import to_give_up
from client.group.heartbeats import Heartbeats
from client.group.joining import Joiner, MemberOptions
from client.group.membership import Membership
from client.group.poll_clock import PollClock
from client.group.requests import leave_code, leave_request
from client.group.topics import GroupTopics, Subscription
from client.group.verdicts import Verdict, verdict_on
from client.records import GroupMetadata, TopicPartition
from protocol.api import ApiKey
from protocol.errors import OttlaError

if TYPE_CHECKING:
    from client.assignment import Assignment
    from client.cluster import Cluster
    from client.group.broker import GroupBroker
    from client.group.signal import Signal

_log = logging.getLogger(__name__)

MISSING_TOPIC_CHECK_S: Final = 1.0
"""How often it is looked for a topic of the group that does not exist."""


class GroupMember:
    """One member. What poll looks at and changes:

    - `target`: the partitions that the group assigned and poll has not taken over yet.
    - `busy`: poll is handing over partitions now; nothing is joined meanwhile.
    - `awaits_poll`: nothing is joined before the application polls.
    - `error`: what the application must know before anything else is tried.
    """

    def __init__(
        self,
        cluster: Cluster,
        broker: GroupBroker,
        assignment: Assignment,
        options: MemberOptions,
        *,
        membership: Membership,
        signal: Signal,
    ) -> None:
        self.options = options
        self.membership = membership
        self.clock = PollClock(options.max_poll_interval_s)
        self.topics: GroupTopics | None = None
        self.target: frozenset[TopicPartition] | None = None
        self.busy = False
        self.awaits_poll = True
        self.error: OttlaError | None = None
        self._cluster = cluster
        self._broker = broker
        self._assignment = assignment
        self._signal = signal
        self._joiner = Joiner(cluster, broker, membership, options, signal=signal)
        self._losses_seen = membership.losses
        self._missing: frozenset[str] = frozenset()
        self._news = trio.lowlevel.ParkingLot()
        cluster.on_news(self._news.unpark_all)

    @property
    def has_lost(self) -> bool:
        """Say whether a generation ended without the member since `accept_loss`."""
        return self.membership.losses != self._losses_seen

    def accept_loss(self) -> None:
        """Note that what was lost is no longer read."""
        self._losses_seen = self.membership.losses

    def subscribe(self, subscription: Subscription) -> None:
        """Want these topics and no others, from the next generation on."""
        self.topics = GroupTopics(subscription)
        self.target = None
        self.error = None
        self.awaits_poll = True
        self.membership.is_fenced = False
        self._cluster.follow(self.topics.followed)
        self._cluster.refresh_soon()
        self.membership.ask_to_join("the subscription has changed")
        self._news.unpark_all()
        self._signal.notify()

    def unsubscribe(self) -> None:
        """Want nothing; the membership itself is ended by `leave`."""
        self.topics = None
        self.target = None
        self.error = None
        self._cluster.follow(())

    def give_up_first(self) -> tuple[TopicPartition, ...]:
        """List what poll has to give up before the next generation can be joined."""
        if self.topics is None or self.membership.rejoin_reason is None:
            return ()
        return to_give_up(
            self._assignment.places(),
            protocol=self.options.protocol,
            subscription=self.topics.subscription,
        )

    async def run(self) -> None:
        """Take part for as long as there is a subscription."""
        heartbeats = Heartbeats(
            self._broker,
            self.membership,
            self._signal,
            interval_s=self.options.heartbeat_interval_s,
            clock=self.clock,
            backoff=self._cluster.backoff(),
        )
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._watch_topics)
            nursery.start_soon(self._keep_joining)
            await heartbeats.run(on_silence=self._go_quietly, on_error=self._fail)

    async def leave(self, reason: str) -> None:
        """Leave the group; a static member keeps its place until its session ends (KIP-345).

        Tries until the broker has answered: the caller sets the limit. Raises: OttlaError, final.
        """
        member = self.membership.identity
        self.membership.left(reason)
        self._signal.notify()
        await leave_group(self._cluster, self._broker, member, reason)

    async def _go_quietly(self) -> None:
        """Leave, since the application does not poll; its next poll joins again."""
        self.awaits_poll = True
        reason = f"the application did not poll for {self.options.max_poll_interval_s:g} s"
        self.membership.ask_to_join("the application polls again")
        with trio.move_on_after(self.options.session_timeout_s):
            try:
                await self.leave(reason)
            except OttlaError as error:
                self._cluster.last_error = error  # the end of the session has the same effect

    def _fail(self, error: OttlaError) -> None:
        self.error = error
        self._signal.notify()

    async def _watch_topics(self) -> None:
        """Join again when topics come, go or grow."""
        while True:
            missing = False
            if self.topics is not None:
                self._look_at(self.topics)
                missing = self.topics.has_missing
            with trio.move_on_after(MISSING_TOPIC_CHECK_S if missing else math.inf) as waiting:
                await self._news.park()
            if waiting.cancelled_caught:
                self._cluster.refresh_soon()

    def _look_at(self, topics: GroupTopics) -> None:
        now = trio.current_time()
        topics.update(self._cluster.metadata, now)
        self._warn_of(topics.missing(now))
        fault = topics.fault_in(self._cluster.metadata)
        if fault is not None and self.error is None:
            self._fail(fault)
        reason = topics.reason_to_rejoin()
        if reason is not None:
            self.membership.ask_to_join(reason)
            self._signal.notify()

    def _warn_of(self, missing: frozenset[str]) -> None:
        """Tell once of each topic that it is waited for."""
        for name in sorted(missing - self._missing):
            _log.warning(
                "group %r waits for topic %r, which does not exist: create it, or check the name",
                self._broker.group_id,
                name,
            )
        self._missing = missing

    async def _keep_joining(self) -> None:
        backoff = self._cluster.backoff()
        while True:
            await self._signal.until(self._may_join)
            why_not = "the last join came to nothing"
            try:
                await self._join()
            except (ConnectionBroken, NoBrokerReachable) as error:
                self._cluster.last_error = error
                why_not = f"the last join failed: {error}"
            except OttlaError as error:
                self._fail(error)
                why_not = f"the last join failed: {error}"
            if self.target is not None:
                backoff.reset()
                self._signal.notify()
            else:
                self.membership.join_failed(why_not)
                self._signal.notify()
                await trio.sleep(backoff.next_s())

    def _may_join(self) -> bool:
        if self.topics is None or self.membership.rejoin_reason is None:
            return False
        if self.busy or self.awaits_poll or self.error is not None or self.membership.is_fenced:
            return False
        owned = self._assignment.places()
        return not (owned and self.has_lost) and not self.give_up_first()

    async def _join(self) -> None:
        """Join one generation. Raises: OttlaError."""
        topics = self.topics
        assert topics is not None, "nothing is subscribed"
        if topics.followed is None:
            # A pattern must be matched against all topics that there are now.
            await self._cluster.refresh()
            topics.update(self._cluster.metadata, trio.current_time())
            if self.topics is not topics or not self._may_join():
                return  # the application has decided otherwise meanwhile
        self.target = None
        target = await self._joiner.join(topics, self._assignment.places())
        if self.topics is topics:
            self.target = target


async def leave_group(
    cluster: Cluster, broker: GroupBroker, member: GroupMetadata, reason: str
) -> None:
    """Have a member taken off the list, trying until the broker has answered.

    Static members and those without an id are left alone. Raises: OttlaError, final.
    """
    if not member.member_id or member.group_instance_id is not None:
        return
    backoff = cluster.backoff()
    while True:
        try:
            answer = await broker.ask(lambda connection: leave_request(connection, member, reason))
        except ConnectionBroken as error:
            cluster.last_error = error
        else:
            code = leave_code(answer)
            match verdict_on(ApiKey.LEAVE_GROUP, code):
                case Verdict.DONE:
                    return
                case Verdict.REFUSED:
                    raise refusal(code, f"leaving group {member.group_id!r}")
                case Verdict.ELSEWHERE:
                    broker.forget()
        await trio.sleep(backoff.next_s())
