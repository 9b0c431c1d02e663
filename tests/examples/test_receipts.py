from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from examples.social.ranges import Ranges
from examples.social.receipts import Acknowledged, Seen, run_and_number

NUMBERS = st.lists(st.integers(1, 40), max_size=60)


def ranges_of(numbers) -> Ranges:
    ranges = Ranges()
    for number in numbers:
        ranges.add(number)
    return ranges


@given(NUMBERS, NUMBERS)
def test_ranges_are_a_set_whatever_the_order(numbers, others):
    ranges = Ranges()

    assert [ranges.add(number) for number in numbers] == [
        number not in numbers[:at] for at, number in enumerate(numbers)
    ]
    assert len(ranges) == len(set(numbers))
    assert {number for number in range(50) if number in ranges} == set(numbers)
    assert ranges.common(ranges_of(others)) == len(set(numbers) & set(others))
    assert all(a[1] + 1 < b[0] for a, b in zip(ranges, list(ranges)[1:], strict=False))


@given(acknowledged=st.sets(st.integers(1, 40)), seen=NUMBERS)
def test_the_verdict_counts_what_is_acknowledged_and_not_seen(acknowledged, seen):
    ledger, feed = Acknowledged(now=0.0), Seen()
    for number in acknowledged:
        ledger.note("run", number, now=1.0)
    for number in seen:
        feed.note(number)

    verdict = ledger.verdict({"run": feed}, now=5.0)

    assert verdict.acknowledged == len(acknowledged)
    assert verdict.waiting == len(acknowledged - set(seen))
    assert verdict.seen == len(acknowledged & set(seen))
    assert verdict.twice == len(seen) - len(set(seen))
    assert verdict.waiting_s == (4.0 if verdict.waiting else 0.0)


def test_what_is_seen_in_another_run_is_something_else():
    ledger, other = Acknowledged(now=0.0), Seen()
    ledger.note("b", 1, now=0.0)
    other.note(1)

    assert ledger.verdict({"a": other}, now=0.0).waiting == 1


def test_what_was_acknowledged_before_a_restart_waits_since_the_restart():
    before = Acknowledged(now=0.0)
    before.note("run", 1, now=0.0)

    after = Acknowledged.of(before.plain(), now=100.0)

    assert after.verdict({}, now=107.0).waiting_s == 7.0


@pytest.mark.parametrize("event_id", ["", "run", "run:", ":1", "run:x", "run:-1", "r:" + "9" * 30])
def test_an_id_of_nobody_s_has_no_number(event_id):
    assert run_and_number(event_id) is None
