"""Records within a batch, for clients and tools. Must never know: sockets, disks, partitions.

Written to be quick in pure Python: varints up to 1,023 come from a table, a record is one join.
Source: Kafka protocol guide, "Record".
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from msgspec import Struct

from protocol.batch import (
    HEADER_BYTES,
    MAGIC,
    NO_PRODUCER_ID,
    NO_SEQUENCE,
    NO_TIMESTAMP,
    BatchHeader,
    Buffer,
    TimestampType,
    make_batch,
    read_header,
)
from protocol.compression import DECOMPRESSED_BYTES_MAX, Compression, compress, decompress
from protocol.errors import CorruptBatch
from protocol.record_decoder import Columns, Header, decode_columns
from protocol.varint import Malformed, encode_varint

_VARINTS: Final = tuple(encode_varint(value) for value in range(1024))
_TABLE_SIZE: Final = len(_VARINTS)
_NULL: Final = encode_varint(-1)
_NO_HEADERS: Final = _VARINTS[0]
RECORD_BYTES_MIN: Final = 7  # length, attributes, two deltas, key, value, count of headers
_TRANSACTIONAL: Final = 0x10


class Record(Struct, frozen=True, gc=False):
    """One record; `headers` may repeat a name."""

    offset: int
    timestamp_ms: int
    key: bytes | None
    value: bytes | None
    headers: tuple[Header, ...] = ()


class BatchBuilder:
    """Collects records for one batch, encoded as they come."""

    def __init__(self) -> None:
        """Begin an empty batch."""
        self._body = bytearray()
        self._count = 0
        self._last_offset_delta = 0
        self._base_timestamp = NO_TIMESTAMP
        self._max_timestamp = NO_TIMESTAMP

    def __len__(self) -> int:
        return self._count

    @property
    def size_bytes(self) -> int:
        """Give the size of the batch if it were not compressed."""
        return HEADER_BYTES + len(self._body)

    def append(
        self,
        timestamp_ms: int,
        key: bytes | None,
        value: bytes | None,
        headers: Sequence[Header] = (),
    ) -> int:
        """Add a record, at the next offset of the batch.

        Returns: the size of the batch if it were not compressed.
        """
        offset_delta = self._last_offset_delta + 1 if self._count else 0
        return self.append_at(offset_delta, timestamp_ms, key, value, headers)

    def append_at(
        self,
        offset_delta: int,
        timestamp_ms: int,
        key: bytes | None,
        value: bytes | None,
        headers: Sequence[Header] = (),
    ) -> int:
        """Add a record at an offset relative to the batch's, greater than those before.

        Returns: the size of the batch if it were not compressed.
        """
        if not self._count:
            self._base_timestamp = self._max_timestamp = timestamp_ms
        assert offset_delta > self._last_offset_delta or not self._count, "offsets only grow"
        timestamp_delta = timestamp_ms - self._base_timestamp
        record = b"".join(
            (
                b"\0",
                _VARINTS[timestamp_delta]
                if 0 <= timestamp_delta < _TABLE_SIZE
                else encode_varint(timestamp_delta),
                _VARINTS[offset_delta]
                if offset_delta < _TABLE_SIZE
                else encode_varint(offset_delta),
                _NULL if key is None else _length(len(key)),
                key or b"",
                _NULL if value is None else _length(len(value)),
                value or b"",
                _encode_headers(headers) if headers else _NO_HEADERS,
            )
        )
        if timestamp_ms > self._max_timestamp:  # noqa: PLR1730 - max() costs a call per record
            self._max_timestamp = timestamp_ms
        self._body += _length(len(record))
        self._body += record
        self._last_offset_delta = offset_delta
        self._count += 1
        return HEADER_BYTES + len(self._body)

    def build(
        self,
        *,
        compression: Compression = Compression.NONE,
        producer_id: int = NO_PRODUCER_ID,
        producer_epoch: int = -1,
        base_sequence: int = NO_SEQUENCE,
        base_offset: int = 0,
        leader_epoch: int = -1,
    ) -> bytes:
        """Give the whole batch, checksummed. More records may be added, and it built again."""
        header = BatchHeader(
            base_offset=base_offset,
            size_bytes=0,
            partition_leader_epoch=leader_epoch,
            magic=MAGIC,
            crc=0,
            attributes=compression,
            last_offset_delta=self._last_offset_delta,
            base_timestamp=self._base_timestamp,
            max_timestamp=self._max_timestamp,
            producer_id=producer_id,
            producer_epoch=producer_epoch,
            base_sequence=base_sequence,
            record_count=self._count,
        )
        return make_batch(header, compress(compression, self._body) if self._count else b"")


def encode_batch(  # noqa: PLR0913 - what the header of a batch says, keyword-only
    records: Iterable[Record],
    *,
    compression: Compression = Compression.NONE,
    producer_id: int = NO_PRODUCER_ID,
    producer_epoch: int = -1,
    base_sequence: int = NO_SEQUENCE,
    base_offset: int = 0,
    leader_epoch: int = -1,
) -> bytes:
    """Encode records at their offsets, ascending from `base_offset` or later, as one batch."""
    builder = BatchBuilder()
    append_at = builder.append_at
    for one in records:
        append_at(one.offset - base_offset, one.timestamp_ms, one.key, one.value, one.headers)
    return builder.build(
        compression=compression,
        producer_id=producer_id,
        producer_epoch=producer_epoch,
        base_sequence=base_sequence,
        base_offset=base_offset,
        leader_epoch=leader_epoch,
    )


def decode_batch(batch: Buffer, *, bytes_max: int = DECOMPRESSED_BYTES_MAX) -> list[Record]:
    """Decode all records of one whole batch, decompressed to at most `bytes_max` bytes.

    The checksum is not looked at. Raises: CorruptBatch.
    """
    columns = decode_in_columns(read_header(batch), batch, bytes_max=bytes_max)
    return list(map(Record, *columns))


def decode_in_columns(
    header: BatchHeader, batch: Buffer, *, bytes_max: int = DECOMPRESSED_BYTES_MAX
) -> Columns:
    """Decode as `decode_batch` does, for who makes something else of the fields.

    Raises: CorruptBatch.
    """
    return decode_data(header, data_of(header, batch, bytes_max=bytes_max))


def decode_data(header: BatchHeader, data: bytes) -> Columns:
    """Decode what `data_of` gave of a batch. Raises: CorruptBatch."""
    try:
        columns = decode_columns(
            data,
            count=header.record_count,
            base_offset=header.base_offset,
            base_timestamp=header.base_timestamp,
        )
    except (Malformed, IndexError) as error:
        raise _damaged(header, error) from None
    if header.timestamp_type is TimestampType.LOG_APPEND_TIME:
        return columns._replace(timestamps_ms=[header.max_timestamp] * header.record_count)
    return columns


def data_of(
    header: BatchHeader, batch: Buffer, *, bytes_max: int = DECOMPRESSED_BYTES_MAX
) -> bytes:
    """Give what one whole batch's records were encoded as, decompressed. Raises: CorruptBatch."""
    if header.size_bytes != len(batch):
        raise CorruptBatch(f"batch of {header.size_bytes} bytes in a buffer of {len(batch)}")
    if not header.record_count:
        return b""
    body = memoryview(batch)[HEADER_BYTES:]
    data = decompress(header.compression, body, bytes_max=bytes_max)
    if header.record_count > len(data) // RECORD_BYTES_MIN:
        raise CorruptBatch(f"{header.record_count} records announced in {len(data)} bytes")
    return data


def _damaged(header: BatchHeader, error: Exception) -> CorruptBatch:
    return CorruptBatch(f"damaged record in the batch at {header.base_offset}: {error}")


def _length(value: int) -> bytes:
    return _VARINTS[value] if value < _TABLE_SIZE else encode_varint(value)


def _encode_headers(headers: Sequence[Header]) -> bytes:
    parts = [_length(len(headers))]
    for name, value in headers:
        encoded = name.encode()
        parts += (_length(len(encoded)), encoded)
        parts += (_NULL,) if value is None else (_length(len(value)), value)
    return b"".join(parts)
