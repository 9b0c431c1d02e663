"""Which sessions are kept, and which of their requests are in order: decisions alone."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.fetch_sessions import (
    ID_MAX,
    FetchSession,
    FetchSessionCache,
    FetchSessionIdNotFound,
    FetchSessionTopicIdError,
    InvalidFetchSessionEpoch,
    Reader,
    next_epoch,
)
from protocol.api.fetch import FetchPartition, FetchTopic, ForgottenTopic

CONSUMER, FOLLOWER = Reader(), Reader(2, 20)
EVICTION_S = 120.0


@pytest.fixture
def cache():
    return cache_of(slots=2)


def cache_of(*, slots: int, partitions_max: int = 1_000) -> FetchSessionCache:
    ids = itertools.count(1)
    return FetchSessionCache(
        slots=slots,
        partitions_max=partitions_max,
        eviction_s=EVICTION_S,
        random_id=lambda: next(ids),
    )


def topic(*partitions: int, name: str = "orders") -> FetchTopic:
    return FetchTopic(name, bytes(16), [FetchPartition(partition=p) for p in partitions])


def session_of(size: int = 1, *, reader: Reader = CONSUMER, now: float = 0.0) -> FetchSession:
    session = FetchSession(reader, uses_topic_ids=False, now=now)
    session.update([topic(*range(size))])
    return session


def admitted(cache, size: int = 1, *, reader: Reader = CONSUMER, now: float = 0.0) -> FetchSession:
    session = session_of(size, reader=reader, now=now)
    assert cache.admit(session, now=now)
    return session


def find(cache, session, epoch, *, reader=CONSUMER, uses_topic_ids=False):
    return cache.find(session.id, epoch, reader=reader, uses_topic_ids=uses_topic_ids)


def use(cache, session, *, now: float) -> None:
    cache.touch(session, epoch=next_epoch(session.epoch), now=now)


# Requests of a session.


def test_the_requests_of_a_session_follow_one_by_one(cache):
    session = admitted(cache)

    for epoch in (1, 2, 3):
        assert find(cache, session, epoch) is session
        for wrong in (epoch - 2, epoch - 1, epoch + 1):
            with pytest.raises(InvalidFetchSessionEpoch, match=f"epoch {epoch} .* comes next"):
                find(cache, session, wrong)
        cache.touch(session, epoch=epoch, now=0.0)


def test_after_the_last_epoch_comes_the_first_incremental_one():
    assert next_epoch(ID_MAX) == 1


def test_a_session_that_was_never_begun_or_was_removed_is_not_found(cache):
    session = admitted(cache)
    cache.remove(session.id)

    with pytest.raises(FetchSessionIdNotFound):
        find(cache, session, 1)
    assert len(cache) == cache.partition_count == 0


def test_a_session_belongs_to_the_replica_that_began_it(cache):
    session = admitted(cache, reader=FOLLOWER)

    for stranger in (CONSUMER, Reader(3, 20)):
        with pytest.raises(FetchSessionIdNotFound):
            find(cache, session, 1, reader=stranger)
    assert find(cache, session, 1, reader=Reader(2, 21)) is session


def test_names_and_topic_ids_do_not_mix_in_a_session(cache):
    session = admitted(cache)

    with pytest.raises(FetchSessionTopicIdError, match="begun with topic names"):
        find(cache, session, 1, uses_topic_ids=True)


def test_a_request_changes_what_it_names_and_nothing_else(cache):
    session = session_of(3)
    session.due.clear()

    session.update(
        [topic(1, 7)], [ForgottenTopic("orders", bytes(16), [0, 9]), ForgottenTopic("none")]
    )

    assert [c.asked.partition for c in session] == [1, 2, 7]
    assert [c.asked.partition for c in session.due] == [1, 7]


def test_what_is_named_and_forgotten_in_one_request_is_forgotten(cache):
    session = session_of(1)

    session.update([topic(5)], [ForgottenTopic("orders", bytes(16), [5])])

    assert [c.asked.partition for c in session] == [0]


def test_a_follower_registered_anew_acknowledges_everything_anew(cache):
    session = admitted(cache, 3, reader=FOLLOWER)
    session.due.clear()

    session.begin(Reader(2, 21), now=1.0)

    assert len(session.due) == 3


# Which sessions are kept.


def test_a_consumer_gets_no_session_while_all_slots_are_in_use(cache):
    kept = [admitted(cache, 5), admitted(cache, 5)]

    assert not cache.admit(session_of(50, now=60.0), now=60.0)
    assert all(session in cache for session in kept)


def test_a_follower_takes_the_smallest_slot_of_a_consumer_at_once(cache):
    small, large = admitted(cache, 5), admitted(cache, 6)

    follower = admitted(cache, 1, reader=FOLLOWER, now=1.0)

    assert small not in cache
    assert large in cache
    assert follower in cache


def test_no_consumer_takes_the_slot_of_a_follower_that_fetches(cache):
    followers = [admitted(cache, 1, reader=Reader(i, 1)) for i in (2, 3)]
    for follower in followers:
        use(cache, follower, now=EVICTION_S + 1)

    assert not cache.admit(session_of(500, now=EVICTION_S + 2), now=EVICTION_S + 2)


def test_a_session_unused_for_long_gives_way_to_any_other(cache):
    stale = admitted(cache, 100, reader=FOLLOWER)
    used = admitted(cache, 1)
    use(cache, used, now=100.0)

    admitted(cache, 1, now=EVICTION_S + 0.1)

    assert stale not in cache
    assert used in cache


def test_a_larger_session_takes_the_slot_of_a_smaller_one_that_is_no_longer_young(cache):
    sessions = [admitted(cache, 5), admitted(cache, 6)]
    for session in sessions:
        use(cache, session, now=EVICTION_S)
    later = EVICTION_S + 1

    assert not cache.admit(session_of(5, now=later), now=later)
    assert cache.admit(session_of(6, now=later), now=later)
    assert sessions[0] not in cache
    assert sessions[1] in cache


def test_sessions_are_bounded_in_partitions_as_well():
    cache = cache_of(slots=10, partitions_max=10)
    first = admitted(cache, 6)

    assert not cache.admit(session_of(5), now=0.0)
    assert not cache.admit(session_of(11, reader=FOLLOWER), now=0.0)
    assert first in cache, "nothing is given up for one that has no room at all"
    admitted(cache, 10, reader=FOLLOWER)
    assert first not in cache


def test_a_session_that_grows_beyond_the_bound_ends():
    cache = cache_of(slots=10, partitions_max=10)
    session = admitted(cache, 6)
    session.update([topic(*range(20))])

    cache.touch(session, epoch=1, now=0.0)

    assert session not in cache
    assert cache.partition_count == 0


def test_a_session_with_a_name_that_no_topic_can_have_is_not_kept(cache):
    longest, longer = topic(0, name="x" * 249), topic(0, name="x" * 250)
    session = session_of()
    session.update([longer, longest])
    assert not cache.admit(session, now=0.0)

    session = admitted(cache)
    session.update([longest])
    use(cache, session, now=1.0)
    assert session in cache
    session.update([longer])
    use(cache, session, now=2.0)
    assert session not in cache
    assert len(cache) == cache.partition_count == 0


def test_without_slots_there_are_no_sessions():
    assert not cache_of(slots=0).admit(session_of(), now=0.0)


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["admit", "grow", "shrink", "remove"]),
            st.integers(0, 5),
            st.integers(1, 9),
            st.booleans(),
            st.floats(0, 100),
        ),
        max_size=60,
    )
)
def test_the_bounds_hold_and_every_partition_is_counted_once(steps):
    cache = cache_of(slots=3, partitions_max=20)
    kept: list[FetchSession] = []
    now = 0.0
    for kind, which, size, follows, pause_s in steps:
        now += pause_s
        session = kept[which % len(kept)] if kept else None
        if kind == "admit":
            made = session_of(size, reader=FOLLOWER if follows else CONSUMER, now=now)
            if cache.admit(made, now=now):
                kept.append(made)
        elif session is not None and kind == "grow":
            session.update([topic(*range(size))])
            use(cache, session, now=now)
        elif session is not None and kind == "shrink":
            session.update([], [ForgottenTopic("orders", bytes(16), [size])])
            use(cache, session, now=now)
        elif session is not None:
            cache.remove(session.id)
        kept = [session for session in kept if session in cache]

        assert len(cache) == len(kept) <= 3
        assert cache.partition_count == sum(map(len, kept)) <= 20
