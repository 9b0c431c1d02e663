"""What a log remembers of its idempotent producers: a pure state machine.

For each producer id: its epoch and its last five batches, enough to recognise what is sent again
(a client has at most five requests in flight) and to refuse what leaves a gap.
Must never know: files, segments, clocks.
Source: KIP-98, KIP-360.
"""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING, Final, NamedTuple

import msgpack

from broker.log.errors import InvalidProducerEpoch, OutOfOrderSequence

if TYPE_CHECKING:
    pass

NO_PRODUCER_ID: Final = -1
BATCHES_KEPT: Final = 5
_SEQUENCES: Final = 2**31
_FORMAT_VERSION: Final = 1


class SnapshotDamaged(Exception):
    """A producer snapshot cannot be read; use an older one and replay the batches after it."""


class ProducedBatch(NamedTuple):
    """One batch of an idempotent producer. Its offsets and time are known once it is appended.

    `log_append_time_ms` is -1 where the producer's own timestamps are kept.
    """

    producer_id: int
    epoch: int
    first_sequence: int
    last_sequence: int
    base_offset: int = -1
    last_offset: int = -1
    log_append_time_ms: int = -1


class ProducerEntry:
    """One producer's epoch and last batches; `last_seen_ms` is the wall time of the newest."""

    __slots__ = ("batches", "epoch", "last_seen_ms")

    def __init__(self, epoch: int, last_seen_ms: int, batches: tuple[ProducedBatch, ...]) -> None:
        self.epoch = epoch
        self.last_seen_ms = last_seen_ms
        self.batches = batches

    @property
    def awaited_sequence(self) -> int:
        """The sequence number that the next batch of this epoch begins with."""
        return next_sequence(self.batches[-1].last_sequence)


class ProducerStates:
    """All producers of one log."""

    __slots__ = ("_entries",)

    def __init__(self) -> None:
        self._entries: dict[int, ProducerEntry] = {}

    def __len__(self) -> int:
        return len(self._entries)

    def entry(self, producer_id: int) -> ProducerEntry | None:
        """What is known of a producer."""
        return self._entries.get(producer_id)

    def check(self, batch: ProducedBatch) -> ProducedBatch | None:
        """Decide whether a batch may be appended, without changing anything.

        Returns: None to append it; or the batch as it was appended when it came first.
        Raises: OutOfOrderSequence, InvalidProducerEpoch.
        """
        entry = self._entries.get(batch.producer_id)
        if entry is None:
            return None  # nothing is known of it (new, or expired): any sequence may begin
        for known in entry.batches:
            if known[:4] == batch[:4]:
                return known
        if batch.epoch < entry.epoch:
            raise InvalidProducerEpoch(
                producer_id=batch.producer_id, epoch=batch.epoch, newest=entry.epoch
            )
        last = entry.batches[-1].last_sequence
        expected = 0 if batch.epoch > entry.epoch else next_sequence(last)
        if batch.first_sequence != expected:
            raise OutOfOrderSequence(
                producer_id=batch.producer_id, expected=expected, sequence=batch.first_sequence
            )
        return None

    def appended(self, batch: ProducedBatch, *, now_ms: int) -> None:
        """Remember a batch that is in the log now. Never refuses: the log is what is true."""
        entry = self._entries.get(batch.producer_id)
        if entry is None or entry.epoch != batch.epoch:
            self._entries[batch.producer_id] = ProducerEntry(batch.epoch, now_ms, (batch,))
            return
        entry.batches = (*entry.batches[1 - BATCHES_KEPT :], batch)
        entry.last_seen_ms = now_ms

    def expire(self, *, now_ms: int, expiration_ms: int) -> int:
        """Forget producers not seen for `expiration_ms`. Returns: how many."""
        idle = [
            producer_id
            for producer_id, entry in self._entries.items()
            if entry.last_seen_ms + expiration_ms <= now_ms
        ]
        for producer_id in idle:
            del self._entries[producer_id]
        return len(idle)

    def encode(self) -> bytes:
        """Lay the state out as a snapshot file: version, CRC-32 of the rest, the producers."""
        body = msgpack.packb(
            [
                [producer_id, entry.epoch, entry.last_seen_ms, [one[2:] for one in entry.batches]]
                for producer_id, entry in sorted(self._entries.items())
            ]
        )
        packed: bytes = msgpack.packb([_FORMAT_VERSION, zlib.crc32(body), body])
        return packed

    @classmethod
    def parse(cls, data: bytes) -> ProducerStates:
        """Read a snapshot file. Raises: SnapshotDamaged."""
        states = cls()
        try:
            version, crc, body = msgpack.unpackb(data)
            if version != _FORMAT_VERSION or zlib.crc32(body) != crc:
                raise SnapshotDamaged("the snapshot's version or CRC is wrong")
            for producer_id, epoch, last_seen_ms, batches in msgpack.unpackb(body):
                states._entries[producer_id] = ProducerEntry(
                    epoch,
                    last_seen_ms,
                    tuple(ProducedBatch(producer_id, epoch, *batch) for batch in batches),
                )
        except (ValueError, TypeError, msgpack.UnpackException) as error:
            raise SnapshotDamaged(f"not a snapshot of producers: {error}") from error
        return states


def next_sequence(sequence: int) -> int:
    """Return the sequence number that follows; after 2^31-1 comes 0."""
    return (sequence + 1) % _SEQUENCES


def precedes(first: int, second: int) -> bool:
    """Say whether a sequence number is another one or stands before it; after 2^31-1 comes 0."""
    return (second - first) % _SEQUENCES < _SEQUENCES // 2
