"""A consumer's part in its group, as its `poll` plays it: partitions taken over and given up.

Everything that the application notices happens in the task that polls, one thing after the other:
callbacks, changes of the assignment, commits before partitions are given up.
Must never know: requests, records.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Final

import trio
from msgspec import Struct

from client.errors import MemberFenced, WaitTimedOut
from client.group.broker import GroupBroker
from client.group.committer import Committer, Insider, Outsider
from client.group.committing import CommitOptions, Commits, Offsets
from client.group.handover import change_to
from client.group.joining import MemberOptions
from client.group.member import GroupMember, leave_group
from client.group.membership import Membership, Phase
from client.group.offsets import GroupOffsets
from client.group.parting import is_cancelled
from client.group.patience import Patience
from client.group.signal import Signal
from client.group.starting import Starts
from client.records import GroupMetadata, OffsetAndMetadata, TopicPartition
from protocol.errors import OttlaError, RequestError

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from client.assignment import Assignment, PartitionState
    from client.cluster import Cluster
    from client.fetcher import Fetcher
    from client.group.topics import Subscription

CLOSING: Final = "the consumer is being closed"
UNSUBSCRIBING: Final = "the consumer unsubscribed from all topics"
"""What groups are told of a member that leaves: Java's words."""

FAREWELL_S: Final = 1.0
"""How long a cancelled `unsubscribe` takes at most to tell the group."""

NOT_COMMITTED: Final = "what was handed out last is handed out again"
NOT_LEFT: Final = "it goes on without the member once its session has timed out"
"""What follows where that cannot be done."""

Callback = Callable[[tuple[TopicPartition, ...]], Awaitable[None] | None]


class RebalanceCallbacks(Struct, frozen=True):
    """What an application wants to be told of.

    - `on_assigned` gets the partitions that have come, after each rebalance, even if none have.
    - `on_revoked` gets those that go, while they can still be committed.
    - `on_lost` gets those that others may read already; where it is missing `on_revoked` does.
    """

    on_assigned: Callback | None = None
    on_revoked: Callback | None = None
    on_lost: Callback | None = None


class GroupOptions(Struct, frozen=True):
    """How a consumer takes part in a group."""

    group_id: str
    group_instance_id: str | None
    member: MemberOptions
    commit: CommitOptions
    has_reset: bool


