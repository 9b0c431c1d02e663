"""Which committed offsets are kept no longer."""

from __future__ import annotations

import pytest

from broker.groups.retention import expired_offsets, offsets_of_deleted_topics
from broker.groups.state import State
from coordinator.groups.change import TopicChange
from coordinator.groups.image import CommittedOffset, TopicOffsets
from tests.broker.groups.stage import Stage

T, U = b"t" * 16, b"u" * 16
RETENTION_MS = 1_000


def offsets(t_ms: int = 0, u_ms: int = 0) -> dict[str, TopicOffsets]:
    return {
        "t": TopicOffsets(T, {0: CommittedOffset(5, committed_ms=t_ms)}),
        "u": TopicOffsets(U, {0: CommittedOffset(6, committed_ms=u_ms)}),
    }


def forgotten(group, kept, *, now_ms: int, subscribed=frozenset()) -> set[str]:
    changes = expired_offsets(
        group, kept, subscribed=subscribed, retention_ms=RETENTION_MS, now_ms=now_ms
    )
    for topic, change in changes.items():
        assert change == TopicChange(kept[topic].topic_id, dict.fromkeys(kept[topic].partitions))
    return set(changes)


@pytest.fixture
def group():
    return Stage().group


def test_without_membership_offsets_live_from_their_commit(group):
    kept = offsets(t_ms=0, u_ms=1)

    assert forgotten(group, kept, now_ms=999) == set()
    assert forgotten(group, kept, now_ms=1_000) == {"t"}
    assert forgotten(group, kept, now_ms=1_001) == {"t", "u"}


def test_offsets_of_a_group_that_had_members_live_from_when_it_became_empty(group):
    group.protocol_type, group.empty_since_ms = "consumer", 500
    kept = offsets(t_ms=0, u_ms=700)

    assert forgotten(group, kept, now_ms=1_499) == set()
    assert forgotten(group, kept, now_ms=1_500) == {"t"}
    # What was reset since then is kept from then on.
    assert forgotten(group, kept, now_ms=1_700) == {"t", "u"}


def test_what_members_read_is_kept_however_old(group):
    group.state = State.STABLE

    assert forgotten(group, offsets(), now_ms=99_999, subscribed={"t"}) == {"u"}
    assert forgotten(group, offsets(), now_ms=99_999, subscribed={"t", "u"}) == set()


def test_what_members_read_is_not_known(group):
    group.state = State.STABLE

    assert forgotten(group, offsets(), now_ms=99_999, subscribed=None) == set()


@pytest.mark.parametrize("state", [State.PREPARING, State.COMPLETING])
def test_in_a_rebalance_all_is_kept(state, group):
    group.state = state

    assert forgotten(group, offsets(), now_ms=99_999, subscribed=frozenset()) == set()


def test_partitions_expire_one_by_one(group):
    kept = {
        "t": TopicOffsets(
            T, {0: CommittedOffset(1, committed_ms=0), 1: CommittedOffset(2, committed_ms=900)}
        )
    }
    changes = expired_offsets(group, kept, subscribed=None, retention_ms=RETENTION_MS, now_ms=1_000)

    assert changes == {"t": TopicChange(T, {0: None})}


def test_offsets_of_deleted_topics_go_by_the_topics_id():
    assert offsets_of_deleted_topics(offsets(), {U}) == {"u": TopicChange(U, {0: None})}
    # A topic of that name that is known by another id, or not at all, says nothing.
    assert offsets_of_deleted_topics(offsets(), {b"v" * 16}) == {}
