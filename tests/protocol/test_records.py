"""Records within batches."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from protocol.batch import HEADER_BYTES, make_batch, read_header
from protocol.compression import Compression
from protocol.errors import CorruptBatch
from protocol.records import BatchBuilder, Record, decode_batch, encode_batch
from protocol.varint import encode_varint

NULLABLE = st.none() | st.binary(max_size=200)
HEADERS = st.lists(st.tuples(st.text(max_size=70), NULLABLE), max_size=3).map(tuple)
CONTENT = st.tuples(st.integers(0, 2**42), NULLABLE, NULLABLE, HEADERS)


@st.composite
def record_lists(draw: st.DrawFn) -> list[Record]:
    """Draw records at ascending offsets with gaps, as compaction leaves them."""
    offset = draw(st.integers(0, 2**40))
    records = []
    for content in draw(st.lists(CONTENT, max_size=6)):
        records.append(Record(offset, *content))
        offset += draw(st.sampled_from([1, 1, 2, 70, 5_000]))
    return records


@given(record_lists(), st.sampled_from(Compression))
def test_records_come_back_at_their_offsets(records: list[Record], kind: Compression) -> None:
    base_offset = records[0].offset if records else 3
    batch = encode_batch(records, compression=kind, base_offset=base_offset)
    header = read_header(batch)

    assert decode_batch(batch) == records
    assert decode_batch(memoryview(bytearray(batch))) == records
    assert header.size_bytes == len(batch)
    assert header.record_count == len(records)
    assert header.compression is kind
    if records:
        assert header.last_offset == records[-1].offset
        assert header.base_timestamp == records[0].timestamp_ms
        assert header.max_timestamp == max(record.timestamp_ms for record in records)


@given(st.lists(CONTENT, max_size=6))
def test_a_builder_tells_the_exact_size_of_an_uncompressed_batch(contents: list[Any]) -> None:
    builder = BatchBuilder()
    for content in contents:
        assert builder.append(*content) == builder.size_bytes

    batch = builder.build(producer_id=4, producer_epoch=1, base_sequence=8, base_offset=100)
    assert len(builder) == len(contents)
    assert builder.size_bytes == len(batch)
    assert decode_batch(batch) == [Record(100 + i, *content) for i, content in enumerate(contents)]
    header = read_header(batch)
    assert (header.producer_id, header.producer_epoch, header.base_sequence) == (4, 1, 8)


def test_a_builder_can_be_built_again_with_more() -> None:
    builder = BatchBuilder()
    builder.append(1, None, b"a")
    first = builder.build()
    builder.append(0, None, b"b")

    assert [record.value for record in decode_batch(first)] == [b"a"]
    assert [record.value for record in decode_batch(builder.build())] == [b"a", b"b"]


def test_many_records_pass_the_sizes_that_tables_hold() -> None:
    records = [Record(i, 5_000 - i * 3, b"k" * (i % 300), b"v" * i) for i in range(1_500)]
    records += [Record(8_000 + n, n, b"k" * n, b"v" * n) for n in (8_191, 8_192, 20_000)]

    assert decode_batch(encode_batch(records)) == records


def test_offsets_only_grow() -> None:
    with pytest.raises(AssertionError, match="only grow"):
        encode_batch([Record(5, 0, None, None), Record(5, 0, None, None)], base_offset=5)


def test_an_empty_batch_holds_nothing() -> None:
    batch = encode_batch([], compression=Compression.GZIP)

    assert len(batch) == HEADER_BYTES
    assert decode_batch(batch) == []


def test_a_batch_in_a_longer_or_shorter_buffer_is_refused() -> None:
    batch = encode_batch([Record(0, 0, None, b"x")])
    for buffer in (batch + b"\0", batch[:-1]):
        with pytest.raises(CorruptBatch, match="in a buffer of"):
            decode_batch(buffer)


@pytest.mark.parametrize(
    "body",
    [
        "",
        "0c",  # cut
        "0a 00 00 00 01 01",  # no count of headers
        "0a 00 00 00 01 01 00",  # its size says less
        "0e 00 00 00 01 01 00",  # its size says more
        "0b 00 00 00 01 01 00",  # its size is negative
        "ff ff ff ff ff ff ff ff ff ff 7f",  # endless varint
        "0e 00 00 00 01 c8 01 00",  # a value longer than the batch
        "0c 00 00 00 01 01 00 00",  # a byte too many
        "0c 00 00 00 01 01 03",  # headers -2
        "10 00 00 00 01 01 7e 00 00",  # 63 headers in two bytes
        "10 00 00 00 01 01 02 01 00",  # a header without a name
        "10 00 00 00 01 01 02 08 ff 00",  # a name longer than the batch
    ],
)
def test_records_that_lie_are_refused(body: str) -> None:
    data = bytes.fromhex(body)
    header = read_header(encode_batch([Record(0, 0, None, None)]))

    with pytest.raises(CorruptBatch):
        decode_batch(make_batch(header, data))


def test_the_name_of_a_header_that_is_no_utf_8_is_read_as_far_as_it_can_be() -> None:
    data = bytes.fromhex("16 00 00 00 01 01 02 06 61 ff 62 00")
    header = read_header(encode_batch([Record(0, 0, None, None)]))

    (record,) = decode_batch(make_batch(header, data))

    assert record.headers == (("a\ufffdb", b""),)


def test_the_smallest_record_takes_seven_bytes() -> None:
    header = read_header(encode_batch([Record(0, 0, None, None)]))

    assert decode_batch(make_batch(header, bytes.fromhex("0c 00 00 00 01 01 00"))) == [
        Record(0, 0, None, None)
    ]


def test_more_records_than_bytes_are_refused_before_they_are_read() -> None:
    header = read_header(encode_batch([Record(0, 0, None, None)]))
    lying = replace(header, record_count=2**31 - 1, last_offset_delta=2**31 - 1)

    with pytest.raises(CorruptBatch, match="announced"):
        decode_batch(make_batch(lying, b"\0" * 100))


@given(record_lists().filter(bool), st.data())
def test_damaged_records_are_refused_or_read(records: list[Record], data: st.DataObject) -> None:
    batch = encode_batch(records, base_offset=records[0].offset)
    body = bytearray(batch[HEADER_BYTES:])
    for _ in range(data.draw(st.integers(1, 3))):
        body[data.draw(st.integers(0, len(body) - 1))] = data.draw(st.integers(0, 255))
    with contextlib.suppress(CorruptBatch):
        decode_batch(make_batch(read_header(batch), bytes(body)))


def test_a_batch_that_unfolds_too_far_is_refused() -> None:
    batch = encode_batch([Record(0, 0, None, b"\0" * 1_000_000)], compression=Compression.ZSTD)

    assert len(batch) < 1_000
    with pytest.raises(CorruptBatch):
        decode_batch(batch, bytes_max=100_000)


def test_deltas_may_be_negative() -> None:
    records = [Record(0, 10_000, None, b"late"), Record(1, 5, None, b"early")]
    batch = encode_batch(records)

    assert encode_varint(-9_995) in batch
    assert decode_batch(batch) == records
