from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from client.records import OffsetAndMetadata, TopicPartition
from commands.failure import CommandFailed
from commands.group_lag import LogEnds, PartitionLag
from commands.group_plan import Aim, Move, Target, plan_moves

PLACE = TopicPartition("orders", 0)
OFFSETS = st.integers(0, 2**62)


def lag(start=10, end=20, committed=15):
    at = None if committed is None else OffsetAndMetadata(committed)
    return PartitionLag(PLACE, LogEnds(start, end, end), at)


def move(target, found=None, **facts):
    (planned,) = plan_moves(target, (lag(**facts),), {PLACE: found})
    return planned


@given(
    st.sampled_from(Aim),
    st.integers(-(2**62), 2**62),
    st.tuples(OFFSETS, OFFSETS).map(sorted),
    OFFSETS,
    st.none() | OFFSETS,
)
def test_whatever_is_wanted_a_group_goes_on_within_the_log(aim, number, ends, committed, found):
    start, end = ends
    planned = move(Target(aim, number), found, start=start, end=end, committed=committed)

    assert start <= planned.after <= end
    assert planned.before == committed
    assert planned.is_clamped == (not start <= planned.wanted <= end)


@pytest.mark.parametrize(
    ("target", "found", "expected"),
    [
        (Target(Aim.EARLIEST), None, Move(PLACE, 15, 10, 10)),
        (Target(Aim.LATEST), None, Move(PLACE, 15, 20, 20)),
        (Target(Aim.OFFSET, 12), None, Move(PLACE, 15, 12, 12)),
        (Target(Aim.OFFSET, 3), None, Move(PLACE, 15, 3, 10)),
        (Target(Aim.OFFSET, 99), None, Move(PLACE, 15, 99, 20)),
        (Target(Aim.TIMESTAMP, 1_000), 13, Move(PLACE, 15, 13, 13)),
        (
            Target(Aim.TIMESTAMP, 1_000),
            10,
            Move(PLACE, 15, 10, 10, "at or before the oldest record"),
        ),
        (Target(Aim.TIMESTAMP, 1_000), None, Move(PLACE, 15, 20, 20, "after the newest record")),
        (Target(Aim.SHIFT, -2), None, Move(PLACE, 15, 13, 13)),
        (Target(Aim.SHIFT, -9), None, Move(PLACE, 15, 6, 10)),
        (Target(Aim.SHIFT, 9), None, Move(PLACE, 15, 24, 20)),
    ],
    ids=str,
)
def test_each_aim_means_what_it_says(target, found, expected):
    assert move(target, found) == expected


def test_where_there_is_no_record_no_time_is_beyond_them():
    empty = move(Target(Aim.TIMESTAMP, 1_000), start=7, end=7)

    assert (empty.after, empty.beyond) == (7, None)


def test_a_group_that_has_committed_nothing_can_be_set_but_not_shifted():
    assert move(Target(Aim.LATEST), committed=None) == Move(PLACE, None, 20, 20)

    with pytest.raises(CommandFailed, match="nothing is committed in orders-0"):
        move(Target(Aim.SHIFT, 1), committed=None)


@pytest.mark.parametrize("unknown", ["start", "end"])
def test_a_log_whose_ends_are_unknown_is_named(unknown):
    with pytest.raises(CommandFailed, match="where orders-0 begins and ends is unknown"):
        move(Target(Aim.OFFSET, 12), **{unknown: None})
