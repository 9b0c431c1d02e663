"""The record batch, magic 2: its header, its checksum, and what a broker changes in it.

A batch is never opened here: records stay what the producer sent. Positions are bytes.
Must never know: records, disks, partitions. Source: Kafka protocol guide, "Record Batch"; KIP-98.
"""

from __future__ import annotations

import struct
from enum import IntEnum
from typing import Final

from crc32c import crc32c
from msgspec import Struct
from msgspec.structs import astuple, replace

from protocol.compression import Compression
from protocol.errors import CorruptBatch, ErrorCode

HEADER_BYTES: Final = 61
MAGIC: Final = 2
NO_PRODUCER_ID: Final = -1
NO_SEQUENCE: Final = -1
NO_TIMESTAMP: Final = -1
TIMESTAMP_END: Final = 2**62
"""No record that compaction may have to write is so many milliseconds from 1970, either way.

The distance of any two such times, which is what records hold, fits into 64 bits.
"""

Buffer = bytes | bytearray | memoryview

_PREFIX_BYTES: Final = 12  # base offset and length, which the length does not count
_EPOCH_POSITION: Final = 12
_MAGIC_POSITION: Final = 16
_CRC_POSITION: Final = 17
_CHECKED_POSITION: Final = 21  # what follows is covered by the checksum
_ATTRIBUTES_POSITION: Final = 21
_BASE_TIMESTAMP_POSITION: Final = 27
_MAX_TIMESTAMP_POSITION: Final = 35

_HEADER: Final = struct.Struct(">qiibIhiqqqhii")
_INT64: Final = struct.Struct(">q")
_TIMESTAMPS: Final = struct.Struct(">qq")
_INT32: Final = struct.Struct(">i")
_INT16: Final = struct.Struct(">h")
_UINT32: Final = struct.Struct(">I")

_COMPRESSION_MASK: Final = 0x07
_LOG_APPEND_TIME: Final = 0x08
_TRANSACTIONAL: Final = 0x10
_CONTROL: Final = 0x20
_DELETE_HORIZON: Final = 0x40
_SEQUENCE_MASK: Final = 0x7FFFFFFF


class UnsupportedMagic(CorruptBatch):
    """Records of a format from before 2017; only magic 2 is spoken here."""

    code = ErrorCode.INVALID_RECORD


class TimestampType(IntEnum):
    """Who set the timestamps of a batch."""

    CREATE_TIME = 0
    LOG_APPEND_TIME = 1


class BatchHeader(Struct, frozen=True, gc=False):
    """The header of one batch; `size_bytes` is the whole batch, with the prefix.

    Offsets in the batch are `[base_offset, next_offset)`; after compaction there may be fewer
    records than offsets.
    """

    base_offset: int
    size_bytes: int
    partition_leader_epoch: int
    magic: int
    crc: int
    attributes: int
    last_offset_delta: int
    base_timestamp: int
    max_timestamp: int
    producer_id: int
    producer_epoch: int
    base_sequence: int
    record_count: int

    @property
    def last_offset(self) -> int:
        """Give the last record's offset."""
        return self.base_offset + self.last_offset_delta

    @property
    def next_offset(self) -> int:
        """Give the offset that follows the batch."""
        return self.base_offset + self.last_offset_delta + 1

    @property
    def last_sequence(self) -> int:
        """Give the last record's sequence number, in [0, 2^31); -1 where there are none."""
        if self.base_sequence < 0:
            return NO_SEQUENCE
        return (self.base_sequence + self.last_offset_delta) & _SEQUENCE_MASK

    @property
    def compression(self) -> Compression:
        """Give how the records are compressed."""
        return Compression(self.attributes & _COMPRESSION_MASK)

    @property
    def timestamp_type(self) -> TimestampType:
        """Give who set the timestamps."""
        return TimestampType(bool(self.attributes & _LOG_APPEND_TIME))

    @property
    def is_transactional(self) -> bool:
        """Say whether the batch is part of a transaction."""
        return bool(self.attributes & _TRANSACTIONAL)

    @property
    def is_control(self) -> bool:
        """Say whether the batch holds a transaction's marker instead of data."""
        return bool(self.attributes & _CONTROL)

    @property
    def delete_horizon_ms(self) -> int | None:
        """Give the time after which compaction removes the batch's tombstones; None: not yet known.

        It stands in the place of the base timestamp. Source: KIP-534.
        """
        return self.base_timestamp if self.attributes & _DELETE_HORIZON else None

    def compressed_as(self, kind: Compression) -> BatchHeader:
        """Give the header of the batch with its records compressed otherwise."""
        return replace(self, attributes=self.attributes & ~_COMPRESSION_MASK | kind)

    def with_delete_horizon(self, horizon_ms: int | None, *, base_timestamp: int) -> BatchHeader:
        """Give the header with another horizon; without one, with that base timestamp."""
        if horizon_ms is None:
            attributes = self.attributes & ~_DELETE_HORIZON
            return replace(self, attributes=attributes, base_timestamp=base_timestamp)
        attributes = self.attributes | _DELETE_HORIZON
        return replace(self, attributes=attributes, base_timestamp=horizon_ms)

    def emptied(self) -> BatchHeader:
        """Give the header of the batch without its records: offsets, epoch and producer stay."""
        return replace(
            self,
            attributes=self.attributes & ~(_COMPRESSION_MASK | _DELETE_HORIZON),
            base_timestamp=NO_TIMESTAMP,
            max_timestamp=NO_TIMESTAMP,
            record_count=0,
        )


