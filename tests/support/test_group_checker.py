"""The judge of consumer groups is itself judged: it accepts what is right and sees what is not."""

from __future__ import annotations

import random

import pytest

from tests.support.groups.checker import Run, check
from tests.support.groups.events import (
    Assigned,
    Committed,
    Consumed,
    Event,
    Failed,
    Killed,
    Left,
    Lost,
    Observed,
    Partition,
    Paused,
    Resumed,
    Revoked,
    owned_now,
)
from tests.support.groups.standstill import standstill

P = Partition("t", 0)


def read(at_ms: int, first: int, last: int) -> Consumed:
    return Consumed(at_ms, P, first, last)


def assigned(at_ms: int) -> Assigned:
    return Assigned(at_ms, (P,))


def revoked(at_ms: int) -> Revoked:
    return Revoked(at_ms, (P,))


def committed(at_ms: int, offset: int, error: str | None = None) -> Committed:
    return Committed(at_ms, ((P, offset),), error)


FIRST: list[Event] = [
    assigned(10),
    read(11, 0, 4),
    committed(12, 5),
    read(13, 5, 9),
    committed(14, 10),
    revoked(20),
    Left(21),
]
SECOND: list[Event] = [assigned(30), read(31, 10, 19), committed(32, 20), revoked(40), Left(41)]


def laws(
    first: list[Event],
    second: list[Event],
    *,
    end: int = 20,
    observed: tuple[int, ...] = (),
    exactly_once: bool = False,
    evictions: bool = False,
) -> set[str]:
    run = Run(
        {"first": first, "second": second},
        {P: end},
        [Observed(P, offset) for offset in observed],
        exactly_once=exactly_once,
        evictions=evictions,
    )
    return {violation.law for violation in check(run)}


@pytest.mark.parametrize("evictions", [False, True])
def test_a_partition_that_changes_hands_in_order_breaks_no_law(evictions):
    found = laws(FIRST, SECOND, observed=(0, 5, 20), exactly_once=True, evictions=evictions)

    assert found == set()


def test_a_record_that_nobody_processed_is_seen():
    assert laws(FIRST, SECOND, end=21) == {"unread"}
    assert "unread" in laws(FIRST[:2], SECOND)


def test_a_record_skipped_by_an_owner_is_seen():
    skipping = [assigned(10), read(11, 0, 4), read(13, 6, 9), committed(14, 10), revoked(20)]

    assert laws(skipping, SECOND) == {"poll-skip", "unread"}


def test_an_owner_that_reads_backwards_is_seen():
    back = [assigned(10), read(11, 0, 4), read(13, 3, 9), committed(14, 10), revoked(20)]

    assert laws(back, SECOND) == {"nonmonotonic-poll"}
    assert laws(back, SECOND, exactly_once=True) == {"nonmonotonic-poll", "duplicate"}


def test_records_processed_without_owning_their_partition_are_seen():
    assert laws([*FIRST[:-1], read(25, 10, 12), Left(26)], SECOND) == {"unowned"}


def test_an_owner_that_begins_before_an_acknowledged_commit_is_seen():
    early: list[Event] = [assigned(30), read(31, 5, 19), committed(32, 20), Left(41)]

    assert laws(FIRST, early) == {"stale-start"}


def test_a_batch_whose_commit_was_refused_may_be_processed_again():
    refused = [*FIRST[:4], committed(14, 10, "rebalance in progress"), *FIRST[5:]]
    again: list[Event] = [assigned(30), read(31, 5, 19), committed(32, 20), Left(41)]
    too_much: list[Event] = [assigned(30), read(31, 4, 19), committed(32, 20), Left(41)]

    assert laws(refused, again, exactly_once=True) == set()
    assert laws(refused, SECOND, exactly_once=True) == set()
    assert "duplicate" in laws(refused, too_much, exactly_once=True)


def test_a_refused_commit_that_was_made_good_excuses_nothing():
    made_good = [*FIRST[:4], committed(14, 10, "rebalance"), committed(15, 10), *FIRST[5:]]
    again: list[Event] = [assigned(30), read(31, 5, 19), committed(32, 20), Left(41)]

    assert "duplicate" in laws(made_good, again, exactly_once=True)


