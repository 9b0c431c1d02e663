"""The clocks of sessions."""

from __future__ import annotations

from math import inf

import pytest

from coordinator.embedded.sessions import SessionClocks, agree_timeout_ms


@pytest.mark.parametrize(
    ("asked", "agreed"), [(0, 1_000), (-1, 1_000), (5_000, 5_000), (99_000, 40_000)]
)
def test_a_timeout_is_agreed_within_the_bounds(asked, agreed):
    assert agree_timeout_ms(asked, min_ms=1_000, max_ms=40_000) == agreed


def test_sessions_are_due_in_the_order_in_which_they_ran_out():
    clocks = SessionClocks()
    clocks.start(1, timeout_s=5, now=0)
    clocks.start(2, timeout_s=3, now=0)
    clocks.start(3, timeout_s=9, now=0)

    assert clocks.next_deadline() == 3
    assert clocks.due(2.9) == []
    assert clocks.due(5) == [2, 1]


def test_hearing_a_client_begins_its_time_anew_but_never_revives_an_ended_session():
    clocks = SessionClocks()
    clocks.start(1, timeout_s=5, now=0)
    clocks.touch(1, now=4)
    assert clocks.next_deadline() == 9

    clocks.stop(1)
    clocks.touch(1, now=5)
    assert clocks.next_deadline() == inf


def test_after_a_stall_every_session_has_its_whole_timeout_again():
    clocks = SessionClocks()
    clocks.start(1, timeout_s=5, now=0)
    clocks.start(2, timeout_s=6, now=0)
    clocks.restart(now=30)

    assert clocks.due(34.9) == []
    assert clocks.due(36) == [1, 2]
