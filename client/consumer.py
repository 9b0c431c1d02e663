"""The consumer: reads assigned partitions in order, each from its own position.

Groups do not exist here: who reads what is the application's choice.
Must never know: sockets, how records are fetched (`fetcher`).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal, Self

import trio

from client.assignment import Assignment, PartitionState
from client.background import background_tasks
from client.cluster import ClusterOptions, open_cluster
from client.errors import NoPosition, NothingAssigned
from client.fetcher import Fetcher, FetcherOptions
from client.lifetime import Client
from client.offsets import BEGINNING, END, READ_COMMITTED, READ_UNCOMMITTED, find_offsets
from client.records import ConsumerRecord, OffsetAndTimestamp, TopicPartition

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Sequence

    from client.cluster import Cluster
    from client.environment import Environment

_RESETS: Final = {"earliest": BEGINNING, "latest": END, "none": None}
_ISOLATION_LEVELS: Final = {
    "read_uncommitted": READ_UNCOMMITTED,
    "read_committed": READ_COMMITTED,
}
POLL_RECORDS: Final = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class ConsumerConfig:
    """How a consumer works.

    - `auto_offset_reset`: where to start without a position, and where to go on when the position
      is no longer in the log; "none" raises instead.
    - `isolation`: "read_committed" leaves out records of open and aborted transactions.
    - `fetch_min_bytes`, `fetch_max_wait_ms`: how much a broker waits for, and how long.
    - `fetch_bytes_max`, `partition_bytes_max`: bounds of one response; a single batch may be
      larger. `buffer_bytes_max`: how much is fetched ahead at most.
    - `check_crc`: verify the checksum of every batch.
    - `request_timeout_s`: how long a broker may take for one request, long polls not counted.
    - `metadata_timeout_s`: how long to look for topics, leaders and offsets.
    """

    client_id: str = "ottla-consumer"
    auto_offset_reset: Literal["earliest", "latest", "none"] = "latest"
    isolation: Literal["read_uncommitted", "read_committed"] = "read_uncommitted"
    fetch_min_bytes: int = 1
    fetch_max_wait_ms: int = 500
    fetch_bytes_max: int = 16 * 1024 * 1024
    partition_bytes_max: int = 1024 * 1024
    buffer_bytes_max: int = 32 * 1024 * 1024
    check_crc: bool = True
    request_timeout_s: float = 30.0
    metadata_timeout_s: float = 60.0

    def __post_init__(self) -> None:
        if self.auto_offset_reset not in _RESETS:
            raise ValueError(
                f"auto_offset_reset is {self.auto_offset_reset!r}: give one of {', '.join(_RESETS)}"
            )
        if self.isolation not in _ISOLATION_LEVELS:
            raise ValueError(
                f"isolation is {self.isolation!r}: give one of {', '.join(_ISOLATION_LEVELS)}"
            )

    def fetcher_options(self) -> FetcherOptions:
        """Return what the fetcher has to know."""
        return FetcherOptions(
            min_bytes=self.fetch_min_bytes,
            max_wait_ms=self.fetch_max_wait_ms,
            fetch_bytes_max=self.fetch_bytes_max,
            partition_bytes_max=self.partition_bytes_max,
            buffer_bytes_max=self.buffer_bytes_max,
            isolation_level=_ISOLATION_LEVELS[self.isolation],
            reset_to=_RESETS[self.auto_offset_reset],
            request_timeout_s=self.request_timeout_s,
            metadata_timeout_s=self.metadata_timeout_s,
        )


class Consumer(Client):
    """Reads records of assigned partitions; use it with `async with`, then iterate or poll."""

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
        self._parts: tuple[Cluster, Fetcher] | None = None
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

        Where no offset is given, `auto_offset_reset` decides: "latest" means the end as it is when
        this returns. Raises: UnknownTopic, RequestError, WaitTimedOut.
        """
        cluster, fetcher = self._running()
        starts: dict[TopicPartition, int | None] = (
            {**partitions} if isinstance(partitions, Mapping) else dict.fromkeys(partitions)
        )
        reset_to = _RESETS[self.config.auto_offset_reset]
        for place in starts:
            await cluster.leader_of(*place, timeout_s=self.config.metadata_timeout_s)
        open_places = [place for place, start in starts.items() if start is None]
        found: Mapping[TopicPartition, OffsetAndTimestamp | None] = {}
        if reset_to is not None:
            found = await self._find(dict.fromkeys(open_places, reset_to))
        states = []
        for place, start in starts.items():
            state = PartitionState(
                place, backoff=cluster.backoff(), check_crc=self.config.check_crc
            )
            states.append(state)
            reset = found.get(place)
            if start is not None:
                state.seek(start)
            elif reset is not None:
                state.seek(reset.offset, leader_epoch=reset.leader_epoch)
            else:
                state.error = NoPosition(*place)
        self._assignment.replace(states)
        self._last_read = None
        for state in states:
            fetcher.interrupt(state)

    async def assign_topics(self, *topics: str) -> None:
        """Read all partitions that the topics have now. Raises: as `assign` does."""
        places = [place for topic in topics for place in await self.partitions_of(topic)]
        await self.assign(places)

    async def partitions_of(self, topic: str) -> tuple[TopicPartition, ...]:
        """List the partitions of a topic. Raises: UnknownTopic, RequestError, WaitTimedOut."""
        cluster, _ = self._running()
        info = await cluster.topic(topic, timeout_s=self.config.metadata_timeout_s)
        return tuple(TopicPartition(topic, partition) for partition in info.partitions)

    async def poll(
        self, *, max_records: int = POLL_RECORDS, timeout_s: float | None = None
    ) -> list[ConsumerRecord]:
        """Return up to `max_records` records; none only when `timeout_s` seconds have passed.

        Records of one partition come in order. Raises: OffsetOutOfRange, LogTruncated, NoPosition,
        CorruptBatch, UnknownTopic, RequestError about a partition, while the others go on;
        NothingAssigned.
        """
        _, fetcher = self._running()
        if not self._assignment.places():
            raise NothingAssigned("the consumer reads no partition: assign some first")
        await trio.lowlevel.checkpoint()
        with trio.move_on_after(math.inf if timeout_s is None else timeout_s):
            while True:
                records = self._assignment.take(max_records)
                if records:
                    fetcher.wake()
                    self._last_read = self._assignment.get(records[-1].topic_partition)
                    return records
                await self._arrived.park()
        return []

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> ConsumerRecord:
        state = self._last_read
        if state is not None and not state.paused:
            record = state.take_opened()
            if record is not None:
                return record
        (record,) = await self.poll(max_records=1)
        return record

    def seek(self, place: TopicPartition, offset: int, *, leader_epoch: int = -1) -> None:
        """Go on reading a partition from another offset; clears its error.

        `leader_epoch`, the epoch of the record before that offset if it is known, lets a truncated
        log be noticed. Raises: ClientClosed, KeyError where the partition is not assigned.
        """
        _, fetcher = self._running()
        state = self._state(place)
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
        """Return no records of these partitions for now; what is buffered is kept."""
        for place in places:
            self._state(place).paused = True

    def resume(self, *places: TopicPartition) -> None:
        """Go on with paused partitions."""
        _, fetcher = self._running()
        for place in places:
            state = self._state(place)
            if state.paused:
                state.paused = False
                fetcher.interrupt(state)
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
        options = ClusterOptions(
            client_id=self.config.client_id,
            request_timeout_s=self.config.request_timeout_s,
            environment=self._environment,
        )
        async with (
            open_cluster(self._bootstrap, options) as cluster,
            background_tasks() as nursery,
        ):
            fetcher = Fetcher(
                cluster,
                nursery,
                self._assignment,
                self.config.fetcher_options(),
                arrived=self._arrived.unpark_all,
            )
            nursery.start_soon(fetcher.run)
            self._parts = (cluster, fetcher)
            try:
                yield
            finally:
                self._parts = None

    def _running(self) -> tuple[Cluster, Fetcher]:
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
        cluster, _ = self._running()
        return await find_offsets(
            cluster,
            timestamps,
            isolation_level=_ISOLATION_LEVELS[self.config.isolation],
            timeout_s=self.config.metadata_timeout_s,
        )
