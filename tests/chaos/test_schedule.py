"""The faults of a run on real processes: what is drawn from a seed."""

from __future__ import annotations

import pytest

from chaos.schedule import (
    CALM_S,
    COORDINATOR,
    KINDS,
    OF_COORDINATOR,
    OF_PAIRS,
    STORM_S,
    draw_schedule,
    kinds_for,
)

SEEDS = range(20)


def draw(seed: int, *, brokers: int = 3, duration_s: float = 600, kinds=KINDS):
    return draw_schedule(seed, duration_s=duration_s, brokers=brokers, kinds=kinds)


def test_a_seed_decides_all_faults():
    assert draw(7) == draw(7) != draw(8)


def test_a_longer_run_begins_as_a_shorter_one():
    short = draw(7, duration_s=60)

    assert short == draw(7)[: len(short)]


@pytest.mark.parametrize("seed", SEEDS)
def test_every_kind_comes_before_one_comes_again(seed):
    kinds = [fault.kind for fault in draw(seed)]

    assert set(kinds[: len(KINDS)]) == set(KINDS)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("brokers", [1, 2, 5])
def test_faults_meet_processes_that_there_are(seed, brokers):
    names = {str(number) for number in range(1, brokers + 1)}
    faults = draw(seed, brokers=brokers, kinds=kinds_for(brokers=brokers, own_coordinator=True))

    for fault in faults:
        assert fault.node in names | {COORDINATOR, ""}
        assert fault.other in names | {COORDINATOR, ""}
        assert fault.node != fault.other or not fault.node
        assert (fault.node == COORDINATOR) == (fault.kind in OF_COORDINATOR)
        assert fault.lasts_s > 0


@pytest.mark.parametrize("seed", SEEDS)
def test_a_quarter_of_the_time_nothing_new_breaks(seed):
    assert all(fault.at_s % (STORM_S + CALM_S) <= STORM_S + 0.05 for fault in draw(seed))


def test_a_cluster_meets_only_what_it_can():
    assert not kinds_for(brokers=1, own_coordinator=False) & (OF_PAIRS | OF_COORDINATOR)
    assert kinds_for(brokers=2, own_coordinator=True) == set(KINDS)
    assert draw(1, kinds=()) == ()
