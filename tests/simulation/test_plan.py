"""Plans: drawn from a seed, printed, and shrunk to what matters."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from simulation.compaction import COMPACTED_THEMES
from simulation.kinds import COMPACTED_ONLY, KINDS, Fault
from simulation.minimise import minimise
from simulation.plan import COMPRESSION_TYPES, FAULTS_S, Plan, draw_plan
from simulation.plan_file import decode_plan, encode_plan
from simulation.themes import ACKS_ALL, THEMES

SEEDS = st.integers(0, 10_000)


@given(SEEDS)
def test_a_seed_is_a_plan(seed):
    assert draw_plan(seed) == draw_plan(seed)


def test_seeds_differ():
    assert len({str(draw_plan(seed)) for seed in range(50)}) == 50


def test_every_kind_of_fault_comes_up():
    drawn = {fault.kind for seed in range(300) for fault in draw_plan(seed).faults}

    assert drawn == set(KINDS)


@given(SEEDS)
def test_faults_meet_brokers_that_there_are_in_the_time_that_there_is(seed):
    plan = draw_plan(seed)
    for fault in plan.faults:
        assert 0 <= fault.at_s <= FAULTS_S
        assert fault.broker in range(plan.brokers + 1)
        assert plan.keys or fault.kind not in COMPACTED_ONLY
    assert [fault.at_s for fault in plan.faults] == sorted(fault.at_s for fault in plan.faults)


@given(SEEDS, st.sets(st.sampled_from(sorted(KINDS)), max_size=3))
def test_only_what_was_asked_for_is_broken(seed, kinds):
    assert {fault.kind for fault in draw_plan(seed, kinds=kinds).faults} <= kinds


@given(SEEDS, st.sampled_from(sorted(THEMES)))
def test_a_plan_about_a_theme_has_the_faults_of_that_theme(seed, about):
    plan = draw_plan(seed, about=about)

    assert {fault.kind for fault in plan.faults} <= THEMES[about].kinds
    assert str(plan).startswith(f"seed {seed}, {about}: ")


def test_every_theme_comes_up_and_plans_without_one():
    assert {draw_plan(seed).about for seed in range(300)} == {*THEMES, ""}


def test_in_some_plans_time_passes_in_steps():
    plans = [draw_plan(seed) for seed in range(1000)]
    ticking = [plan for plan in plans if plan.tick_s]

    assert {plan.tick_s for plan in ticking} == {0.01, 0.05}
    assert 0.2 < len(ticking) / len(plans) < 0.3
    assert {plan.about for plan in ticking} == {*THEMES, ""}
    assert "in steps of 0.05 s" in str(replace(plans[0], tick_s=0.05))
    assert not draw_plan(ticking[0].seed, about="moves").tick_s


def test_in_some_plans_clients_are_of_all_sorts():
    plans = [draw_plan(seed) for seed in range(1000)]
    varied = [plan for plan in plans if plan.varied]

    assert 0.2 < len(varied) / len(plans) < 0.3
    assert {plan.about for plan in varied} == {*THEMES, ""}
    assert {plan.settings["compression.type"] for plan in varied} == {*COMPRESSION_TYPES}
    assert all("compression.type" not in plan.settings for plan in plans if not plan.varied)
    assert "clients of all sorts" in str(varied[0])
    assert not draw_plan(varied[0].seed, about="moves").varied


def test_some_topics_are_compacted_whatever_the_plan_is_about():
    plans = [draw_plan(seed) for seed in range(1000)]
    compacted = [plan for plan in plans if plan.keys]

    assert {plan.settings.get("cleanup.policy") for plan in compacted} == {"compact"}
    assert {plan.acks for plan in compacted} == {ACKS_ALL}
    assert {*COMPACTED_THEMES, ""} < {plan.about for plan in compacted}
    assert 0.05 < len(compacted) / len(plans) < 0.1
    assert not any("cleanup.policy" in plan.settings for plan in plans if not plan.keys)


@given(SEEDS, st.sampled_from(COMPACTED_THEMES))
def test_a_plan_about_compaction_compacts(seed, about):
    plan = draw_plan(seed, about=about)

    assert plan.settings["cleanup.policy"] == "compact"
    assert f", {plan.keys} keys" in str(plan)


@given(SEEDS, st.sampled_from(sorted(COMPACTED_ONLY)))
def test_a_plan_with_faults_of_compaction_compacts(seed, kind):
    assert draw_plan(seed, kinds={kind}).settings["cleanup.policy"] == "compact"


@given(SEEDS, st.sampled_from(sorted(THEMES.keys() - {*COMPACTED_THEMES})))
def test_a_plan_that_is_asked_for_compacts_only_where_that_is_asked(seed, about):
    assert draw_plan(seed, about=about).keys == draw_plan(seed, kinds={"kill"}).keys == 0


def test_a_kind_that_there_is_not_is_an_error():
    with pytest.raises(KeyError):
        draw_plan(1, kinds={"earthquake"})


def test_a_plan_is_printed_with_all_its_faults():
    plan = draw_plan(4)
    lines = str(plan).splitlines()

    assert lines[0].startswith("seed 4: ")
    assert len([line for line in lines if re.match(r" *\d+\.\d{3} s  ", line)]) == len(plan.faults)


def plan_with(numbers: list[int]) -> Plan:
    faults = tuple(Fault(float(number), "kill", broker=1) for number in numbers)
    return Plan(1, 3, 1, 3, producers=1, readers=1, members=1, faults=faults)


@given(
    st.lists(st.integers(0, 100), min_size=1, max_size=40, unique=True),
    st.data(),
)
def test_what_is_left_fails_and_nothing_of_it_can_be_left_out(numbers, data):
    needed = data.draw(st.sets(st.sampled_from(numbers), min_size=1, max_size=4))
    runs = 0

    def fails(plan: Plan) -> bool:
        nonlocal runs
        runs += 1
        return needed <= {fault.at_s for fault in plan.faults}

    smallest = minimise(plan_with(numbers), fails)

    assert {fault.at_s for fault in smallest.faults} == needed
    assert runs <= 8 * len(numbers) * len(needed) + 8


def test_the_order_of_faults_is_kept():
    smallest = minimise(plan_with([1, 2, 3, 4, 5, 6]), lambda plan: len(plan.faults) >= 3)

    assert [fault.at_s for fault in smallest.faults] == sorted(f.at_s for f in smallest.faults)
    assert len(smallest.faults) == 3


@pytest.mark.parametrize("seed", range(100))
def test_a_plan_is_read_as_it_was_written(seed):
    plan = draw_plan(seed)

    assert decode_plan(encode_plan(plan, found="x")) == plan