class Participant:
    """The group side of one consumer; `wake_poll` has its poll look again."""

    def __init__(
        self,
        cluster: Cluster,
        options: GroupOptions,
        assignment: Assignment,
        *,
        fetcher: Fetcher,
        make_state: Callable[[TopicPartition], PartitionState],
        wake_poll: Callable[[], object],
    ) -> None:
        self.needs_poll = False
        self._cluster = cluster
        self._options = options
        self._assignment = assignment
        self._make_state = make_state
        self._wake_poll = wake_poll
        self._callbacks = RebalanceCallbacks()
        self._signal = Signal(self._call_for_poll)
        self._broker = GroupBroker(cluster, options.group_id)
        self._membership = Membership(options.group_id, options.group_instance_id)
        self._insider = Insider(self._membership, self._signal)
        self._outsider = Outsider(options.group_id)
        self._member = GroupMember(
            cluster,
            self._broker,
            assignment,
            options.member,
            membership=self._membership,
            signal=self._signal,
        )
        self._offsets = GroupOffsets(cluster, self._broker)
        self._commits = self._commits_through(self._offsets)
        self._starts = Starts(
            self._offsets, assignment, fetcher, has_reset=options.has_reset, signal=self._signal
        )

    @property
    def is_subscribed(self) -> bool:
        """Say whether the group assigns the partitions."""
        return self._member.topics is not None

    @property
    def takes_part(self) -> bool:
        """Say whether there is anything to commit, to give up or to leave."""
        return self.is_subscribed or bool(self._assignment.places())

    @property
    def subscription(self) -> tuple[str, ...]:
        """Return the subscribed topics."""
        return self._member.topics.subscribed() if self._member.topics is not None else ()

    @property
    def metadata(self) -> GroupMetadata:
        """Return who the consumer is in the group."""
        return self._committer().identity

    def subscribe(self, subscription: Subscription, callbacks: RebalanceCallbacks) -> None:
        """Want these topics from now on."""
        self._callbacks = callbacks
        self._member.subscribe(subscription)

    async def unsubscribe(self) -> None:
        """Give everything up and leave the group; cancelled it does so too, in a hurry.

        Raises: what callbacks raise; RequestError where the farewell is refused.
        """
        self._member.busy = True
        patience = Patience(self._cluster, self._options.group_id)
        try:
            await self._give_up_all(self._commits, patience)
        finally:
            # Whatever ended it: nothing of the group's is read once the group may be left.
            self._drop(self._assignment.places())
            self._member.busy = False
            cancelled = is_cancelled()
            with trio.move_on_after(FAREWELL_S if cancelled else math.inf, shield=cancelled):
                await self._leave(self._cluster, self._broker, patience, UNSUBSCRIBING)

    async def commit(
        self,
        offsets: Mapping[TopicPartition, int | OffsetAndMetadata] | None,
        *,
        timeout_s: float,
    ) -> None:
        """Commit offsets, or the positions of all partitions.

        Raises: ValueError, CommitFailed, MemberFenced, UnknownTopic, RequestError, WaitTimedOut.
        """
        if offsets is None:
            chosen = self._commits.positions(self._assignment.places())
        else:
            chosen = {
                place: at if isinstance(at, OffsetAndMetadata) else OffsetAndMetadata(at)
                for place, at in offsets.items()
            }
        for place, at in chosen.items():
            if at.offset < 0:
                raise ValueError(f"offset {at.offset} of {place} is negative: commit 0 or more")
        with trio.move_on_after(timeout_s) as patience:
            await self._commits.commit(chosen)
        if patience.cancelled_caught:
            raise WaitTimedOut("the commit", timeout_s, last_cause=self._cluster.last_error)

    async def committed(
        self, places: Collection[TopicPartition], *, timeout_s: float
    ) -> dict[TopicPartition, OffsetAndMetadata | None]:
        """Look up committed offsets. Raises: RequestError, WaitTimedOut."""
        found: dict[TopicPartition, OffsetAndMetadata | None] = {}
        with trio.move_on_after(timeout_s) as patience:
            for place, at in (await self._offsets.fetch(places)).items():
                if isinstance(at, RequestError):
                    raise at
                found[place] = at
        if patience.cancelled_caught:
            raise WaitTimedOut("committed offsets", timeout_s, last_cause=self._cluster.last_error)
        return found

    async def run(self) -> None:
        """Do what goes on between polls: heartbeats, joining, commits, looking for positions."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._member.run)
            nursery.start_soon(self._starts.run)
            nursery.start_soon(self._commits.run)

    def touch(self) -> bool:
        """Note that the application asks for more; say whether that must be done by `settle`."""
        self._member.clock.touch()
        return self.needs_poll

    async def settle(self) -> None:
        """Do all that waits for the application to poll.

        Raises: what callbacks raise; OttlaError where the group refuses the consumer.
        """
        self.needs_poll = False
        self._commits.take_stock()
        if self.is_subscribed:
            await self._follow_group()
        if self._membership.is_fenced:
            raise MemberFenced(self._options.group_id, self._options.group_instance_id)
        error = self._member.error
        if error is not None:
            self._member.error = None  # what may have been mended by then is tried again
            self._signal.notify()
            raise error.with_traceback(None)

    async def _follow_group(self) -> None:
        if self._member.busy:
            raise RuntimeError("poll was called by a rebalance callback, or by two tasks at a time")
        self._member.clock.touch()
        if self._member.awaits_poll:
            self._member.awaits_poll = False
            self._signal.notify()
        while (step := self._next_step()) is not None:
            self._member.busy = True
            try:
                await step()
            finally:
                self._member.busy = False
                self._signal.notify()
        self._member.clock.touch()

    async def wait(self, lot: trio.lowlevel.ParkingLot) -> None:
        """Wait for records, or for something to settle; the application is not away meanwhile."""
        if self.needs_poll:
            # The group has called since `settle`: what woke the poll then must not be slept over.
            await trio.lowlevel.checkpoint()
            return
        clock = self._member.clock
        clock.stop()
        try:
            await lot.park()
        finally:
            clock.touch()

    async def depart(self, cluster: Cluster, *, cleanly: bool) -> None:
        """Commit, give everything up and leave, through `cluster`, within a time limit.

        What was handed out last counts as processed only where the consumer ends `cleanly`.
        Raises: what callbacks raise; RequestError where a commit or the farewell is refused.
        """
        self._member.busy = True  # whatever happens in the group now, nothing is joined any more
        self._member.error = None
        broker, commits = self._broker, self._commits
        if cluster is not self._cluster:
            broker = GroupBroker(cluster, self._options.group_id)
            commits = self._commits_through(GroupOffsets(cluster, broker))
        patience = Patience(cluster, self._options.group_id)
        offsets = None if cleanly else self._commits.positions_before_last()
        try:
            await self._give_up_all(commits, patience, offsets)
        finally:
            error = self._member.error
            await self._leave(cluster, broker, patience, CLOSING)
        if error is not None:
            raise error

    async def _leave(
        self, cluster: Cluster, broker: GroupBroker, patience: Patience, reason: str
    ) -> None:
        """Be no member from now on, and have the group told as long as there is patience.

        Raises: RequestError where the farewell is refused.
        """
        member = self._membership.identity
        self._member.unsubscribe()
        self._membership.left(reason)
        self._commits.forget_all()
        self._member.accept_loss()
        self._signal.notify()
        async with patience.trying("leaving", otherwise=NOT_LEFT):
            await leave_group(cluster, broker, member, reason)

    @property
    def _has_lost(self) -> bool:
        return self.is_subscribed and self._member.has_lost

    def _call_for_poll(self) -> None:
        self.needs_poll = True
        self._wake_poll()

    def _committer(self) -> Committer:
        return self._insider if self.is_subscribed else self._outsider

    def _commits_through(self, offsets: GroupOffsets) -> Commits:
        return Commits(
            offsets,
            self._assignment,
            self._options.commit,
            committer=self._committer,
            signal=self._signal,
            on_error=self._fail,
        )

    def _fail(self, error: OttlaError) -> None:
        self._member.error = error
        self._signal.notify()

    def _next_step(self) -> Callable[[], Awaitable[None]] | None:
        if self._has_lost:
            return self._accept_loss
        if self._membership.phase in {Phase.JOINING, Phase.SYNCING}:
            return None
        if self._member.give_up_first():
            return self._give_up_before_join
        if self._member.target is not None and self._membership.rejoin_reason is None:
            return self._take_over
        return None

    async def _accept_loss(self) -> None:
        places = tuple(sorted(self._assignment.places()))
        try:
            if places:
                await self._call(self._callbacks.on_lost or self._callbacks.on_revoked, places)
        finally:
            self._drop(places)
            self._member.accept_loss()

    async def _give_up_before_join(self) -> None:
        await self._give_up(self._member.give_up_first())

    async def _take_over(self) -> None:
        change = change_to(self._member.target or (), self._assignment.places())
        if change.revoked:
            self._membership.ask_to_join("gave up partitions that others are to read")
            await self._give_up(change.revoked)
            if self._has_lost:
                return
        self._member.target = None
        self._assignment.add([self._make_state(place) for place in change.assigned])
        self._signal.notify()
        await self._call(self._callbacks.on_assigned, change.assigned)

    async def _give_up(self, places: tuple[TopicPartition, ...]) -> None:
        """Commit partitions and give them up, unless they turn out to be lost.

        A commit of the application's that is under way comes first: later it would undo others'.
        """
        automatic = self._options.commit.automatic
        await self._commits.commit_quietly(self._commits.positions(places) if automatic else {})
        if not self._has_lost:
            await self._revoke(places)

    async def _give_up_all(
        self, commits: Commits, patience: Patience, offsets: Offsets | None = None
    ) -> None:
        """Commit everything, or these offsets, and give everything up, come what may."""
        places = tuple(sorted(self._assignment.places()))
        if self._options.commit.automatic and not self._has_lost:
            if offsets is None:
                offsets = commits.positions(places)
            async with patience.trying("the last commit to", otherwise=NOT_COMMITTED):
                await commits.commit_quietly(offsets)
        if self._has_lost:
            await self._accept_loss()
        elif places:
            await self._revoke(places)

    async def _revoke(self, places: tuple[TopicPartition, ...]) -> None:
        try:
            if self.is_subscribed:
                await self._call(self._callbacks.on_revoked, places)
        finally:
            self._drop(places)

    def _drop(self, places: Sequence[TopicPartition]) -> None:
        self._assignment.remove(places)
        self._commits.forget(places)

    async def _call(self, callback: Callback | None, places: tuple[TopicPartition, ...]) -> None:
        result = callback(places) if callback is not None else None
        if inspect.isawaitable(result):
            await result
