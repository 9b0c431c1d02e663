"""Batches as compaction leaves them: made by hand, so that no cleaner of ours is believed."""

from __future__ import annotations

from collections.abc import Container, Sequence

from msgspec.structs import replace

from protocol.batch import BatchHeader, make_batch, read_header
from protocol.compression import compress
from protocol.records import Record, decode_batch
from protocol.varint import encode_varint

DELETE_HORIZON = 0x40
COMPRESSION = 0x07


def keep_only(batch: bytes, offsets: Container[int], *, horizon_ms: int | None = None) -> bytes:
    """Give a batch with these of its records; all else about it stays.

    With `horizon_ms` it says from when on its tombstones may go (KIP-534).
    """
    header = read_header(batch)
    kept = [record for record in decode_batch(batch) if record.offset in offsets]
    if not kept:
        attributes = header.attributes & ~(COMPRESSION | DELETE_HORIZON)
        emptied = replace(header, attributes=attributes, base_timestamp=-1, record_count=0)
        return make_batch(emptied, b"")
    if horizon_ms is not None:
        attributes = header.attributes | DELETE_HORIZON
        header = replace(header, attributes=attributes, base_timestamp=horizon_ms)
    newest_ms = max(record.timestamp_ms for record in kept)
    header = replace(header, max_timestamp=newest_ms, record_count=len(kept))
    return make_batch(header, compress(header.compression, _encode(header, kept)))


def _encode(header: BatchHeader, records: Sequence[Record]) -> bytes:
    assert not any(record.headers for record in records), "records without headers will do"
    encoded = []
    for record in records:
        body = b"".join(
            (
                b"\0",
                encode_varint(record.timestamp_ms - header.base_timestamp),
                encode_varint(record.offset - header.base_offset),
                _nullable(record.key),
                _nullable(record.value),
                b"\0",
            )
        )
        encoded.append(encode_varint(len(body)) + body)
    return b"".join(encoded)


def _nullable(data: bytes | None) -> bytes:
    return encode_varint(-1) if data is None else encode_varint(len(data)) + data
