"""What may be compacted, what is worth it, which segments become one, and which keys fit."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from broker.log.compaction.cleanable import find_cleanable, group_segments, needs_roll
from broker.log.compaction.keys import KeyMap
from broker.log.compaction.retain import is_needed_empty
from broker.log.config import LogConfig
from broker.log.producers import ProducedBatch, ProducerStates
from protocol.batch import read_header
from protocol.records import Record, encode_batch

NOW_MS = 100_000


@dataclass
class Facts:
    base_offset: int
    next_offset: int
    size_bytes: int = 100
    first_timestamp_ms: int = NOW_MS - 10
    max_timestamp_ms: int = NOW_MS
    opened_ms: int = NOW_MS


SEGMENTS = [
    Facts(0, 10, first_timestamp_ms=NOW_MS - 6000, max_timestamp_ms=NOW_MS - 5000),
    Facts(10, 20, first_timestamp_ms=NOW_MS - 4000, max_timestamp_ms=NOW_MS - 3000),
    Facts(20, 30, first_timestamp_ms=-1, max_timestamp_ms=-1, opened_ms=NOW_MS - 1000),
    Facts(30, 40),
]


def find(*, first_dirty_offset=0, limit_offset=40, **config):
    return find_cleanable(
        SEGMENTS,
        LogConfig(**config),
        first_dirty_offset=first_dirty_offset,
        limit_offset=limit_offset,
        now_ms=NOW_MS,
    )


@pytest.mark.parametrize(
    ("limit_offset", "count", "end_offset"),
    [(40, 3, 30), (30, 3, 30), (29, 2, 20), (10, 1, 10), (9, 0, 0)],
)
def test_whole_segments_below_the_limit_but_the_newest(limit_offset, count, end_offset):
    found = find(limit_offset=limit_offset)
    assert (found.segment_count, found.end_offset) == (count, end_offset)


@pytest.mark.parametrize(
    ("lag_ms", "count"), [(0, 3), (1000, 3), (1001, 2), (3001, 1), (5000, 1), (5001, 0)]
)
def test_young_records_wait(lag_ms, count):
    assert find(min_compaction_lag_ms=lag_ms).segment_count == count


@pytest.mark.parametrize(
    ("first_dirty_offset", "ratio"), [(0, 1.0), (9, 1.0), (10, 2 / 3), (25, 1 / 3), (30, 0.0)]
)
def test_what_is_new_is_counted_by_segments(first_dirty_offset, ratio):
    assert find(first_dirty_offset=first_dirty_offset).dirty_ratio == pytest.approx(ratio)


def test_it_is_due_once_enough_is_new():
    some = find(first_dirty_offset=10)
    assert some.is_due(LogConfig(min_cleanable_dirty_ratio=0.66))
    assert not some.is_due(LogConfig(min_cleanable_dirty_ratio=0.67))
    assert not find(first_dirty_offset=30).is_due(LogConfig(min_cleanable_dirty_ratio=0.0))


def test_it_is_due_once_something_new_is_too_old():
    lazy = LogConfig(min_cleanable_dirty_ratio=1.0)
    for first_dirty_offset, lag_ms, is_due in [
        (0, 5999, True),
        (0, 6000, False),
        (10, 3999, True),
        (10, 4000, False),
        (20, 999, True),
        (20, 1000, False),
    ]:
        found = find(first_dirty_offset=first_dirty_offset, max_compaction_lag_ms=lag_ms)
        assert found.is_due(lazy) is is_due, (first_dirty_offset, lag_ms)


@pytest.mark.parametrize(
    ("bytes_max", "sizes"), [(99, [1, 1, 1, 1]), (200, [2, 2]), (399, [3, 1]), (400, [4])]
)
def test_neighbours_become_one_up_to_a_size(bytes_max, sizes):
    groups = list(group_segments(SEGMENTS, bytes_max=bytes_max))
    assert [len(group) for group in groups] == sizes
    assert [one for group in groups for one in group] == SEGMENTS


def test_no_segment_spans_more_offsets_than_its_index_can_tell():
    far = [Facts(0, 2**30), Facts(2**30, 2**31 - 1), Facts(2**31 - 1, 2**31)]
    assert [len(group) for group in group_segments(far, bytes_max=1000)] == [2, 1]


def test_a_segment_is_begun_anew_by_its_age_where_it_holds_anything():
    old = Facts(0, 10, opened_ms=NOW_MS - 5001)
    config = LogConfig(cleanup_policy=frozenset({"compact"}), segment_ms=5000)
    assert needs_roll(old, config, now_ms=NOW_MS)
    assert not needs_roll(old, config, now_ms=NOW_MS - 1)
    assert not needs_roll(Facts(0, 0, size_bytes=0, opened_ms=0), config, now_ms=NOW_MS)
    sooner = LogConfig(cleanup_policy=frozenset({"compact"}), max_compaction_lag_ms=100)
    assert needs_roll(old, sooner, now_ms=NOW_MS - 4900)
    assert not needs_roll(old, LogConfig(max_compaction_lag_ms=100), now_ms=NOW_MS)


def test_keys_are_told_apart_whatever_their_length():
    keys = KeyMap(1 << 20)
    names = [b"", b"a", b"a" * 31, b"a" * 32, b"a" * 33, b"a" * 100_000, b"b" * 100_000]
    for offset, name in enumerate(names):
        keys.put(name, offset)
    assert [keys.newest(name) for name in names] == list(range(7))
    assert keys.newest(b"c" * 40) == -1
    keys.put(b"a", 9)
    assert (keys.newest(b"a"), len(keys)) == (9, 7)


def test_the_memory_of_keys_is_bounded():
    keys = KeyMap(2000)
    for i in range(1000):
        keys.put(b"same", i)
    assert not keys.is_full
    count = 0
    while not keys.is_full:
        keys.put(b"%d" % count * 500, count)
        count += 1
    assert count == 10


def test_a_batch_without_records_stays_where_an_epoch_or_a_producer_needs_it():
    producers = ProducerStates()
    for i in range(7):
        producers.appended(ProducedBatch(5, 0, i, i, 10 + i, 10 + i), now_ms=0)

    def is_needed(offset, producer_id=-1, epoch_starts=None):
        batch = encode_batch(
            [Record(offset, 0, b"k", b"v")],
            base_offset=offset,
            leader_epoch=3,
            producer_id=producer_id,
        )
        return is_needed_empty(
            read_header(batch), epoch_starts=epoch_starts or {}, producers=producers
        )

    assert [offset for offset in range(10, 17) if is_needed(offset, 5)] == [12, 13, 14, 15, 16]
    assert not is_needed(14, 6)
    assert not is_needed(14)
    assert is_needed(14, epoch_starts={3: 14})
    assert not is_needed(14, epoch_starts={2: 14, 3: 13})
