"""The consumer: reads partitions in order, each from its own position.

Which ones the application says (`assign`), or its group does (`subscribe`).
Must never know: sockets, how records are fetched (`fetcher`), how a group works (`group`).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final, Self

import trio

from client.assignment import Assignment, PartitionState
from client.consumer_config import ConsumerConfig
from client.consumer_parts import ConsumerParts, new_state, open_parts
from client.errors import NoGroup, NoPosition, NothingAssigned, SubscriptionConflict
from client.group.participant import Participant, RebalanceCallbacks
from client.group.topics import Subscription
from client.lifetime import Client
from client.offsets import BEGINNING, END, find_offsets
from client.records import (
    ConsumerRecord,
    GroupMetadata,
    OffsetAndMetadata,
    OffsetAndTimestamp,
    TopicPartition,
)

if TYPE_CHECKING:
    import re
    from collections.abc import AsyncIterator, Iterable, Sequence

    from client.environment import Environment
    from client.group.participant import Callback

__all__ = ["POLL_RECORDS", "Consumer", "ConsumerConfig"]

POLL_RECORDS: Final = 500


class Consumer(Client):
    """Reads records; use it with `async with`, `subscribe` or `assign`, then iterate or poll.

    At the end of the block a group is left. What was handed out is committed then, if that is done
    automatically; after an exception what was handed out last does not count.
    """

    role = "consumer"

    def __init__(
        self,
        bootstrap: str | Sequence[str],
        config: ConsumerConfig | None = None,
        *,
        environment: Environment | None = None,
    ) -> None:
        """Prepare for a cluster reached through `host:port,host:port`; nothing is read yet."""
        super().__init__(bootstrap, environment)
        self.config = config or ConsumerConfig()
        self._parts: ConsumerParts | None = None
        self._participant: Participant | None = None
        self._assignment = Assignment()
        self._last_read: PartitionState | None = None
        self._arrived = trio.lowlevel.ParkingLot()

    @property
    def assignment(self) -> tuple[TopicPartition, ...]:
        """Return the assigned partitions."""
        return self._assignment.places()

    @property
    def buffered_bytes(self) -> int:
        """Return the bytes fetched ahead, as they came over the wire."""
        return self._assignment.buffered_bytes

    async def assign(
        self, partitions: Iterable[TopicPartition] | Mapping[TopicPartition, int]
    ) -> None:
        """Read these partitions and no others; a mapping gives the offsets to start from.

        Where no offset is given, what the group committed counts, if there is a group, and then
        `auto_offset_reset`: "latest" means the end as it is when this returns.
        Raises: SubscriptionConflict, UnknownTopic, RequestError, WaitTimedOut; ValueError where an
        offset is none.
        """
        parts = self._running()
        if self._participant is not None and self._participant.is_subscribed:
            raise SubscriptionConflict("the group assigns the partitions: unsubscribe first")
        starts: dict[TopicPartition, int | None] = (
            {**partitions} if isinstance(partitions, Mapping) else dict.fromkeys(partitions)
        )
        for place, start in starts.items():
            if start is not None:
                _check_offset(place, start)
        for place in starts:
            await parts.cluster.leader_of(*place, timeout_s=self.config.metadata_timeout_s)
        found = await self._starts([place for place, start in starts.items() if start is None])
        states = []
        for place, start in starts.items():
            state = new_state(place, cluster=parts.cluster, config=self.config, of_group=False)
            states.append(state)
            known = found.get(place)
            if start is not None:
                state.seek(start)
            elif known is not None:
                state.seek(known.offset, leader_epoch=known.leader_epoch)
            else:
                state.error = NoPosition(*place)
        self._assignment.replace(states)
        self._last_read = None
        for state in states:
            parts.fetcher.interrupt(state)

    async def assign_topics(self, *topics: str) -> None:
        """Read all partitions that the topics have now. Raises: as `assign` does."""
        places = [place for topic in topics for place in await self.partitions_of(topic)]
        await self.assign(places)

    async def partitions_of(self, topic: str) -> tuple[TopicPartition, ...]:
        """List the partitions of a topic. Raises: UnknownTopic, RequestError, WaitTimedOut."""
        cluster = self._running().cluster
        info = await cluster.topic(topic, timeout_s=self.config.metadata_timeout_s)
        return tuple(TopicPartition(topic, partition) for partition in info.partitions)

    def subscribe(
        self,
        topics: Iterable[str] | re.Pattern[str],
        *,
        on_assigned: Callback | None = None,
        on_revoked: Callback | None = None,
        on_lost: Callback | None = None,
    ) -> None:
        """Read what the group assigns of these topics, or of all whose whole name matches.

        The next poll joins the group. The callbacks get partitions and run in the task that polls:
        `on_assigned` what has come, after each rebalance; `on_revoked` what goes, while it can
        still be committed; `on_lost` what others may read already (`on_revoked` where that is not
        given). What they raise leaves through poll, and the rebalance goes on.
        Raises: NoGroup, SubscriptionConflict, ValueError, TypeError.
        """
        participant = self._group("subscribe")
        if not participant.is_subscribed and self._assignment.places():
            raise SubscriptionConflict("partitions were assigned by hand: unsubscribe first")
        callbacks = RebalanceCallbacks(on_assigned, on_revoked, on_lost)
        participant.subscribe(Subscription.to(topics), callbacks)

    async def unsubscribe(self) -> None:
        """Read nothing any more, and leave the group. Raises: what callbacks raise."""
        self._running()
        self._last_read = None
        if self._participant is not None:
            await self._participant.unsubscribe()
        else:
            self._assignment.replace([])

    @property
    def subscription(self) -> tuple[str, ...]:
        """Return the subscribed topics; of a pattern those that match now."""
        return self._participant.subscription if self._participant is not None else ()

    @property
    def group_metadata(self) -> GroupMetadata:
        """Return who the consumer is in its group. Raises: NoGroup, ClientClosed."""
        return self._group("group_metadata").metadata

    async def commit(
        self, offsets: Mapping[TopicPartition, int | OffsetAndMetadata] | None = None
    ) -> None:
        """Commit the positions of all partitions: what was handed out. Or commit other offsets.

        Raises: CommitFailed where the group has gone on without this consumer, MemberFenced,
        UnknownTopic, RequestError, WaitTimedOut (nobody knows whether it was done), NoGroup.
        """
        await self._group("commit").commit(offsets, timeout_s=self.config.metadata_timeout_s)

    async def committed(
        self, *places: TopicPartition
    ) -> dict[TopicPartition, OffsetAndMetadata | None]:
        """Look up what the group committed; None where there is nothing.

        Raises: RequestError, WaitTimedOut, NoGroup.
        """
        group = self._group("committed")
        return await group.committed(places, timeout_s=self.config.metadata_timeout_s)

    async def poll(
        self, *, max_records: int = POLL_RECORDS, timeout_s: float | None = None
    ) -> list[ConsumerRecord]:
        """Return up to `max_records` records; none when `timeout_s` seconds have passed.

        None, and at once, also when a position has moved on over offsets that hold nothing for the
        reader: compacted ones, markers of transactions. So who reads up to an end sees it reached.
        Records of one partition come in order. In a group, partitions change hands in here, and
        the callbacks run, however long they take.
        Raises: OffsetOutOfRange, LogTruncated, NoPosition, CorruptBatch, UnknownTopic, RequestError
        about a partition, while the others go on; MemberFenced, RequestError about the group; what
        callbacks raise; NothingAssigned.
        """
        fetcher = self._running().fetcher
        group = self._participant
        if not self._assignment.places() and (group is None or not group.is_subscribed):
            raise NothingAssigned(
                "the consumer reads no partition: subscribe, or assign some first"
            )
        await trio.lowlevel.checkpoint()
        deadline = trio.current_time() + (math.inf if timeout_s is None else timeout_s)
        while True:
            if group is not None:
                await group.settle()
            try:
                records = self._assignment.take(max_records)
            finally:
                fetcher.wake()  # there may be room again, also where no record came of it
            if records:
                self._last_read = self._assignment.get(records[-1].topic_partition)
            if self._assignment.has_moved:
                return records
            with trio.move_on_at(deadline) as patience:
                await (self._arrived.park() if group is None else group.wait(self._arrived))
            if patience.cancelled_caught:
                return []

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> ConsumerRecord:
        state = self._last_read
        group = self._participant
        if state is not None and not state.paused and (group is None or not group.touch()):
            record = state.take_opened(turn=self._assignment.turn)
            if record is not None:
                return record
        while not (records := await self.poll(max_records=1)):
            pass
        return records[0]

    def seek(self, place: TopicPartition, offset: int, *, leader_epoch: int = -1) -> None:
        """Go on reading a partition from another offset; clears its error.

        `leader_epoch`, the epoch of the record before that offset if it is known, lets a truncated
        log be noticed. Raises: ClientClosed, KeyError where the partition is not assigned,
        ValueError where the offset is none.
        """
        fetcher = self._running().fetcher
        state = self._state(place)
        _check_offset(place, offset)
        state.seek(offset, leader_epoch=leader_epoch)
        fetcher.interrupt(state)

    async def seek_to_beginning(self, *places: TopicPartition) -> None:
        """Go on from the first offset that is still there; in all partitions if none is named."""
        await self._seek_to(BEGINNING, places)

    async def seek_to_end(self, *places: TopicPartition) -> None:
        """Go on from the end as it is now; in all partitions if none is named."""
        await self._seek_to(END, places)

    def position(self, place: TopicPartition) -> int | None:
        """Return the offset of the next record to be returned, None while it is looked for."""
        return self._state(place).position

    def pause(self, *places: TopicPartition) -> None:
        """Return no records of these partitions for now.

        What is buffered is kept, unless others that have nothing left need the room.
        """
        for place in places:
            self._state(place).paused = True

    def resume(self, *places: TopicPartition) -> None:
        """Go on with paused partitions."""
        fetcher = self._running().fetcher
        for place in places:
            self._state(place).paused = False
        fetcher.wake()  # a fetch under way names it, or comes back soon: see `crowded`
        self._arrived.unpark_all()

    @property
    def paused(self) -> tuple[TopicPartition, ...]:
        """Return the paused partitions."""
        return tuple(state.place for state in self._assignment if state.paused)

    async def beginning_offsets(self, *places: TopicPartition) -> dict[TopicPartition, int]:
        """Look up the first offsets that are still there. Raises: as `assign` does."""
        return await self._ends(BEGINNING, places)

    async def end_offsets(self, *places: TopicPartition) -> dict[TopicPartition, int]:
        """Look up the offsets after the last readable records. Raises: as `assign` does."""
        return await self._ends(END, places)

    async def offsets_for_times(
        self, timestamps_ms: Mapping[TopicPartition, int]
    ) -> dict[TopicPartition, OffsetAndTimestamp | None]:
        """Look up the first records at or after timestamps; None where there is no such record.

        Raises: as `assign` does.
        """
        return await self._find(timestamps_ms)

    @asynccontextmanager
    async def _live(self) -> AsyncIterator[None]:
        try:
            async with open_parts(
                self._bootstrap,
                self.config,
                self._environment,
                self._assignment,
                wake_poll=self._arrived.unpark_all,
            ) as parts:
                self._parts, self._participant = parts, parts.participant
                yield
        finally:
            self._parts = self._participant = None

    def _group(self, what: str) -> Participant:
        self._running()
        if self._participant is None:
            raise NoGroup(what)
        return self._participant

    async def _starts(
        self, places: Sequence[TopicPartition]
    ) -> Mapping[TopicPartition, OffsetAndMetadata | OffsetAndTimestamp | None]:
        """Find where to start: what the group committed, else by policy."""
        found: dict[TopicPartition, OffsetAndMetadata | OffsetAndTimestamp | None] = {}
        if self._participant is not None:
            found |= await self.committed(*places)
        if self.config.reset_to is not None:
            missing = [place for place in places if found.get(place) is None]
            found |= await self._find(dict.fromkeys(missing, self.config.reset_to))
        return found

    def _running(self) -> ConsumerParts:
        if self._parts is None:
            raise self._not_open()
        return self._parts

    def _state(self, place: TopicPartition) -> PartitionState:
        state = self._assignment.get(place)
        if state is None:
            raise KeyError(f"{place} is not assigned to this consumer")
        return state

    async def _seek_to(self, end: int, places: Sequence[TopicPartition]) -> None:
        chosen = places or self._assignment.places()
        for place in chosen:
            self._state(place)
        for place, found in (await self._find(dict.fromkeys(chosen, end))).items():
            if found is not None:
                self.seek(place, found.offset, leader_epoch=found.leader_epoch)

    async def _ends(self, end: int, places: Sequence[TopicPartition]) -> dict[TopicPartition, int]:
        found = await self._find(dict.fromkeys(places, end))
        return {place: offset.offset for place, offset in found.items() if offset is not None}

    async def _find(
        self, timestamps: Mapping[TopicPartition, int]
    ) -> dict[TopicPartition, OffsetAndTimestamp | None]:
        cluster = self._running().cluster
        return await find_offsets(
            cluster,
            timestamps,
            isolation_level=self.config.isolation_level,
            timeout_s=self.config.metadata_timeout_s,
        )


def _check_offset(place: TopicPartition, offset: int) -> None:
    """Refuse what no record has for its offset. Raises: ValueError."""
    if not 0 <= offset < 1 << 63:
        raise ValueError(f"{offset} is no offset of {place}: give 0 to 2^63-1")
