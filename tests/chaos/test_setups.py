"""How clients of a load are set up: the plain way, or in all ways that promise the same."""

from __future__ import annotations

import random

from chaos.load import Load
from chaos.setups import (
    ASSIGNORS,
    AUTO_COMMIT_INTERVALS_S,
    COMPRESSIONS,
    LINGERS_MS,
    WORKS_S,
    member_config,
    producer_config,
    work_s,
)

PLAIN = Load("orders", 3, seed=7)
VARIED = Load("orders", 3, seed=7, varied=True)


def members_of(load: Load, group: str, name: str = "member-1") -> list:
    rng = random.Random(1)
    return [member_config(load, name, group, rng) for _ in range(100)]


def test_plain_clients_differ_in_their_linger_alone():
    rng = random.Random(1)
    producers = [producer_config(PLAIN, rng) for _ in range(100)]

    assert {one.compression for one in producers} == {"none"}
    assert {one.linger_ms for one in producers} == {*LINGERS_MS}
    assert len({repr(one) for one in members_of(PLAIN, "readers")}) == 1
    assert not members_of(PLAIN, "readers")[0].enable_auto_commit


def test_varied_producers_compress_in_all_ways():
    rng = random.Random(1)
    producers = [producer_config(VARIED, rng) for _ in range(100)]

    assert {one.compression for one in producers} == {*COMPRESSIONS}
    assert {one.acks for one in producers} == {"all"}


def test_varied_members_are_static_or_not_and_commit_by_themselves_or_not():
    members = members_of(VARIED, "readers", name="member-2")

    assert {one.group_instance_id for one in members} == {None, "member-2"}
    assert {one.enable_auto_commit for one in members} == {True, False}
    assert {one.auto_commit_interval_s for one in members} == {*AUTO_COMMIT_INTERVALS_S}


def test_varied_members_take_their_time():
    rng = random.Random(1)

    assert {work_s(VARIED, rng) for _ in range(100)} == {*WORKS_S}
    assert {work_s(PLAIN, rng) for _ in range(100)} == {0.0}
    assert work_s(Load("orders", 3, seed=7, rest_s=0.5), rng) == 0.5


def test_members_of_a_group_have_the_same_assignors_and_groups_differ():
    of_groups = [{one.assignors for one in members_of(VARIED, f"g{n}")} for n in range(50)]

    assert {len(assignors) for assignors in of_groups} == {1}
    assert set().union(*of_groups) == {*ASSIGNORS}