def read_header(buffer: Buffer, position: int = 0) -> BatchHeader:
    """Read the header at `position`; the records behind it need not be there.

    Raises: CorruptBatch where it is cut or contradicts itself; UnsupportedMagic.
    """
    if len(buffer) - position <= _MAGIC_POSITION:
        raise CorruptBatch(f"batch cut: {len(buffer) - position} bytes left for its header")
    magic = buffer[position + _MAGIC_POSITION]
    if magic != MAGIC:
        raise UnsupportedMagic(f"records of magic {magic}, only magic {MAGIC} is supported")
    if len(buffer) - position < HEADER_BYTES:
        raise CorruptBatch(f"batch cut: {len(buffer) - position} bytes left for its header")
    base_offset, length, *rest = _HEADER.unpack_from(buffer, position)
    header = BatchHeader(base_offset, length + _PREFIX_BYTES, *rest)
    if (
        header.size_bytes < HEADER_BYTES
        or base_offset < 0
        or header.last_offset_delta < 0
        or not 0 <= header.record_count <= header.last_offset_delta + 1
        or header.attributes & _COMPRESSION_MASK > max(Compression)
    ):
        raise CorruptBatch(f"batch contradicts itself: {header}")
    return header


def timestamps_of(batch: Buffer) -> tuple[int, int]:
    """Read what a batch says of its first and its newest record's time. Raises: CorruptBatch."""
    if len(batch) < HEADER_BYTES:
        raise CorruptBatch(f"{len(batch)} bytes are no batch: its header alone has {HEADER_BYTES}")
    first_ms, newest_ms = _TIMESTAMPS.unpack_from(batch, _BASE_TIMESTAMP_POSITION)
    return first_ms, newest_ms


def split_batches(
    buffer: Buffer,
    *,
    check_crc: bool = False,
    allow_cut: bool = False,
    batches_max: int | None = None,
) -> list[tuple[BatchHeader, memoryview]]:
    """Cut a records field into its batches, which are views of it; `batches_max` of them at most.

    A last batch that is not whole is left out if `allow_cut`, as consumers do: brokers may send
    as much as was asked for. Raises: CorruptBatch, UnsupportedMagic.
    """
    view = memoryview(buffer)
    end = len(view)
    batches: list[tuple[BatchHeader, memoryview]] = []
    position = 0
    while position < end and len(batches) != batches_max:
        if allow_cut and end - position < HEADER_BYTES:
            break
        header = read_header(view, position)
        batch_end = position + header.size_bytes
        if batch_end > end:
            if allow_cut:
                break
            raise CorruptBatch(f"batch of {header.size_bytes} bytes, {end - position} are there")
        batch = view[position:batch_end]
        if check_crc:
            check_batch_crc(batch, header.crc)
        batches.append((header, batch))
        position = batch_end
    return batches


def check_crc(batch: Buffer) -> None:
    """Check the CRC-32C of one whole batch. Raises: CorruptBatch."""
    check_batch_crc(batch, _UINT32.unpack_from(batch, _CRC_POSITION)[0])


def check_batch_crc(batch: Buffer, expected: int) -> None:
    """Check one whole batch against its header's CRC-32C, read before. Raises: CorruptBatch."""
    actual = crc32c(memoryview(batch)[_CHECKED_POSITION:])
    if actual != expected:
        raise CorruptBatch(f"batch fails its checksum: {actual:#010x} instead of {expected:#010x}")


def assign(batch: bytearray | memoryview, *, base_offset: int, leader_epoch: int) -> None:
    """Set offset and leader epoch in a writable batch; the checksum does not cover them."""
    _INT64.pack_into(batch, 0, base_offset)
    _INT32.pack_into(batch, _EPOCH_POSITION, leader_epoch)


def set_log_append_time(batch: bytearray | memoryview, timestamp_ms: int) -> None:
    """Stamp a writable batch with the broker's time, and its checksum anew."""
    view = memoryview(batch)
    (attributes,) = _INT16.unpack_from(view, _ATTRIBUTES_POSITION)
    _INT16.pack_into(view, _ATTRIBUTES_POSITION, attributes | _LOG_APPEND_TIME)
    _INT64.pack_into(view, _MAX_TIMESTAMP_POSITION, timestamp_ms)
    _UINT32.pack_into(view, _CRC_POSITION, crc32c(view[_CHECKED_POSITION:]))


def assigned(
    batch: memoryview,
    *,
    base_offset: int,
    leader_epoch: int,
    log_append_time_ms: int | None = None,
) -> list[bytearray | memoryview]:
    """Give a batch with offset and epoch set, as chunks to write: a new header and the old records.

    The batch itself may be read-only and stays as it is; its records are not copied. With
    `log_append_time_ms` the batch is stamped with the broker's time, too.
    """
    header = bytearray(batch[:HEADER_BYTES])
    records = batch[HEADER_BYTES:]
    assign(header, base_offset=base_offset, leader_epoch=leader_epoch)
    if log_append_time_ms is not None:
        set_log_append_time(header, log_append_time_ms)
        crc = crc32c(records, _UINT32.unpack_from(header, _CRC_POSITION)[0])
        _UINT32.pack_into(header, _CRC_POSITION, crc)
    return [header, records]


def make_batch(header: BatchHeader, records: bytes) -> bytes:
    """Put a batch together; size, magic and checksum are computed, whatever `header` says."""
    size_bytes = HEADER_BYTES + len(records)
    packed = bytearray(
        _HEADER.pack(
            header.base_offset,
            size_bytes - _PREFIX_BYTES,
            header.partition_leader_epoch,
            MAGIC,
            0,
            *astuple(header)[5:],
        )
    )
    crc = crc32c(records, crc32c(memoryview(packed)[_CHECKED_POSITION:]))
    _UINT32.pack_into(packed, _CRC_POSITION, crc)
    return bytes(packed) + records
