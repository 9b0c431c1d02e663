"""Records that are kept as they are: what is read of them, and what a batch becomes."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from protocol.batch import check_crc, make_batch, read_header, set_log_append_time
from protocol.compression import Compression
from protocol.errors import CorruptBatch
from protocol.raw_records import emptied, keep_records, scan_records
from protocol.records import Record, data_of, decode_batch, encode_batch

HORIZON_MS = 1_800_000_000_000

records = st.lists(
    st.builds(
        Record,
        offset=st.integers(1, 300),
        timestamp_ms=st.integers(-1, 1 << 41),
        key=st.none() | st.binary(max_size=200),
        value=st.none() | st.binary(max_size=200),
        headers=st.lists(
            st.tuples(st.text(max_size=5), st.none() | st.binary(max_size=5)), max_size=2
        ).map(tuple),
    ),
    min_size=1,
    max_size=6,
).map(lambda drawn: list(rising(drawn)))


def rising(drawn):
    """Give the records offsets that rise, by what they were drawn with."""
    offset = 1000
    for one in drawn:
        yield replace(one, offset=offset)
        offset += one.offset


def scan(batch):
    """Give a batch's header, data and records."""
    header = read_header(batch)
    data = data_of(header, batch)
    return header, data, list(scan_records(header, data))


def batch_of(drawn, compression=Compression.NONE):
    return encode_batch(
        drawn,
        compression=compression,
        producer_id=7,
        producer_epoch=2,
        base_sequence=40,
        base_offset=1000,
        leader_epoch=3,
    )


@given(drawn=records, compression=st.sampled_from(Compression))
def test_every_record_is_found(drawn, compression):
    batch = batch_of(drawn, compression)
    header, _, found = scan(batch)
    assert [
        (1000 + one.offset_delta, header.base_timestamp + one.timestamp_delta, one.key)
        for one in found
    ] == [(one.offset, one.timestamp_ms, one.key) for one in drawn]
    assert [one.has_value for one in found] == [one.value is not None for one in drawn]


@given(
    drawn=records,
    compression=st.sampled_from(Compression),
    kept=st.sets(st.integers(0, 5), min_size=1),
    horizons=st.lists(st.none() | st.just(HORIZON_MS), min_size=1, max_size=3),
)
def test_what_is_kept_is_as_it_was(drawn, compression, kept, horizons):
    batch = batch_of(drawn, compression)
    first = read_header(batch)
    for horizon_ms in horizons:  # a batch is compacted again and again
        header, data, _ = scan(batch)
        keeps = [i in kept for i in range(len(drawn))]
        keeps[0] |= not any(keeps)
        drawn = [one for one, keep in zip(drawn, keeps, strict=True) if keep]
        kept = set(range(len(drawn)))
        batch = keep_records(header, data, bytes(keeps), delete_horizon_ms=horizon_ms)
        check_crc(batch)
        assert decode_batch(batch) == drawn
        changed = read_header(batch)
        assert changed.delete_horizon_ms == horizon_ms
        assert changed.max_timestamp == max(one.timestamp_ms for one in drawn)
        for name in (
            "base_offset",
            "last_offset",
            "partition_leader_epoch",
            "producer_id",
            "producer_epoch",
            "base_sequence",
            "last_sequence",
            "compression",
        ):
            assert getattr(changed, name) == getattr(first, name), name


def test_the_time_of_the_broker_stays():
    stamped = bytearray(batch_of([Record(1000, 5, b"a", b"1"), Record(1001, 9, b"b", None)]))
    set_log_append_time(stamped, 777)
    header, data, _ = scan(stamped)
    kept = keep_records(header, data, b"\0\1", delete_horizon_ms=HORIZON_MS)
    assert decode_batch(kept) == [Record(1001, 777, b"b", None)]
    assert read_header(kept).max_timestamp == 777


def test_an_emptied_batch_says_where_it_was_and_whose():
    batch = batch_of([Record(1000 + i, 5 + i, b"a", b"1") for i in range(3)], Compression.LZ4)
    header = read_header(batch)
    empty = emptied(header)
    check_crc(empty)
    assert len(empty) == 61
    assert decode_batch(empty) == []
    left, data, found = scan(empty)
    assert (data, found) == (b"", [])
    assert (left.base_offset, left.next_offset, left.last_sequence) == (1000, 1003, 42)
    assert (left.partition_leader_epoch, left.producer_id, left.producer_epoch) == (3, 7, 2)
    assert (left.max_timestamp, left.compression) == (-1, Compression.NONE)


@given(drawn=records, position=st.integers(0, 400), value=st.integers(0, 255))
def test_damage_is_told(drawn, position, value):
    batch = bytearray(batch_of(drawn))
    batch[61 + position % (len(batch) - 61)] = value
    try:
        header, data, found = scan(batch)
    except CorruptBatch:
        return
    assert found[-1].end == len(data)
    decoded = None
    with suppress(CorruptBatch):  # also for headers, which are not looked at here
        decoded = decode_batch(batch)
    if decoded is not None:
        assert [one.key for one in found] == [one.key for one in decoded]
    deltas = [one.offset_delta for one in found]
    assert deltas == sorted(set(deltas))
    assert 0 <= deltas[0] <= deltas[-1] <= header.last_offset_delta


@pytest.mark.parametrize("time_ms", [-(2**63), -(2**62), 2**62, 2**63 - 1])
def test_times_that_no_batch_could_hold_together_are_refused(time_ms):
    batch = batch_of([Record(1000, 0, b"a", None), Record(1001, time_ms, b"b", None)])
    with pytest.raises(CorruptBatch, match="timestamp"):
        scan(batch)


@pytest.mark.parametrize("time_ms", [1 - 2**62, 2**62 - 1])
@pytest.mark.parametrize("horizon_ms", [0, HORIZON_MS, HORIZON_MS + 2**63 - 1])
def test_all_other_times_can_be_written_with_any_horizon(time_ms, horizon_ms):
    drawn = [Record(1000, time_ms, b"a", None), Record(1001, 5, b"b", None)]
    batch = batch_of(drawn)
    for horizon in (horizon_ms, None):
        header, data, _ = scan(batch)
        batch = keep_records(header, data, b"\1\1", delete_horizon_ms=horizon)
        assert decode_batch(batch) == drawn
        if horizon is not None:
            assert read_header(batch).delete_horizon_ms == min(horizon, 2**62 - 1)


@pytest.mark.parametrize(
    "body",
    [
        "",
        "0c",  # cut
        "0e 00 00 00 01 01 00",  # its size says more
        "0b 00 00 00 01 01 00",  # its size is negative
        "0a 00 00 00 02 6b 01 00",  # its size ends before its value
        "0a 00 00 00 01 01 00",  # its size leaves no room for a count of headers
        "ff ff ff ff ff ff ff ff ff ff 7f",  # endless varint
        "0e 00 00 00 c8 01 01 00",  # a key longer than the batch
        "0c 00 00 01 02 6b 01 00",  # an offset before the batch
        "0c 00 00 02 02 6b 01 00",  # an offset behind the batch
        "0e 00 00 00 02 6b 01 00 00 00",  # bytes too many
    ],
)
def test_records_that_lie_are_refused(body):
    header = read_header(encode_batch([Record(0, 0, None, None)]))

    with pytest.raises(CorruptBatch):
        scan(make_batch(header, bytes.fromhex(body)))
