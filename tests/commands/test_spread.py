from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from commands.spread import spread, spread_over_racks


@st.composite
def wishes(draw):
    """A topic as it is, the brokers it shall be on, and how many replicas it shall have."""
    held_by = st.lists(st.integers(1, 8), min_size=1, max_size=5, unique=True)
    current = draw(st.dictionaries(st.integers(0, 40), held_by, max_size=25))
    brokers = draw(st.lists(st.integers(1, 12), min_size=1, max_size=8, unique=True))
    return current, brokers, draw(st.integers(1, len(brokers)))


def counts(placement, brokers, *, leaders=False):
    held = Counter(dict.fromkeys(brokers, 0))
    for at in placement.values():
        held.update(at[:1] if leaders else at)
    return held.values()


@given(wishes())
def test_every_partition_has_so_many_different_replicas_on_the_brokers_named(wish):
    current, brokers, replicas = wish
    placed = spread(current, brokers, replicas=replicas)

    assert placed.keys() == current.keys()
    for at in placed.values():
        assert len(set(at)) == len(at) == replicas
        assert set(at) <= set(brokers)


@given(wishes())
def test_no_two_brokers_differ_by_more_than_one_replica(wish):
    current, brokers, replicas = wish
    held = counts(spread(current, brokers, replicas=replicas), brokers)

    assert max(held) - min(held) <= 1


@given(wishes())
def test_no_two_brokers_differ_by_more_than_one_preferred_leader(wish):
    current, brokers, replicas = wish
    led = counts(spread(current, brokers, replicas=replicas), brokers, leaders=True)

    assert max(led) - min(led) <= 1


@given(wishes())
def test_what_is_even_already_stays_as_it_is(wish):
    current, brokers, replicas = wish
    placed = spread(current, brokers, replicas=replicas)

    assert spread(placed, brokers, replicas=replicas) == placed


def test_a_broker_that_joins_takes_its_share_and_no_more():
    before = {0: (1, 2), 1: (2, 3), 2: (3, 1), 3: (1, 3), 4: (2, 1), 5: (3, 2)}
    after = spread(before, [1, 2, 3, 4], replicas=2)

    assert sum(len(set(after[p]) - set(before[p])) for p in before) == 3


@given(wishes(), st.data())
def test_no_two_replicas_share_a_rack_while_there_is_another(wish, data):
    current, brokers, replicas = wish
    racks = {broker: data.draw(st.sampled_from("abcd")) for broker in brokers}
    placed = spread_over_racks(current, racks, replicas=replicas)

    assert placed.keys() == current.keys()
    for at in placed.values():
        assert len(set(at)) == len(at) == replicas
        assert len({racks[broker] for broker in at}) == min(replicas, len(set(racks.values())))


@given(wishes())
def test_racks_do_not_count_where_a_broker_names_none(wish):
    current, brokers, replicas = wish
    racks = dict.fromkeys(brokers, "a") | {brokers[0]: None}

    placed = spread_over_racks(current, racks, replicas=replicas)

    assert placed == spread(current, brokers, replicas=replicas)
