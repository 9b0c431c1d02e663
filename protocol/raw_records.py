"""Records of a batch as bytes that stay what they are: read for their keys, kept or left out.

What is kept is not encoded anew; only where the batch's base timestamp changes, the records'
distances to it do. A batch may unfold to millions of records: they are never all held at once.
Must never know: which records are to be kept, disks.
Source: Kafka protocol guide, "Record"; KIP-534.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from msgspec import Struct
from msgspec.structs import replace

from protocol.batch import (
    NO_TIMESTAMP,
    TIMESTAMP_END,
    BatchHeader,
    TimestampType,
    make_batch,
)
from protocol.compression import compress
from protocol.errors import CorruptBatch
from protocol.varint import Malformed, encode_varint, read_varint

if TYPE_CHECKING:
    from collections.abc import Iterator

_ZIGZAG: Final = tuple((value >> 1) ^ -(value & 1) for value in range(128))


class RawRecord(Struct, frozen=True, gc=False):
    """One record: its deltas, its key, whether it has a value, and its place in the batch's data.

    It lies in `[start, end)`, and all that follows its timestamp in `[rest, end)`.
    """

    offset_delta: int
    timestamp_delta: int
    key: bytes | None
    has_value: bool
    start: int
    rest: int
    end: int

    @property
    def is_tombstone(self) -> bool:
        """Say whether it deletes what was there under its key."""
        return self.key is not None and not self.has_value


def scan_records(header: BatchHeader, data: bytes) -> Iterator[RawRecord]:
    """Find the records in a batch's data (`protocol.records.data_of`), one after the other.

    Raises: CorruptBatch, also where their offsets do not rise within the batch, or a time is beyond
    `TIMESTAMP_END`.
    """
    try:
        yield from _scan(header, data)
    except (Malformed, IndexError) as error:
        raise CorruptBatch(
            f"damaged record in the batch at {header.base_offset}: {error}"
        ) from None


def _scan(header: BatchHeader, data: bytes) -> Iterator[RawRecord]:
    # Most numbers are of one byte; a call for each would double the time.
    zigzag = _ZIGZAG
    earliest, latest = _timestamp_deltas(header)
    p, last_delta = 0, -1
    for _ in range(header.record_count):
        start = p
        n = data[p]
        size, p = (zigzag[n], p + 1) if n < 128 else read_varint(data, p)
        end = p + size
        p += 1  # attributes, of which there are none
        n = data[p]
        timestamp_delta, rest = (zigzag[n], p + 1) if n < 128 else read_varint(data, p)
        if not earliest < timestamp_delta < latest:
            raise Malformed(f"timestamp {header.base_timestamp + timestamp_delta}")
        n = data[rest]
        offset_delta, p = (zigzag[n], rest + 1) if n < 128 else read_varint(data, rest)
        if not last_delta < offset_delta <= header.last_offset_delta:
            raise Malformed(f"offset delta {offset_delta} follows {last_delta}")
        n = data[p]
        size, p = (zigzag[n], p + 1) if n < 128 else read_varint(data, p)
        key = None
        if size >= 0:
            key = data[p : p + size]
            p += size
        n = data[p]
        size, p = (zigzag[n], p + 1) if n < 128 else read_varint(data, p)
        if not p + max(size, 0) < end <= len(data):
            raise Malformed("fields do not fit into the record")
        yield RawRecord(offset_delta, timestamp_delta, key, size >= 0, start, rest, end)
        p, last_delta = end, offset_delta
    if p != len(data):
        raise Malformed(f"{len(data) - p} bytes after the last record")


def _timestamp_deltas(header: BatchHeader) -> tuple[int, int]:
    base_timestamp = header.base_timestamp
    return -TIMESTAMP_END - base_timestamp, TIMESTAMP_END - base_timestamp


def keep_records(
    header: BatchHeader, data: bytes, keeps: bytes | bytearray, *, delete_horizon_ms: int | None
) -> bytes:
    """Put a batch together of those of its records, at least one, for which `keeps` has a 1.

    Offsets, epochs, producer, sequence numbers and compression stay; so do the records'
    timestamps, whatever the horizon, which stands where the base timestamp was. One that would be
    beyond `TIMESTAMP_END` never comes, and is written as just before that.
    """
    if delete_horizon_ms is not None:
        delete_horizon_ms = min(delete_horizon_ms, TIMESTAMP_END - 1)
    old_base = header.base_timestamp
    shift_ms, count, newest_ms = 0, 0, NO_TIMESTAMP
    body = bytearray()
    for record, keep in zip(scan_records(header, data), keeps, strict=True):
        if not keep:
            continue
        timestamp_ms = old_base + record.timestamp_delta
        if not count:
            newest_ms = timestamp_ms
            without = old_base if header.delete_horizon_ms is None else timestamp_ms
            base_ms = without if delete_horizon_ms is None else delete_horizon_ms
            shift_ms = old_base - base_ms
        newest_ms = max(newest_ms, timestamp_ms)
        body += _shifted(data, record, shift_ms) if shift_ms else data[record.start : record.end]
        count += 1
    changed = header.with_delete_horizon(delete_horizon_ms, base_timestamp=old_base - shift_ms)
    if header.timestamp_type is TimestampType.CREATE_TIME:
        changed = replace(changed, max_timestamp=newest_ms)
    counted = replace(changed, record_count=count)
    return make_batch(counted, compress(header.compression, body))


def _shifted(data: bytes, record: RawRecord, shift_ms: int) -> bytes:
    timestamp = encode_varint(record.timestamp_delta + shift_ms)
    rest = data[record.rest : record.end]
    return encode_varint(1 + len(timestamp) + len(rest)) + b"\0" + timestamp + rest


def emptied(header: BatchHeader) -> bytes:
    """Put the batch together without its records."""
    return make_batch(header.emptied(), b"")
