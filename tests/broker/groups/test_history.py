"""Why a group rebalanced, and what moved."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from broker.groups.history import (
    CAUSES_KEPT,
    REASON_CHARACTERS_MAX,
    REBALANCES_KEPT,
    History,
    Kind,
    Moves,
    moves,
)
from broker.groups.member import Member
from protocol.consumer_protocol import (
    ConsumerProtocolAssignment,
    TopicPartitions,
    encode_assignment,
)
from tests.broker.groups.stage import Stage


class Clock:
    def __init__(self) -> None:
        self.ms = 1_000

    def __call__(self) -> int:
        return self.ms


def a_member(member_id: str = "a", heard_at: float = 0.0) -> Member:
    return Member(member_id, None, "client", "/host", 10_000, 60_000, (), heard_at)


def finish(history: History, generation_id: int = 1) -> None:
    history.complete(
        generation_id=generation_id, member_count=1, leader_id="a", protocol_name="range"
    )


owners = st.dictionaries(
    st.tuples(st.sampled_from("tu"), st.integers(0, 5)), st.sampled_from("abc")
)


def test_a_rebalance_keeps_what_caused_it_and_what_came_of_it():
    clock = Clock()
    history = History(clock)
    history.note(Kind.EXPIRED, a_member(heard_at=5.0), now=15.5)
    clock.ms += 50
    history.note(Kind.LEFT, a_member("b"), reason="going")
    clock.ms += 50
    finish(history, generation_id=3)
    (rebalance,) = history

    assert (rebalance.started_ms, rebalance.completed_ms) == (1_000, 1_100)
    assert (rebalance.generation_id, rebalance.leader_id) == (3, "a")
    expired, left = rebalance.causes
    assert (expired.kind, expired.heartbeat_age_ms) == (Kind.EXPIRED, 10_500)
    assert (expired.session_timeout_ms, expired.client_host) == (10_000, "/host")
    assert (left.reason, left.timestamp_ms, left.heartbeat_age_ms) == ("going", 1_050, -1)


def test_what_happens_after_a_generation_belongs_to_the_next_rebalance():
    history = History(Clock())
    history.note(Kind.JOINED, a_member())
    finish(history)
    history.note(Kind.JOINED, a_member("b"))

    assert [[c.member_id for c in each.causes] for each in history] == [["a"], ["b"]]
    assert [each.completed_ms is None for each in history] == [False, True]


def test_a_history_is_bounded():
    history = History(Clock())
    for number in range(REBALANCES_KEPT + 5):
        for member in range(CAUSES_KEPT + 5):
            history.note(Kind.JOINED, a_member(str(member)), reason="x" * 1_000)
        finish(history, generation_id=number)

    kept = list(history)
    assert [each.generation_id for each in kept] == list(range(5, REBALANCES_KEPT + 5))
    assert all(len(each.causes) == CAUSES_KEPT for each in kept)
    assert kept[0].causes[0].reason == "x" * REASON_CHARACTERS_MAX


@pytest.mark.parametrize("reason", [None, ""])
def test_no_reason_is_none(reason):
    history = History(Clock())
    history.note(Kind.LEFT, a_member(), reason=reason)

    assert next(iter(history)).causes[0].reason is None


def test_a_generation_that_nothing_caused_is_not_noted():
    history = History(Clock())
    finish(history)
    history.assigned({("t", 0): "a"})

    assert list(history) == []


@settings(deadline=None)
@given(before=owners, after=owners)
def test_moves_lead_from_one_assignment_to_the_next(before, after):
    there = dict(before)
    for move in moves(before, after):
        for index in move.lost:
            assert there.pop((move.topic, index)) == move.member_id
    for move in moves(before, after):
        for index in move.gained:
            assert (move.topic, index) not in there
            there[move.topic, index] = move.member_id
    assert there == after


@settings(deadline=None)
@given(same=owners)
def test_nothing_moves_where_all_stays(same):
    assert moves(same, dict(same)) == ()


def test_moves_are_told_by_member_and_topic():
    before = {("t", 0): "a", ("t", 1): "a", ("u", 0): "b"}
    after = {("t", 0): "b", ("t", 1): "a", ("u", 0): "b", ("u", 1): "a"}

    assert moves(before, after) == (
        Moves("a", "t", gained=(), lost=(0,)),
        Moves("a", "u", gained=(1,), lost=()),
        Moves("b", "t", gained=(0,), lost=()),
    )


def assigned(**topics: list[int]) -> bytes:
    parts = [TopicPartitions(topic, indexes) for topic, indexes in topics.items()]
    return encode_assignment(ConsumerProtocolAssignment(parts))


def test_what_moved_shows_once_the_assignment_counts_also_after_a_takeover():
    stage = Stage()
    stage.stores_at_once = False
    stage.join("a")
    stage.join("a")
    stage.pass_time(3)
    stage.sync("a", {"a": assigned(t=[0, 1])})
    assert list(stage.group.history)[-1].moves == ()
    stage.finish_write()
    member_id = stage.client("a").member_id
    assert list(stage.group.history)[-1].moves == (Moves(member_id, "t", (0, 1), ()),)

    stage.take_over()
    assert list(stage.group.history) == []
    stage.join("a")
    stage.sync("a", {"a": assigned(t=[1])})
    stage.finish_write()
    (rebalance,) = stage.group.history
    assert rebalance.moves == (Moves(member_id, "t", (), (0,)),)


def test_a_group_that_becomes_empty_has_everything_taken_from_it():
    stage = Stage()
    stage.join("a")
    stage.join("a")
    stage.pass_time(3)
    stage.sync("a", {"a": assigned(t=[0])})
    member_id = stage.client("a").member_id
    stage.leave(member_id, reason="done")
    last = list(stage.group.history)[-1]

    assert (last.member_count, last.leader_id, last.protocol_name) == (0, "", "")
    assert last.moves == (Moves(member_id, "t", (), (0,)),)
    assert last.causes[0].reason == "done"
