"""`ottla chaos run` as its users run it: real processes, all faults, the verdict."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from chaos.schedule import OF_COORDINATOR
from tests.simulation.planted import ROOT, Edit, Mutation, load_mutations, plant
from tests.support.local_cluster import LocalCluster
from tests.support.zookeeper import RealZooKeeper, require_zookeeper

pytestmark = pytest.mark.chaos

DURATION_S = int(os.environ.get("OTTLA_CHAOS_RUN_S", "20"))
TIMEOUT_S = DURATION_S + 280
FIXED_SEED = 5
FRESH = int.from_bytes(os.urandom(4))
OTTLA = sys.executable, "-P", "-m", "cli"


def chaos_run(directory: Path, *options: str, code: Path = ROOT, status: int = 0) -> dict:
    """Run to the verdict, with what is in `code`; what led to it is shown where it is wrong."""
    done = subprocess.run(
        [*OTTLA, "chaos", "run", "--json", *options],
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        cwd=directory,
        env={**os.environ, "PYTHONPATH": str(code)},
        check=False,
    )
    assert done.returncode == status, done.stderr
    return json.loads(done.stdout)


def bug_called(name: str) -> Mutation:
    """Give the deliberate bug of this name."""
    return next(mutation for mutation in load_mutations() if mutation.name == name)


def _lagging(bug: Mutation) -> Mutation:
    """Have followers half a second behind, too.

    Within the millisecond that they lag on an idle machine there may be no kill in 20 s.
    """
    fetch = "                await self._fetch(connection)\n"
    lag = "                await trio.sleep(0.5)\n"
    late = Edit("broker/replication/fetcher.py", fetch, lag + fetch)
    return replace(bug, edits=(*bug.edits, late))


def processes_of(directory: Path) -> list[str]:
    """Find processes whose command line names this directory."""
    found = []
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            command = entry.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue  # it has ended meanwhile
        if f"{directory}/" in command:
            found.append(command)
    return found


@pytest.fixture(params=["embedded", "zookeeper"])
def coordinator(request, tmp_path):
    """Give the options that choose a coordinator."""
    if request.param == "embedded":
        yield ()
        return
    require_zookeeper()
    (tmp_path / "zookeeper").mkdir()
    zookeeper = RealZooKeeper(tmp_path / "zookeeper")
    zookeeper.start()
    yield ("--zookeeper", f"{zookeeper.hosts}/chaos")
    zookeeper.kill()


@pytest.mark.parametrize("seed", [FIXED_SEED, pytest.param(FRESH, id="fresh")])
def test_nothing_acknowledged_is_lost_whatever_is_broken(tmp_path, coordinator, seed, capsys):
    data = tmp_path / "data"
    with capsys.disabled():
        print(f"\nottla chaos run --duration {DURATION_S}s --seed {seed} {' '.join(coordinator)}")
    options = "--duration", f"{DURATION_S}s", "--seed", str(seed), "--data", str(data)
    facts = chaos_run(tmp_path, *options, *coordinator)

    assert facts["anomalies"] == []
    assert facts["seed"] == seed
    assert 0 < facts["acknowledged"] <= facts["sent"]
    assert len(facts["timeline"]) == sum(facts["faults"].values()) > 0
    assert all(fault["ended_seconds"] is not None for fault in facts["timeline"])
    if coordinator:
        assert not OF_COORDINATOR & facts["faults"].keys()
    assert processes_of(data) == []


def test_a_planted_bug_is_found(tmp_path):
    plant(_lagging(bug_called("acknowledged-by-the-leader-alone")), tmp_path / "code")
    options = "--duration", "20s", "--faults", "kill", "--seed", "5"
    data = "--data", str(tmp_path / "data")
    facts = chaos_run(tmp_path, *options, *data, code=tmp_path / "code", status=1)

    assert "lost-write" in {anomaly["name"] for anomaly in facts["anomalies"]}
    assert (tmp_path / "data" / "history.txt").exists()


def test_ctrl_c_ends_early_with_a_verdict_and_leaves_no_process(tmp_path):
    data = tmp_path / "data"
    command = [*OTTLA, "chaos", "run", "--duration", "1h", "--seed", "1", "--data", str(data)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as running:
        assert running.stdout is not None
        for line in running.stdout:
            if "breaking:" in line:
                assert processes_of(data)
                running.send_signal(signal.SIGINT)
                break
        told, _ = running.communicate(timeout=TIMEOUT_S)

    assert running.returncode == 0, told
    assert "ending early" in told
    assert told.rstrip().endswith("no anomaly")
    assert processes_of(data) == []


def test_a_cluster_of_somebody_else_is_loaded_and_judged_and_left_as_it_was(tmp_path):
    cluster = LocalCluster(tmp_path)
    try:
        cluster.up()
        options = "--bootstrap", cluster.bootstrap, "--duration", "5s"
        facts = chaos_run(tmp_path, *options)
        listed = subprocess.run(
            [*OTTLA, "topic", "list", "--bootstrap", cluster.bootstrap],
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
            check=True,
        )
    finally:
        cluster.close()

    assert facts["anomalies"] == facts["timeline"] == []
    assert facts["acknowledged"] == facts["sent"] > 0
    assert "chaos-" not in listed.stdout
