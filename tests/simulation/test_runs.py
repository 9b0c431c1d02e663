"""Whole simulated runs: they repeat to the byte, and the sound code shows no anomaly.

A failing seed is run again, alone, with `ottla simulate --seed <seed>`.
"""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
import structlog
from msgspec.structs import replace

from chaos.history import Outcome
from simulation.kinds import Fault
from simulation.plan import draw_plan
from simulation.run import simulate

SHORT = 28
"""A seed whose run is soon over."""

COMPACTED = 7
"""A seed whose topic is compacted."""

MIXED = 165
"""A seed with a compacted topic, steps of time, damaged disks, and topics that come and go."""

GROUPS = 969
"""A seed with three groups, all of which are behind once all is mended."""

STEPPED = 48
"""A seed whose time passes in steps."""

SLOW = [pytest.param(seed, marks=pytest.mark.slow) for seed in (13, *range(40, 90))]
SEEDS = [SHORT, *SLOW]
IN_A_PROCESS = """
from simulation.plan import draw_plan
from simulation.run import simulate
print(simulate(draw_plan({seed})).trace.digest)
"""


@pytest.mark.parametrize("seed", SEEDS)
def test_nothing_is_lost_whatever_breaks(seed):
    verdict = simulate(draw_plan(seed))

    assert verdict.anomalies == [], "\n".join([str(verdict.plan), *verdict.trace.lines[-50:]])
    assert verdict.acknowledged > 100
    assert verdict.steps > 1_000


@pytest.mark.slow
def test_a_compacted_topic_loses_nothing_but_what_is_superseded():
    verdict = simulate(draw_plan(COMPACTED))

    assert verdict.anomalies == [], "\n".join([str(verdict.plan), *verdict.trace.lines[-50:]])
    assert verdict.acknowledged > 100
    assert sum(" log_compacted " in line for line in verdict.trace.lines) > 20


@pytest.mark.slow
@pytest.mark.parametrize("seed", [SHORT, MIXED, STEPPED, GROUPS])
def test_a_run_repeats_in_every_process_to_the_byte(seed):
    here = simulate(draw_plan(seed)).trace
    there = [
        subprocess.run(
            [sys.executable, "-c", IN_A_PROCESS.format(seed=seed)],
            env={**os.environ, "PYTHONHASHSEED": hash_seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()
        for hash_seed in ("0", "1")
    ]

    assert len(here.lines) > 20
    assert sum(" operations of clients, " in line for line in here.lines) == 1
    assert here.digest != simulate(draw_plan(13)).trace.digest
    assert there == [here.digest] * 2


def test_who_takes_longer_to_stop_than_its_fault_lasts_is_started_all_the_same():
    stop = Fault(1.0, "stop", broker=1)
    lines = simulate(replace(draw_plan(SHORT), faults=(stop,))).trace.lines
    names = [line.split(maxsplit=1)[1] for line in lines]

    assert "start broker 1" in names[: names.index("all is mended")]


@pytest.mark.slow
def test_what_goes_wrong_in_a_task_is_an_anomaly(monkeypatch):
    """A planted bug of the crudest kind; the finer ones are in tests/simulation/mutations."""

    async def fail(*_: object) -> None:
        raise ZeroDivisionError("planted")

    monkeypatch.setattr("chaos.workload.Workload.read_to", fail)
    verdict = simulate(draw_plan(SHORT))

    assert [anomaly.name for anomaly in verdict.anomalies] == ["crash"]
    assert "planted" in verdict.anomalies[0].facts


@pytest.mark.slow
def test_what_goes_wrong_in_a_request_is_an_anomaly(monkeypatch):
    def fail(*_: object) -> None:
        raise ZeroDivisionError("planted")

    monkeypatch.setattr("broker.handlers.delayed_produce.DelayedProduce.response", fail)
    verdict = simulate(draw_plan(SHORT))

    (crash,) = [anomaly for anomaly in verdict.anomalies if anomaly.name == "crash"]
    assert "request_crashed: ZeroDivisionError('planted')" in crash.facts


@pytest.mark.parametrize(("rotten", "found"), [(False, ["crash"]), (True, [])])
def test_damage_that_compaction_meets_is_a_bug_unless_a_disk_has_rotted(rotten, found, monkeypatch):
    async def meet_damage(verdict):
        verdict.injected["rot"] = int(rotten)
        structlog.get_logger().error("damaged_log_not_compacted", error="cut", partition="a-0")

    monkeypatch.setattr("simulation.run._run", meet_damage)
    verdict = simulate(draw_plan(SHORT))

    assert [anomaly.name for anomaly in verdict.anomalies] == found


@pytest.mark.slow
def test_a_producer_that_hears_nothing_does_not_know(monkeypatch):
    seen = []
    monkeypatch.setattr("simulation.run.check", lambda history, _: seen.extend(history) or [])
    verdict = simulate(draw_plan(SHORT))

    assert verdict.operations == len(seen)
    outcomes = {getattr(operation, "outcome", None) for operation in seen}
    assert Outcome.OK in outcomes
    assert Outcome.FAILED not in outcomes
