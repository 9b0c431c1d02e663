"""Fetched batches: which of them hold records for the reader, and opening those.

Must never know: how they were fetched, positions of other partitions.
"""

from __future__ import annotations

import struct
from collections import deque
from itertools import repeat
from typing import TYPE_CHECKING, Final, NamedTuple

from client.records import ConsumerRecord, TopicPartition
from protocol.batch import BatchHeader, check_crc, split_batches
from protocol.records import decode_batch, decode_in_columns

if TYPE_CHECKING:
    from collections.abc import Sequence

    from protocol.api.fetch import AbortedTransaction

_CONTROL_KEY: Final = struct.Struct(">hh")
_ABORT: Final = 0


class FetchedBatch(NamedTuple):
    """One batch; `data` is None where its records are not for the reader."""

    header: BatchHeader
    data: memoryview | None


def split_fetched(
    records: bytes | memoryview,
    *,
    from_offset: int,
    aborted: Sequence[AbortedTransaction] | None = None,
) -> list[FetchedBatch]:
    """Cut fetched records into batches that reach to `from_offset` or beyond.

    Markers, and the batches of `aborted` transactions, hold nothing for the reader. Raises:
    CorruptBatch.
    """
    aborts = deque(sorted(aborted or (), key=lambda entry: entry.first_offset))
    aborting: set[int] = set()
    batches = []
    for header, batch in split_batches(records, allow_cut=True):
        if header.next_offset <= from_offset:
            continue
        while aborts and aborts[0].first_offset <= header.last_offset:
            aborting.add(aborts.popleft().producer_id)
        readable = True
        if header.is_control:
            readable = False
            if header.producer_id in aborting and _is_abort_marker(batch):
                aborting.discard(header.producer_id)
        elif header.is_transactional and header.producer_id in aborting:
            readable = False
        batches.append(FetchedBatch(header, batch if readable else None))
    return batches


def open_batch(
    place: TopicPartition, batch: FetchedBatch, *, from_offset: int, check: bool
) -> list[ConsumerRecord]:
    """Decode the records of a batch from an offset on. Raises: CorruptBatch."""
    header, data = batch
    if data is None:
        return []
    if check:
        check_crc(data)
    columns = decode_in_columns(header, data)
    epochs = repeat(header.partition_leader_epoch)
    records = list(
        map(ConsumerRecord, repeat(place.topic), repeat(place.partition), *columns, epochs)
    )
    if min(columns.offsets, default=from_offset) < from_offset:
        return [record for record in records if record.offset >= from_offset]
    return records


def _is_abort_marker(batch: memoryview) -> bool:
    records = decode_batch(batch)
    key = records[0].key if records else None
    if key is None or len(key) < _CONTROL_KEY.size:
        return False
    return bool(_CONTROL_KEY.unpack_from(key)[1] == _ABORT)
