"""The spread of replicas: even leaders, even replicas, distinct racks."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coordinator.assign import assign, check_manual
from coordinator.errors import InvalidReplicaAssignment, InvalidReplicationFactor

brokers = st.dictionaries(
    st.integers(0, 1000), st.sampled_from(["a", "b", "c"]), min_size=1, max_size=9
)


@given(
    racks=brokers,
    racked=st.booleans(),
    partition_count=st.integers(1, 40),
    factor=st.integers(1, 9),
    start=st.integers(0, 10**6),
)
def test_leaders_are_even_and_replicas_are_on_distinct_brokers_and_racks(
    racks, racked, partition_count, factor, start
):
    factor = min(factor, len(racks))
    racks = racks if racked else dict.fromkeys(racks)

    spread = assign(racks, partition_count=partition_count, replication_factor=factor, start=start)

    assert len(spread) == partition_count
    for replicas in spread:
        assert len(set(replicas)) == factor
        if racked:
            assert len({racks[r] for r in replicas}) == min(factor, len(set(racks.values())))
    leaders = Counter(replicas[0] for replicas in spread)
    assert max(leaders.values()) - min(leaders[b] for b in racks) <= 1


@given(
    broker_count=st.integers(2, 8),
    rounds=st.integers(1, 5),
    start=st.integers(0, 10**6),
    data=st.data(),
)
def test_replicas_are_even_after_full_rounds(broker_count, rounds, start, data):
    factor = data.draw(st.integers(1, broker_count))
    racks = dict.fromkeys(range(broker_count))

    spread = assign(
        racks,
        partition_count=rounds * broker_count,
        replication_factor=factor,
        start=start,
    )

    counts = Counter(r for replicas in spread for r in replicas)
    assert set(counts.values()) == {rounds * factor}


def test_replicas_are_even_over_racks_of_the_same_size():
    racks = {1: "a", 2: "a", 3: "b", 4: "b", 5: "c", 6: "c"}

    spread = assign(racks, partition_count=60, replication_factor=3, start=0)

    assert Counter(r for replicas in spread for r in replicas) == dict.fromkeys(racks, 30)


def test_followers_of_one_leader_differ_from_round_to_round():
    spread = assign(dict.fromkeys(range(4)), partition_count=12, replication_factor=2, start=0)

    assert len(set(spread)) == 12


def test_added_partitions_go_on_where_the_topic_ended():
    racks = dict.fromkeys(range(5))

    whole = assign(racks, partition_count=9, replication_factor=3, start=2)
    rest = assign(racks, partition_count=4, replication_factor=3, start=2, first_partition=5)

    assert whole[5:] == rest


@pytest.mark.parametrize(
    ("live", "factor", "message"),
    [
        (2, 3, "replication factor 3 asked, 2 brokers are live: start another broker or ask for 2"),
        (1, 2, "replication factor 2 asked, 1 broker is live: start another broker or ask for 1"),
        (0, 1, "no broker is live: start one first"),
        (3, 0, "replication factor 0 asked: at least 1 is needed"),
    ],
)
def test_a_factor_that_cannot_be_had_is_refused_with_the_next_step(live, factor, message):
    racks = dict.fromkeys(range(live))

    with pytest.raises(InvalidReplicationFactor) as refusal:
        assign(racks, partition_count=1, replication_factor=factor, start=0)

    assert str(refusal.value) == message


@pytest.mark.parametrize(
    "assignment",
    [
        {},
        {1: (1,)},
        {0: (1,), 2: (1,)},
        {0: ()},
        {0: (1, 1)},
        {0: (1, 2), 1: (1,)},
        {0: (1, 7)},
        {0: (3,)},
    ],
)
def test_an_assignment_by_hand_that_cannot_be_had_is_refused(assignment):
    with pytest.raises(InvalidReplicaAssignment):
        check_manual(
            assignment,
            first_partition=0,
            known_brokers=frozenset({1, 2, 3}),
            live_brokers=frozenset({1, 2}),
        )


def test_an_assignment_by_hand_is_taken_as_it_is():
    spread = check_manual(
        {1: (2, 3), 0: (3, 1)},
        first_partition=0,
        known_brokers=frozenset({1, 2, 3}),
        live_brokers=frozenset({1, 2}),
    )

    assert spread == ((3, 1), (2, 3))
