"""What a throttle lets pass, and which replicas it holds back."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.replication.throttle import (
    BURST_S,
    RECHECK_S,
    STEP_S,
    Throttle,
    ThrottledReplicas,
    Throttles,
    is_replica_list,
    unbounded,
)

RATE = 1_000


def test_more_than_there_was_room_for_is_waited_for_afterwards():
    throttle = Throttle(lambda: RATE)
    throttle.count(RATE // 2, now=0.0)

    assert throttle.room(now=0.0, at_most=RATE) == 0
    assert throttle.wait_s(now=0.0) == pytest.approx(0.5 + STEP_S)
    assert throttle.wait_s(now=0.4) == pytest.approx(0.1 + STEP_S)
    assert throttle.wait_s(now=0.61) == 0.0
    assert throttle.room(now=0.75, at_most=RATE) == pytest.approx(RATE // 4, abs=1)
    assert throttle.room(now=0.75, at_most=10) == 10
    assert throttle.room(now=1000.0, at_most=RATE * 10) == RATE * BURST_S


def test_no_wait_is_longer_than_until_the_rate_is_looked_at_again():
    rates = [1, 0, RATE]
    throttle = Throttle(lambda: rates[0])
    throttle.count(RATE, now=0.0)
    assert throttle.wait_s(now=0.0) == RECHECK_S
    rates.pop(0)
    assert throttle.wait_s(now=100.0) == RECHECK_S
    rates.pop(0)

    assert throttle.wait_s(now=101.2) == 0.0


def test_without_a_rate_everything_passes_and_nothing_is_owed_later():
    rates = [None, RATE]
    throttle = Throttle(lambda: rates[0])
    throttle.count(10**9, now=0.0)
    assert throttle.wait_s(now=0.0) == 0.0
    assert throttle.room(now=0.0, at_most=10**9) == 10**9
    rates.pop(0)

    assert throttle.wait_s(now=STEP_S) == 0.0


@given(
    st.lists(st.tuples(st.floats(0, 3), st.integers(0, 5 * RATE)), min_size=1, max_size=50),
)
def test_over_any_time_no_more_passes_than_the_rate_allows(steps):
    throttle, now, passed, largest = Throttle(lambda: RATE), 0.0, 0, 0
    for pause_s, size_bytes in steps:
        now += pause_s
        if throttle.wait_s(now=now) == 0:
            throttle.count(size_bytes, now=now)
            passed, largest = passed + size_bytes, max(largest, size_bytes)

    assert passed <= RATE * (now + BURST_S) + largest + 1


@pytest.mark.parametrize("text", ["", "*", "0:1", "0:1,12:101", " 0:1, 1:2 "])
def test_lists_of_replicas_are_accepted(text):
    assert is_replica_list(text)


@pytest.mark.parametrize("text", ["0", "0:1,", "*,0:1", "a:b", "0:1;1:2", "0:-1", "**"])
def test_what_names_no_replicas_is_refused(text):
    assert not is_replica_list(text)


def test_a_replica_is_held_back_only_where_its_topic_names_it():
    ours = Throttles(leader=Throttle(unbounded), follower=Throttle(unbounded))
    named = ThrottledReplicas.of(
        {
            "leader.replication.throttled.replicas": " 0:1, 1:2 ",
            "follower.replication.throttled.replicas": "*",
        }
    )

    assert ours.of_replica(named, 0, 1) == ours
    assert ours.of_replica(named, 1, 1) == Throttles(follower=ours.follower)
    assert ours.of_replica(ThrottledReplicas.of({}), 0, 1) == Throttles()