def test_an_owner_that_begins_where_nobody_committed_is_seen():
    odd: list[Event] = [assigned(30), read(31, 12, 19), committed(32, 20), Left(41)]

    assert laws(FIRST, odd) == {"odd-start", "unread"}


def test_two_owners_at_a_time_are_seen():
    overlapping: list[Event] = [assigned(19), read(31, 10, 19), committed(32, 20), Left(41)]

    assert laws(FIRST, overlapping) == {"owned-twice"}
    assert laws(overlapping, FIRST) == {"owned-twice"}


def test_a_paused_member_may_lose_its_partitions_unawares():
    paused: list[Event] = [*FIRST[:5], Paused(16), Resumed(50), Lost(51, (P,)), Left(52)]

    assert laws(paused, SECOND) == set()
    assert laws([*FIRST[:5], Paused(35), Resumed(50), Left(52)], SECOND) == {"owned-twice"}


def test_a_killed_member_owns_nothing():
    assert laws([*FIRST[:5], Killed(16)], SECOND) == set()
    assert laws([*FIRST[:5], Killed(31)], SECOND) == {"owned-twice"}


def test_where_members_are_evicted_only_commits_prove_ownership():
    believing = [*FIRST[:5], revoked(60), Left(61)]
    proving = [*FIRST[:5], read(33, 10, 14), committed(34, 15), revoked(60), Left(61)]
    other: list[Event] = [
        assigned(30),
        read(31, 10, 14),
        committed(32, 15),
        read(34, 15, 19),
        committed(35, 20),
        revoked(40),
        Left(41),
    ]

    assert laws(believing, other) == {"owned-twice"}
    assert laws(believing, other, evictions=True) == set()
    assert laws(proving, other, evictions=True) == {"owned-twice"}


def test_a_committed_offset_that_goes_back_is_seen():
    assert laws(FIRST, SECOND, observed=(0, 10, 5, 20)) == {"commit-went-back"}


def test_an_acknowledged_commit_that_is_gone_at_the_end_is_seen():
    assert laws(FIRST, SECOND, observed=(0, 10)) == {"commit-lost"}


def test_a_member_that_gave_up_is_seen():
    assert laws([*FIRST, Failed(50, "no such group")], SECOND) == {"failed"}


def test_what_a_member_owns_follows_from_its_events():
    q = Partition("t", 1)

    assert owned_now([Assigned(1, (P, q)), Revoked(2, (P,))]) == {q}
    assert owned_now([Assigned(1, (P, q)), Lost(2, (q,))]) == {P}
    assert owned_now([Assigned(1, (P,)), Killed(2)]) == set()


@pytest.mark.parametrize("seed", range(50))
def test_the_order_in_which_members_are_told_does_not_matter(seed):
    """A partition handed around by a random rule that is right; then one commit is forgotten."""
    generator = random.Random(seed)
    histories: dict[str, list[Event]] = {"a": [], "b": [], "c": []}
    at_ms, offset, starts = 0, 0, []
    for _ in range(10):
        events = histories[generator.choice("abc")]
        events.append(assigned(at_ms := at_ms + 2))
        starts.append((events, len(events), offset))
        for _ in range(generator.randrange(1, 4)):
            count = generator.randrange(1, 9)
            events.append(read(at_ms := at_ms + 1, offset, offset + count - 1))
            offset += count
            events.append(committed(at_ms := at_ms + 1, offset))
        events.append(revoked(at_ms := at_ms + 1))
    names = generator.sample(sorted(histories), 3)

    assert check(Run({n: histories[n] for n in names}, {P: offset}, exactly_once=True)) == []

    events, index, start = generator.choice(starts[1:])
    first = events[index]
    assert isinstance(first, Consumed)
    events[index] = read(first.at_ms, start - 1, first.last)
    found = {v.law for v in check(Run(histories, {P: offset}, exactly_once=True))}
    assert {"stale-start", "duplicate"} <= found


def test_a_standstill_is_the_longest_that_any_partition_waited():
    q = Partition("t", 1)
    one = [Consumed(1_000, P, 0, 0), committed(1_100, 1), Consumed(4_000, P, 1, 1)]
    two = [Consumed(1_500, q, 0, 0), Consumed(3_000, q, 1, 1), Revoked(3_500, (q,))]

    found = standstill([one, two], [P, q], since_ms=500, until_ms=5_000)

    assert found == (3.0, 4.5, 1)
