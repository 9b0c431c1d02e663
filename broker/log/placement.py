"""Where batches come to lie in a log: offsets, epoch and time are given to them here.

Must never know: files, segments.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from protocol.batch import assigned

if TYPE_CHECKING:
    from protocol.batch import BatchHeader


class Placed(NamedTuple):
    """A batch as it lies in the log: its offsets, size and newest timestamp."""

    base_offset: int
    last_offset: int
    size_bytes: int
    max_timestamp_ms: int


def place(header: BatchHeader) -> Placed:
    """Take from a header on the disk what the indexes need."""
    return Placed(header.base_offset, header.last_offset, header.size_bytes, header.max_timestamp)


def place_batch(
    header: BatchHeader,
    batch: memoryview,
    *,
    base_offset: int,
    leader_epoch: int,
    stamp_ms: int | None,
) -> tuple[list[bytearray | memoryview], Placed]:
    """Give a producer's batch its offsets from `base_offset` on, its epoch, perhaps a time.

    Returns: chunks to write, in which records are not copied; and where the batch lies.
    """
    chunks = assigned(
        batch, base_offset=base_offset, leader_epoch=leader_epoch, log_append_time_ms=stamp_ms
    )
    last_offset = base_offset + header.last_offset_delta
    timestamp_ms = header.max_timestamp if stamp_ms is None else stamp_ms
    return chunks, Placed(base_offset, last_offset, header.size_bytes, timestamp_ms)
