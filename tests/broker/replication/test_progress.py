from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from broker.replication.progress import FollowerProgress, Progress


def book(*, epoch_start_offset: int = 0, led_since: float = 0.0) -> Progress:
    return Progress(broker_id=1, epoch_start_offset=epoch_start_offset, led_since=led_since)


def fetched(progress: Progress, follower: int, offset: int, *, log_end: int, now: float) -> None:
    entry = progress.followers.setdefault(follower, FollowerProgress(broker_epoch=1))
    entry.fetched(offset, log_end_offset=log_end, now=now)


def test_nothing_is_committed_while_a_member_was_not_heard_under_this_epoch():
    progress = book()
    fetched(progress, 2, 10, log_end=10, now=1)

    assert progress.high_watermark(durable_end_offset=10, members=frozenset({1, 2, 3})) == -1


def test_the_leaders_own_unflushed_records_are_not_committed():
    progress = book()
    fetched(progress, 2, 10, log_end=10, now=1)

    assert progress.high_watermark(durable_end_offset=7, members=frozenset({1, 2})) == 7


@given(
    st.dictionaries(st.integers(2, 5), st.integers(0, 100)),
    st.integers(0, 100),
    st.frozensets(st.integers(1, 5)),
)
def test_the_low_watermark_is_what_no_live_replica_starts_below(starts, own_start, live):
    progress = book()
    for follower, start in starts.items():
        fetched(progress, follower, 0, log_end=100, now=1)
        progress.followers[follower].log_start_offset = start

    found = progress.low_watermark(log_start_offset=own_start, members=live)

    told = {1: own_start, **starts}
    assert found == min([own_start, *(told.get(replica, -1) for replica in live)])


@given(
    st.dictionaries(st.integers(2, 5), st.integers(0, 100), min_size=1),
    st.integers(0, 100),
)
def test_the_high_watermark_is_never_above_any_member(ends, own_end):
    progress = book()
    for follower, end in ends.items():
        fetched(progress, follower, end, log_end=100, now=1)

    members = frozenset(ends) | {1}
    committed = progress.high_watermark(durable_end_offset=own_end, members=members)

    assert committed == min([own_end, *ends.values()])


def test_a_follower_joins_only_from_the_epoch_start_and_the_high_watermark():
    progress = book(epoch_start_offset=20)

    fetched(progress, 2, 19, log_end=30, now=1)
    assert not progress.is_caught_up(2, high_watermark=10)

    fetched(progress, 2, 20, log_end=30, now=2)
    assert progress.is_caught_up(2, high_watermark=10)
    assert not progress.is_caught_up(2, high_watermark=25)


def test_a_follower_joins_only_without_what_was_deleted():
    progress = book()
    fetched(progress, 2, 10, log_end=10, now=1)
    progress.followers[2].log_start_offset = 3

    progress.deleted_before = 4
    assert not progress.is_caught_up(2, high_watermark=10)
    progress.followers[2].log_start_offset = 4
    assert progress.is_caught_up(2, high_watermark=10)


def test_who_does_not_say_where_its_log_starts_joins_where_nothing_was_deleted():
    progress = book()
    fetched(progress, 2, 10, log_end=10, now=1)

    assert progress.is_caught_up(2, high_watermark=10)


def test_a_follower_that_fetches_but_never_catches_up_lags():
    progress = book()
    for second in range(20):
        fetched(progress, 2, second, log_end=100 + 10 * second, now=second)

    assert progress.lagging((1, 2), log_end_offset=300, lag_time_max_s=10, now=20) == {2}


def test_a_follower_one_fetch_behind_a_busy_leader_does_not_lag():
    progress = book()
    for second in range(20):
        # Each fetch asks for what the leader held at the fetch before.
        fetched(progress, 2, 10 * second, log_end=10 * (second + 1), now=second)

    assert progress.lagging((1, 2), log_end_offset=200, lag_time_max_s=10, now=20) == frozenset()


def test_an_idle_caught_up_follower_does_not_lag_however_long_it_was_silent():
    progress = book()
    fetched(progress, 2, 50, log_end=50, now=1)

    assert progress.lagging((1, 2), log_end_offset=50, lag_time_max_s=10, now=1_000) == frozenset()


def test_a_follower_never_heard_lags_a_lag_time_after_the_epoch_began():
    progress = book(led_since=100)

    assert progress.lagging((1, 2), log_end_offset=0, lag_time_max_s=10, now=105) == frozenset()
    assert progress.lagging((1, 2), log_end_offset=0, lag_time_max_s=10, now=111) == {2}
