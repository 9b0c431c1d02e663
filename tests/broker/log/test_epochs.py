"""Laws of the leader epoch cache."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.log.epochs import EpochCache, EpochsDamaged, EpochStart

caches = st.lists(st.tuples(st.integers(1, 4), st.integers(1, 20)), max_size=8).map(
    lambda steps: [
        EpochStart(sum(s[0] for s in steps[: i + 1]), sum(s[1] for s in steps[:i]))
        for i in range(len(steps))
    ]
)


def cache_of(*entries):
    return EpochCache([EpochStart(*entry) for entry in entries])


@pytest.mark.parametrize(
    ("asked", "answer"),
    [
        (-1, (-1, -1)),
        (0, (0, 10)),  # older than all that is known: nothing of it is here
        (1, (1, 20)),
        (2, (2, 35)),
        (3, (2, 35)),  # an epoch that wrote nothing: the one before it
        (5, (5, 50)),  # the newest ends at the log's end
        (6, (-1, -1)),  # newer than all that is known
    ],
)
def test_an_epoch_ends_where_the_next_one_begins(asked, answer):
    epochs = cache_of((1, 10), (2, 20), (5, 35))

    assert epochs.end_offset_for(asked, log_end_offset=50) == answer


def test_nothing_is_known_of_any_epoch_before_the_first():
    assert EpochCache().end_offset_for(0, log_end_offset=0) == (-1, -1)
    assert EpochCache().latest_epoch == -1


def test_an_epoch_that_wrote_nothing_is_forgotten_when_the_next_begins():
    epochs = cache_of((1, 0), (2, 7))

    assert epochs.start(4, 7)
    assert not epochs.start(4, 9)

    assert epochs.entries == (EpochStart(1, 0), EpochStart(4, 7))


def test_an_older_epoch_may_go_on_where_a_newer_one_wrote_nothing():
    epochs = cache_of((4, 0), (7, 10))

    epochs.start(4, 10)

    assert epochs.entries == (EpochStart(4, 0),)


@given(caches, st.integers(0, 150))
def test_cutting_the_end_leaves_what_began_before(entries, offset):
    epochs = EpochCache(list(entries))

    changed = epochs.cut_end(offset)

    assert epochs.entries == tuple(e for e in entries if e.start_offset < offset)
    assert changed == (len(epochs.entries) != len(entries))


@given(caches, st.integers(0, 150), st.integers(0, 200))
def test_cutting_the_start_changes_no_answer_above_it(entries, offset, asked):
    epochs = EpochCache(list(entries))
    before = epochs.epoch_of(max(offset, asked))

    epochs.cut_start(offset)

    assert epochs.epoch_of(max(offset, asked)) == before
    assert (
        all(entry.start_offset >= offset for entry in epochs.entries[:1])
        or not entries
        or (entries[0].start_offset > offset)
    )


@given(caches)
def test_a_checkpoint_is_read_back(entries):
    assert EpochCache.parse(EpochCache(entries).encode()).entries == tuple(entries)


def test_the_checkpoint_is_kafkas():
    assert cache_of((1, 10), (5, 35)).encode() == b"0\n2\n1 10\n5 35\n"


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"0\n",
        b"0\n2\n1 10\n",
        b"1\n0\n",
        b"0\n1\n1 10 7\n",
        b"0\n1\n1 1",
        b"0\n2\n5 1\n4 2\n",
        b"\xff",
    ],
)
def test_a_damaged_checkpoint_is_refused(data):
    with pytest.raises(EpochsDamaged):
        EpochCache.parse(data)
