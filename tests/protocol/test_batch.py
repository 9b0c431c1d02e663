"""Batch headers, checksums, and what a broker changes."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from protocol.batch import (
    HEADER_BYTES,
    TimestampType,
    UnsupportedMagic,
    assign,
    assigned,
    check_crc,
    read_header,
    set_log_append_time,
    split_batches,
    timestamps_of,
)
from protocol.compression import Compression
from protocol.errors import CorruptBatch, ErrorCode
from protocol.records import Record, decode_batch, encode_batch

RECORDS = [Record(i, 1_000 + i, b"key", b"value %d" % i) for i in range(3)]
BATCH = encode_batch(
    RECORDS, producer_id=9, producer_epoch=2, base_sequence=5, leader_epoch=1, base_offset=0
)


def test_a_header_says_what_the_batch_is() -> None:
    header = read_header(b"??" + BATCH, 2)

    assert header.size_bytes == len(BATCH)
    assert (header.base_offset, header.last_offset, header.next_offset) == (0, 2, 3)
    assert (header.base_timestamp, header.max_timestamp) == (1_000, 1_002)
    assert (header.producer_id, header.producer_epoch, header.base_sequence) == (9, 2, 5)
    assert header.last_sequence == 7
    assert header.record_count == 3
    assert header.compression is Compression.NONE
    assert header.timestamp_type is TimestampType.CREATE_TIME
    assert not header.is_transactional
    assert not header.is_control


def test_times_are_read_without_the_rest() -> None:
    assert timestamps_of(BATCH) == (1_000, 1_002)
    with pytest.raises(CorruptBatch, match="60 bytes are no batch"):
        timestamps_of(BATCH[: HEADER_BYTES - 1])


@pytest.mark.parametrize(
    ("base", "last"), [(-1, -1), (0, 2), (2**31 - 3, 2**31 - 1), (2**31 - 2, 0), (2**31 - 1, 1)]
)
def test_sequence_numbers_wrap_to_zero(base: int, last: int) -> None:
    assert replace(read_header(BATCH), base_sequence=base).last_sequence == last


@pytest.mark.parametrize(("attributes", "name"), [(0x10, "is_transactional"), (0x20, "is_control")])
def test_attributes_are_flags(attributes: int, name: str) -> None:
    assert getattr(replace(read_header(BATCH), attributes=attributes), name)


def test_a_delete_horizon_stands_where_the_base_timestamp_was() -> None:
    header = read_header(BATCH)

    assert header.delete_horizon_ms is None
    assert replace(header, attributes=0x40).delete_horizon_ms == header.base_timestamp


@given(st.integers(8 * 17, 8 * len(BATCH) - 1))
def test_every_bit_flip_from_the_checksum_on_is_found(bit: int) -> None:
    damaged = bytearray(BATCH)
    damaged[bit // 8] ^= 1 << bit % 8
    with pytest.raises(CorruptBatch):
        check_crc(damaged)


def test_a_checksum_that_holds_passes() -> None:
    check_crc(BATCH)
    check_crc(memoryview(bytearray(BATCH)))


@given(st.binary(max_size=100))
def test_random_headers_are_refused_or_read(noise: bytes) -> None:
    with contextlib.suppress(CorruptBatch):
        read_header(noise[:16] + b"\x02" + noise[16:])


@pytest.mark.parametrize("size", [0, 16, 17, 60])
def test_a_cut_header_is_refused(size: int) -> None:
    with pytest.raises(CorruptBatch, match="cut"):
        read_header(BATCH[:size])


@pytest.mark.parametrize("magic", [0, 1, 3, 255])
def test_other_magics_are_refused_as_such(magic: int) -> None:
    old = BATCH[:16] + bytes([magic]) + BATCH[17:]

    with pytest.raises(UnsupportedMagic, match=f"magic {magic}") as caught:
        read_header(old)
    assert caught.value.code is ErrorCode.INVALID_RECORD


@pytest.mark.parametrize(
    ("position", "value"),
    [
        (0, b"\xff" * 8),  # base offset -1
        (8, (48).to_bytes(4)),  # shorter than its header
        (8, b"\xff\xff\xff\xff"),
        (21, b"\0\5"),  # no such compression
        (23, b"\xff\xff\xff\xff"),  # last offset delta -1
        (57, b"\xff\xff\xff\xff"),  # record count -1
        (57, b"\0\0\0\4"),  # more records than offsets
    ],
)
def test_a_header_that_contradicts_itself_is_refused(position: int, value: bytes) -> None:
    batch = BATCH[:position] + value + BATCH[position + len(value) :]

    with pytest.raises(CorruptBatch, match="contradicts itself"):
        read_header(batch)


def test_batches_are_split_into_views() -> None:
    buffer = BATCH + encode_batch(RECORDS[:1]) + BATCH
    split = split_batches(buffer, check_crc=True)

    assert b"".join(batch for _, batch in split) == buffer
    assert [header.record_count for header, _ in split] == [3, 1, 3]
    assert all(batch.obj is buffer for _, batch in split)


def test_no_bytes_hold_no_batches() -> None:
    assert split_batches(b"") == []


@given(st.integers(1, len(BATCH) - 1))
def test_a_cut_batch_at_the_end_is_refused_or_left_out(size: int) -> None:
    buffer = BATCH + BATCH[:size]

    with pytest.raises(CorruptBatch):
        split_batches(buffer)
    assert [batch for _, batch in split_batches(buffer, allow_cut=True)] == [BATCH]


def test_split_checks_checksums_on_request() -> None:
    damaged = BATCH[:-1] + b"?"

    assert len(split_batches(damaged)) == 1
    with pytest.raises(CorruptBatch, match="checksum"):
        split_batches(damaged, check_crc=True)


def test_assigning_changes_offset_and_epoch_and_keeps_the_checksum() -> None:
    batch = bytearray(BATCH)
    assign(memoryview(batch)[:], base_offset=2**40, leader_epoch=77)
    header = read_header(batch)

    check_crc(batch)
    assert (header.base_offset, header.partition_leader_epoch) == (2**40, 77)
    assert header == replace(read_header(BATCH), base_offset=2**40, partition_leader_epoch=77)
    assert [record.offset for record in decode_batch(batch)] == [2**40, 2**40 + 1, 2**40 + 2]


def test_assigned_chunks_leave_the_batch_alone_and_do_not_copy_its_records() -> None:
    in_place = bytearray(BATCH)
    assign(in_place, base_offset=12, leader_epoch=3)
    head, records = assigned(memoryview(BATCH), base_offset=12, leader_epoch=3)

    assert bytes(head) + bytes(records) == in_place
    assert len(head) == HEADER_BYTES
    assert isinstance(records, memoryview)
    assert records.obj is BATCH
    assert read_header(BATCH).base_offset == 0


def test_log_append_time_stamps_every_record_under_a_new_checksum() -> None:
    batch = bytearray(BATCH)
    set_log_append_time(batch, 123_456)
    header = read_header(batch)

    check_crc(batch)
    assert header.timestamp_type is TimestampType.LOG_APPEND_TIME
    assert header.max_timestamp == 123_456
    assert {record.timestamp_ms for record in decode_batch(batch)} == {123_456}


def test_assigned_chunks_can_be_stamped_without_copying() -> None:
    in_place = bytearray(BATCH)
    assign(in_place, base_offset=12, leader_epoch=3)
    set_log_append_time(in_place, 99)
    chunks = assigned(memoryview(BATCH), base_offset=12, leader_epoch=3, log_append_time_ms=99)

    assert b"".join(chunks) == in_place
