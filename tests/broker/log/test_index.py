"""Laws of the sparse indexes."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.log.index import IndexDamaged, OffsetIndex, TimeIndex

pairs = st.lists(st.tuples(st.integers(1, 50), st.integers(61, 5000)), min_size=1, max_size=40).map(
    lambda steps: [
        (sum(s[0] for s in steps[: i + 1]), sum(s[1] for s in steps[:i])) for i in range(len(steps))
    ]
)


def offset_index_of(entries):
    index = OffsetIndex()
    for offset, position in entries:
        index.add(offset, position)
    return index


def time_index_of(entries):
    index = TimeIndex()
    for timestamp, offset in entries:
        index.add(timestamp, offset)
    return index


@given(pairs, st.integers(0, 3000), st.integers(0, 300_000))
def test_a_look_up_finds_the_greatest_entry_not_above(entries, offset, position):
    index = offset_index_of(entries)

    assert index.position_before(offset) == max((p for o, p in entries if o <= offset), default=0)
    assert index.boundary_before(position) == max(
        (p for _, p in entries if p <= position), default=0
    )
    assert index.last_position == entries[-1][1]


@given(pairs)
def test_an_offset_index_is_written_as_kafka_does_and_read_back(entries):
    index = offset_index_of(entries)

    data = index.encode()

    assert data == b"".join(struct.pack(">ii", *entry) for entry in entries) == index.unwritten
    again = OffsetIndex.parse(data, segment_bytes=entries[-1][1] + 1)
    assert again.encode() == data


@given(pairs, st.integers(0, 3000))
def test_a_cut_index_is_the_index_of_what_is_left(entries, offset):
    index = offset_index_of(entries)
    index.cut(offset)

    assert index.encode() == offset_index_of([e for e in entries if e[0] < offset]).encode()


@given(st.lists(st.tuples(st.integers(0, 1000), st.integers(1, 9)), max_size=40))
def test_a_time_index_keeps_only_what_is_newer(steps):
    entries = [(time, sum(s[1] for s in steps[: i + 1])) for i, (time, _) in enumerate(steps)]
    index = time_index_of(entries)

    kept = [e for i, e in enumerate(entries) if all(e[0] > other[0] for other in entries[:i])]
    assert index.encode() == b"".join(struct.pack(">qi", *entry) for entry in kept)
    assert index.last == (kept[-1] if kept else None)
    assert TimeIndex.parse(index.encode()).encode() == index.encode()


def test_a_time_look_up_says_up_to_where_all_is_older():
    index = time_index_of([(100, 5), (200, 9)])

    assert [index.offset_before(t) for t in (50, 100, 101, 200, 201)] == [-1, -1, 5, 5, 9]


@pytest.mark.parametrize(
    "data",
    [
        b"1234567",
        struct.pack(">iiii", 5, 100, 5, 200),
        struct.pack(">iiii", 5, 100, 6, 100),
        struct.pack(">ii", 5, 1000),
        struct.pack(">ii", -1, 0),
        bytes(16),
    ],
    ids=["cut", "same offset", "same position", "beyond the segment", "negative", "zeros"],
)
def test_an_offset_index_that_makes_no_sense_is_refused(data):
    with pytest.raises(IndexDamaged):
        OffsetIndex.parse(data, segment_bytes=1000)


@pytest.mark.parametrize(
    "data",
    [b"1" * 13, struct.pack(">qiqi", 9, 1, 9, 2), struct.pack(">qi", 1, -1), bytes(24)],
    ids=["cut", "same time", "negative", "zeros"],
)
def test_a_time_index_that_makes_no_sense_is_refused(data):
    with pytest.raises(IndexDamaged):
        TimeIndex.parse(data)
