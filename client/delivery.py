"""Batches on their way, and the handles by which callers wait for their records.

Must never know: when and where batches are sent.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import trio

from client.errors import DeliveryFailed
from client.records import RecordMetadata
from protocol.records import BatchBuilder, decode_batch

if TYPE_CHECKING:
    from client.identity import ProducerIdentity
    from client.records import TopicPartition
    from protocol.compression import Compression
    from protocol.errors import OttlaError
    from protocol.records import Record


class Batch:
    """Records of one partition that are sent together.

    `in_doubt` says that a broker may have appended it without our knowing. It keeps its records
    uncompressed until it is done, so that it can be sent again under another identity, or split;
    one that failed keeps none.
    `reserved_bytes` is its share of the producer's buffer.
    """

    __slots__ = (
        "_done",
        "_failure",
        "_lost",
        "_parts",
        "_told",
        "base_offset",
        "base_sequence",
        "builder",
        "identity",
        "in_doubt",
        "last_error",
        "log_append_time_ms",
        "opened_at",
        "place",
        "reserved_bytes",
    )

    def __init__(self, place: TopicPartition, *, opened_at: float) -> None:
        self.place = place
        self.opened_at = opened_at
        self.builder = BatchBuilder()
        self.reserved_bytes = 0
        self.identity: ProducerIdentity | None = None
        self.base_sequence = -1
        self.in_doubt = False
        self.last_error: OttlaError | None = None
        self.base_offset = -1
        self.log_append_time_ms = -1
        self._failure: OttlaError | None = None
        self._lost = 0
        self._parts: list[tuple[int, Batch]] = []
        self._told: set[int] = set()
        self._done = trio.Event()

    def __len__(self) -> int:
        return len(self.builder) or self._lost

    @property
    def size_bytes(self) -> int:
        """Return its size before compression."""
        return self.builder.size_bytes

    @property
    def done(self) -> bool:
        """Say whether its fate is settled."""
        return self._done.is_set()

    @property
    def has_failed(self) -> bool:
        """Say whether it was not acknowledged, and never will be."""
        return self._failure is not None

    @property
    def failure(self) -> DeliveryFailed | None:
        """Return a new error that says why it failed, None unless it did."""
        if self._failure is None:
            return None
        return DeliveryFailed(*self.place, cause=self._failure, may_be_written=self.in_doubt)

    @property
    def untold(self) -> int:
        """Count the records whose fate nobody has asked for."""
        return len(self) - len(self._told)

    def encode(self, compression: Compression) -> bytes:
        """Encode the batch as it goes over the wire, under its identity and sequence."""
        identity = self.identity
        if identity is None:
            return self.builder.build(compression=compression)
        return self.builder.build(
            compression=compression,
            producer_id=identity.producer_id,
            producer_epoch=identity.epoch,
            base_sequence=self.base_sequence,
        )

    def complete(self, base_offset: int, log_append_time_ms: int) -> None:
        """Settle that it was written; offset -1 where the broker does not say."""
        self.base_offset = base_offset
        self.log_append_time_ms = log_append_time_ms
        self._done.set()

    def fail(self, cause: OttlaError) -> None:
        """Settle that it was not acknowledged."""
        self._failure = cause
        self._lost, self.builder = len(self.builder), BatchBuilder()
        self._done.set()

    def split(self) -> tuple[Batch, Batch]:
        """Cut it in two halves that take its place and its sequence numbers."""
        records = decode_batch(self.builder.build())
        middle = len(records) // 2
        reserved = self.reserved_bytes // 2
        halves = (
            self._part(0, records[:middle], reserved_bytes=reserved),
            self._part(middle, records[middle:], reserved_bytes=self.reserved_bytes - reserved),
        )
        self._done.set()
        return halves

    def _part(self, start: int, records: list[Record], *, reserved_bytes: int) -> Batch:
        part = Batch(self.place, opened_at=self.opened_at)
        for one in records:
            part.builder.append(one.timestamp_ms, one.key, one.value, one.headers)
        part.reserved_bytes = reserved_bytes
        part.in_doubt = self.in_doubt
        part._told = {index - start for index in self._told if 0 <= index - start < len(records)}
        part.identity = self.identity
        if self.identity is not None:
            part.base_sequence = next_sequence(self.base_sequence, start)
        self._parts.append((start, part))
        return part

    async def wait(self, index: int) -> RecordMetadata:
        """Wait for the record at `index`. Raises: DeliveryFailed."""
        batch = self
        while True:
            await batch._wait_done(index)
            if not batch._parts:
                break
            start, part = batch._parts[index >= batch._parts[1][0]]
            batch, index = part, index - start
        if (failure := batch.failure) is not None:
            raise failure from failure.cause
        offset = batch.base_offset + index if batch.base_offset >= 0 else -1
        return RecordMetadata(*batch.place, offset, batch.log_append_time_ms)

    async def _wait_done(self, index: int) -> None:
        self._told.add(index)
        try:
            await self._done.wait()
        except trio.Cancelled:
            self._told.discard(index)
            raise

    async def wait_settled(self) -> None:
        """Wait until its fate, and that of its halves, is settled."""
        await self._done.wait()
        for _, part in self._parts:
            await part.wait_settled()


class Delivery:
    """The handle of one enqueued record."""

    __slots__ = ("_batch", "_index")

    def __init__(self, batch: Batch, index: int) -> None:
        self._batch = batch
        self._index = index

    async def wait(self) -> RecordMetadata:
        """Wait for the acknowledgement. Raises: DeliveryFailed."""
        return await self._batch.wait(self._index)


def next_sequence(sequence: int, count: int) -> int:
    """Return the sequence number `count` records later; they wrap at 2^31."""
    return (sequence + count) & 0x7FFFFFFF
