"""Which broker is a group's: the same answer everywhere, and little moves."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from coordinator.cluster import BrokerRegistration, ClusterState
from coordinator.groups.owner import NOBODY, group_brokers, owner_of

group_ids = st.text(st.characters(codec="utf-8"), min_size=1, max_size=50)
broker_ids = st.lists(
    st.integers(min_value=0, max_value=2**31 - 1), min_size=1, max_size=12, unique=True
)


@given(group_ids, broker_ids, st.randoms())
def test_every_broker_gives_the_same_answer_in_whatever_order_it_knows_the_others(
    group_id, brokers, rng
):
    shuffled = list(brokers)
    rng.shuffle(shuffled)

    assert owner_of(group_id, brokers) == owner_of(group_id, shuffled)
    assert owner_of(group_id, brokers) in brokers


def test_the_answer_is_the_same_in_every_release():
    # Brokers of two releases share a cluster: what moves here would be claimed back and forth.
    named = ("g", "billing", "ünïcode", "x" * 1_024)
    assert [owner_of(group_id, range(1, 6)) for group_id in named] == [2, 3, 1, 2]


@given(group_ids, broker_ids)
def test_a_group_moves_only_when_its_broker_goes(group_id, brokers):
    owner = owner_of(group_id, brokers)
    for gone in brokers:
        left = [each for each in brokers if each != gone]
        assert (owner_of(group_id, left) == owner) is (gone != owner)


@given(group_ids, broker_ids, st.integers(min_value=0, max_value=2**31 - 1))
def test_a_group_moves_only_to_a_broker_that_has_come(group_id, brokers, newcomer):
    before = owner_of(group_id, brokers)

    assert owner_of(group_id, [*brokers, newcomer]) in (before, newcomer)


def test_groups_are_spread_evenly():
    shares = Counter(owner_of(f"group-{number}", range(1, 6)) for number in range(10_000))

    assert all(1_850 <= share <= 2_150 for share in shares.values()), shares


def test_nobody_owns_a_group_where_there_is_no_broker():
    assert owner_of("g", ()) == NOBODY
    assert group_brokers(ClusterState()) == ()


def registration(broker_id: int, *, shutting_down: bool) -> BrokerRegistration:
    return BrokerRegistration(
        broker_id, broker_id, (), None, "d", clean=True, epoch_version=0,
        shutting_down=shutting_down,
    )  # fmt: skip


def test_brokers_about_to_leave_own_nothing_unless_all_are():
    staying = {1: registration(1, shutting_down=False), 2: registration(2, shutting_down=True)}
    leaving = {1: registration(1, shutting_down=True), 2: registration(2, shutting_down=True)}

    assert group_brokers(ClusterState(brokers=staying)) == (1,)
    assert group_brokers(ClusterState(brokers=leaving)) == (1, 2)
