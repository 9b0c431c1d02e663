"""Which records of a batch outlast a pass, and what the batch becomes.

Pure decisions. Must never know: files, segments.
Source: KIP-534 (tombstones go once nobody can need them), KIP-98 (what is kept of a producer).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from msgspec import Struct

from protocol.raw_records import keep_records, scan_records
from protocol.records import data_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from broker.log.compaction.keys import KeyMap
    from broker.log.producers import ProducerStates
    from protocol.batch import BatchHeader
    from protocol.raw_records import RawRecord


class Retained(NamedTuple):
    """What a batch becomes: `batch` is None where no record is left of it."""

    batch: bytes | memoryview | None
    delete_horizon_ms: int | None


class Retention(Struct, frozen=True):
    """The rules of one pass, which knows the newest record of every key in `[.., end_offset)`.

    Every replica has what is below `replicated_offset`.
    """

    keys: KeyMap
    end_offset: int
    replicated_offset: int
    now_ms: int
    delete_retention_ms: int

    def apply(self, header: BatchHeader, batch: memoryview) -> Retained:
        """Decide what a batch becomes. Raises: CorruptBatch."""
        if header.is_control or header.base_offset >= self.end_offset:
            return Retained(batch, header.delete_horizon_ms)
        data = data_of(header, batch)
        horizon_ms = header.delete_horizon_ms
        expired = self._is_expired(horizon_ms) and header.last_offset < self.replicated_offset
        keeps, tombstones = bytearray(), 0
        for record in scan_records(header, data):
            kept = self._keeps(header, record, expired=expired)
            tombstones += kept and record.is_tombstone
            keeps.append(kept)
        if not any(keeps):
            return Retained(None, None)
        if not tombstones:
            horizon_ms = None
        elif horizon_ms is None:
            horizon_ms = self.now_ms + self.delete_retention_ms
        if all(keeps) and horizon_ms == header.delete_horizon_ms:
            return Retained(batch, horizon_ms)
        rebuilt = keep_records(header, data, keeps, delete_horizon_ms=horizon_ms)
        return Retained(rebuilt, horizon_ms)

    def holds_back(self, header: BatchHeader, horizon_ms: int | None) -> bool:
        """Say whether a batch's tombstones would go if every replica had them."""
        return self._is_expired(horizon_ms) and header.last_offset >= self.replicated_offset

    def _is_expired(self, horizon_ms: int | None) -> bool:
        return horizon_ms is not None and horizon_ms <= self.now_ms

    def _keeps(self, header: BatchHeader, record: RawRecord, *, expired: bool) -> bool:
        if record.key is None:
            return True  # it supersedes nothing, and nothing supersedes it
        if header.base_offset + record.offset_delta < self.keys.newest(record.key):
            return False
        return not (expired and record.is_tombstone)


def is_needed_empty(
    header: BatchHeader, *, epoch_starts: Mapping[int, int], producers: ProducerStates
) -> bool:
    """Say whether a batch has to stay although no record is left of it.

    It is the first of its leader epoch, and a recovery must find where that began; or one of the
    last batches, below the end of the pass, of a producer, which may send it again.
    """
    start_offset = epoch_starts.get(header.partition_leader_epoch, -1)
    if header.base_offset <= start_offset <= header.last_offset:
        return True
    entry = producers.entry(header.producer_id)
    if entry is None:
        return False
    return any(batch.base_offset == header.base_offset for batch in entry.batches)
