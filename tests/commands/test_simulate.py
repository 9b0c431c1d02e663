"""`ottla simulate`, with plans that are short."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

import simulation.run
from chaos.anomaly import Anomaly
from commands.simulate import simulate
from simulation.kinds import KINDS
from simulation.plan import draw_plan
from simulation.run import Verdict
from simulation.themes import THEMES

ROOT = Path(__file__).parents[2]


def run(*arguments: str, status: int = 0):
    done = CliRunner().invoke(simulate, arguments, standalone_mode=False)
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    assert done.return_value == status, done.output
    return done


@pytest.fixture
def failing(monkeypatch):
    """Have runs fail that kill anything, without running them."""

    def judge(plan):
        verdict = Verdict(plan)
        verdict.trace.lines += [f"{number}.0 line {number}" for number in range(200)]
        verdict.trace.lines += [f"{number}.0 it waits" for number in range(200, 300)]
        if any(fault.kind == "kill" for fault in plan.faults):
            verdict.anomalies.append(Anomaly("lost-write", "orders-0", "gone"))
        return verdict

    monkeypatch.setattr("simulation.run.simulate", judge)
    return next(s for s in range(99) if any(f.kind == "kill" for f in draw_plan(s).faults))


def test_one_run_is_told_in_words(tmp_path):
    trace = tmp_path / "run.txt"
    done = run("--seed", "28", "--trace", str(trace))

    assert "1 run (seed 28)" in done.stdout
    assert done.stdout.rstrip().endswith("no anomaly")
    assert trace.read_text().startswith(str(draw_plan(28)))


@pytest.mark.slow
def test_runs_side_by_side_are_added_up():
    facts = json.loads(run("--seed", "34", "--runs", "2", "--faults", "none", "--json").stdout)

    assert facts["runs"] == 2
    assert facts["faults"] == {}
    assert facts["failed"] == facts["anomalies"] == []
    assert facts["acknowledged"] > 200


def test_a_failure_shows_plan_anomaly_timeline_and_how_to_repeat_it(failing):
    done = run("--seed", str(failing), status=1)

    assert f"1 run failed: {failing}" in done.stdout
    assert str(draw_plan(failing)) in done.stderr
    assert "lost-write in orders-0: gone" in done.stderr
    assert "line 199" in done.stderr
    assert "200.0 it waits (and 99 times more)" in done.stderr
    assert "141 lines before" in done.stderr
    assert f"again: ottla simulate --seed {failing}" in done.stderr


def test_of_many_runs_each_failure_is_told_when_it_comes(monkeypatch, failing):
    monkeypatch.setattr(
        "commands.simulate._runs",
        lambda seeds, wanted, **_: map(simulation.run.simulate, map(wanted.plan, seeds)),
    )
    done = run("--seed", "0", "--runs", str(failing + 1), status=1)

    assert done.stderr.startswith(f"seed {failing}: lost-write in orders-0: gone\n")


@pytest.mark.parametrize(("after", "status"), [(0, 1), (-1, 130)])
def test_ctrl_c_shows_what_has_come_of_many_runs_until_then(monkeypatch, failing, after, status):
    last = failing + after

    def some(seeds, wanted, **_):
        for seed in seeds:
            yield simulation.run.simulate(wanted.plan(seed))
            if seed == last:
                raise KeyboardInterrupt

    monkeypatch.setattr("commands.simulate._runs", some)
    done = run("--seed", str(failing - 1), "--runs", "9", status=status)

    assert f"stopped after {2 + after} of 9 runs" in done.stderr
    assert f"{2 + after} run" in done.stdout


def test_minimise_leaves_what_is_needed(failing):
    done = run("--seed", str(failing), "--minimise", status=1)

    assert "needed: 1" in done.stderr
    (needed,) = [line for line in done.stderr.splitlines() if " s  " in line]
    assert "kill" in needed


def test_minimise_tells_how_far_it_has_come_and_an_interruption_keeps_what_it_found(
    monkeypatch, failing
):
    judge, runs = simulation.run.simulate, iter(range(5))

    def judge_a_few(plan):
        if next(runs, None) is None:
            raise BaseExceptionGroup("of trio", [KeyboardInterrupt()])
        return judge(plan)

    monkeypatch.setattr("simulation.run.simulate", judge_a_few)
    done = run("--seed", str(failing), "--minimise", status=1)

    told = [line for line in done.stderr.splitlines() if " faults left, " in line]
    assert [line.rpartition(", ")[2] for line in told] == [
        "1 run",
        *(f"{n} runs" for n in (2, 3, 4)),
    ]
    left = told[-1].split()[0]
    assert f"in the plan, left when interrupted: {left}" in done.stderr
    assert int(left) < len(draw_plan(failing).faults)
    assert len([line for line in done.stderr.splitlines() if " s  " in line]) == int(left)


def test_what_was_found_is_kept_and_run_again(failing, tmp_path):
    kept = tmp_path / "found.toml"
    done = run("--seed", str(failing), "--minimise", "--keep", str(kept), status=1)
    assert f"again: ottla simulate --plan {kept}" in done.stderr
    again = run("--plan", str(kept), status=1)

    assert kept.read_text().startswith('found = "lost-write in orders-0: gone"\n')
    assert [line for line in again.stderr.splitlines() if " s  " in line] == [
        line for line in done.stderr.splitlines() if " s  " in line
    ]
    assert f"again: ottla simulate --plan {kept}" in again.stderr


@pytest.mark.slow
def test_nothing_is_kept_where_nothing_is_found(tmp_path):
    kept = tmp_path / "found.toml"
    run("--seed", "34", "--faults", "none", "--keep", str(kept))

    assert not kept.exists()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("not [toml", "line 1"),
        ("[[faults]]\n", "there is no \\[plan\\] in it"),
        ("[plan]\nseed = 1\n", "missing|required"),
        ("[plan]\ncolour = 1\n", "colour"),
    ],
)
def test_a_file_that_is_no_plan_is_refused(tmp_path, text, said):
    file = tmp_path / "x.toml"
    file.write_text(text)

    with pytest.raises(click.UsageError, match=f"x.toml is no plan as .*({said})"):
        run("--plan", str(file))


def test_a_plan_leaves_nothing_else_to_be_said(tmp_path):
    file = tmp_path / "x.toml"
    file.write_text("")

    with pytest.raises(click.UsageError, match="--plan says all that --faults would"):
        run("--plan", str(file), "--faults", "kill")


def test_kinds_of_faults_and_themes_are_listed_and_other_kinds_refused():
    kinds, themes = run("--list-faults").stdout.split("\n\n")

    assert [line.split()[0] for line in kinds.splitlines()] == ["FAULT", *sorted(KINDS)]
    assert "SIGKILL a broker" in kinds
    assert [line.split(":")[0] for line in themes.splitlines()] == sorted(THEMES)
    with pytest.raises(Exception, match="no faults called 'earthquake'"):
        run("--faults", "kill,earthquake")


def test_a_theme_is_asked_for(failing):
    done = run("--about", "followers", "--seed", "1", status=1)

    assert "seed 1, followers: " in done.stderr
    assert "again: ottla simulate --seed 1 --about followers" in done.stderr


@pytest.mark.parametrize("options", [["--about", "tea"], ["--about", "disks", "--faults", "kill"]])
def test_a_theme_that_cannot_be_had_is_refused(options):
    with pytest.raises(click.UsageError, match="theme"):
        run(*options)


@pytest.mark.slow
def test_sigterm_ends_the_processes_that_run_as_well():
    command = [sys.executable, "-P", "-m", "cli", "simulate", "--runs", "99", "--processes", "2"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, cwd=ROOT) as running:
        children = Path(f"/proc/{running.pid}/task/{running.pid}/children")
        while len(found := children.read_text().split()) < 3:  # with multiprocessing's own
            assert running.poll() is None
            time.sleep(0.05)
        running.terminate()
        _, told = running.communicate(timeout=60)

    assert running.returncode == 128 + signal.SIGTERM, told
    deadline = time.monotonic() + 10  # multiprocessing's own notices that it is alone
    while any(Path(f"/proc/{pid}").exists() for pid in found):
        assert time.monotonic() < deadline, f"of {found} some live on"
        time.sleep(0.05)


def test_a_trace_that_cannot_be_written_is_refused_before_anything_runs(monkeypatch, tmp_path):
    ran = []
    monkeypatch.setattr("simulation.run.simulate", ran.append)
    with pytest.raises(click.UsageError, match="No such file or directory"):
        run("--seed", "1", "--trace", str(tmp_path / "nowhere" / "run.txt"))

    assert not ran


def test_a_trace_of_many_runs_is_refused(tmp_path):
    with pytest.raises(Exception, match="single run"):
        run("--runs", "2", "--trace", str(tmp_path / "x"))
