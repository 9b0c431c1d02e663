"""`ottla chaos run` as far as no cluster is needed; tests/chaos/test_chaos_run.py has the rest."""

from __future__ import annotations

import json

import click
import pytest
import trio
from click.testing import CliRunner
from rich.console import Console

from chaos.anomaly import Anomaly
from chaos.breakage import Breakage, Met
from chaos.order import Order
from chaos.run import ChaosRun, TopicExists
from chaos.schedule import KINDS, Fault
from client.errors import NoBrokerReachable
from commands.chaos import run_chaos
from commands.chaos_view import Rates, _table, clock
from commands.failure import CommandFailed, ExitStatus
from commands.options import Duration

SOMEWHERE = "--bootstrap", "127.0.0.1:9"


def run(*arguments: str, status: int = 0):
    done = CliRunner().invoke(run_chaos, arguments, standalone_mode=False)
    if done.exception is not None:
        raise done.exception
    assert done.return_value == status, done.output
    return done


@pytest.fixture
def ending(monkeypatch):
    """Have runs end at once, as is said; no cluster is asked."""

    def end(*anomalies: Anomaly, error: Exception | None = None) -> None:
        async def run_to_the_end(run: ChaosRun) -> None:
            await trio.lowlevel.checkpoint()
            if error is not None:
                raise error
            run.work.counts.acknowledged = 12_345
            run.anomalies += anomalies

        monkeypatch.setattr(ChaosRun, "run", run_to_the_end)

    return end


def test_a_good_run_is_told_in_words(ending):
    ending()
    done = run("--seed", "7", "--duration", "5m", *SOMEWHERE)

    assert "seed 7, 300 s" in done.stdout
    assert "12,345 records acknowledged" in done.stdout
    assert done.stdout.rstrip().endswith("no anomaly")


def test_anomalies_are_named_with_the_seed_and_are_the_exit_status(ending):
    ending(Anomaly("lost-write", "chaos-7-0", "b'x' is gone"))
    done = run("--seed", "7", *SOMEWHERE, status=1)

    assert "1 ANOMALIES" in done.stdout
    assert "lost-write in chaos-7-0: b'x' is gone" in done.stderr
    assert "ottla chaos run --seed 7" in done.stderr


def test_json_is_all_that_stdout_gets(ending):
    ending(Anomaly("lost-write", "chaos-7-0", "gone"))
    facts = json.loads(run("--seed", "7", *SOMEWHERE, "--json", status=1).stdout)

    assert facts["seed"] == 7
    assert facts["acknowledged"] == 12_345
    assert facts["anomalies"] == [{"name": "lost-write", "place": "chaos-7-0", "facts": "gone"}]


def test_a_topic_of_an_earlier_run_is_named_with_what_to_do(ending):
    ending(error=TopicExists("chaos-7"))
    with pytest.raises(CommandFailed, match="ottla topic delete chaos-7"):
        run("--seed", "7", *SOMEWHERE)


def test_a_cluster_that_nobody_can_reach_is_not_running(ending):
    ending(error=NoBrokerReachable([ConnectionRefusedError("refused")]))
    with pytest.raises(CommandFailed, match="no broker answers: .*; start a cluster") as failed:
        run(*SOMEWHERE)

    assert failed.value.exit_status is ExitStatus.NOT_RUNNING


def test_kinds_of_faults_are_listed_and_others_refused():
    assert all(kind in run("--list-faults").stdout for kind in KINDS)
    with pytest.raises(click.UsageError, match="no faults called 'earthquake': known are kill,"):
        run("--faults", "kill,earthquake")


@pytest.mark.parametrize(
    ("arguments", "refusal"),
    [
        (("--faults", "partition", "--brokers", "1"), "need a second broker"),
        (("--faults", "coordinator-kill", "--zookeeper", "h:1"), "need a coordinator of our own"),
        (("--brokers", "3", *SOMEWHERE), "leave out --brokers"),
        (("--faults", "kill", *SOMEWHERE), "leave out --faults"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_starts(arguments, refusal):
    with pytest.raises(click.UsageError, match=refusal):
        run(*arguments)


def test_a_directory_that_is_in_use_is_left_alone(tmp_path):
    (tmp_path / "mine").touch()
    with pytest.raises(CommandFailed, match="is not empty"):
        run("--data", str(tmp_path))


@pytest.mark.parametrize(
    ("text", "seconds"), [("90", 90), ("60s", 60), ("5m", 300), ("1h", 3_600), ("24h", 86_400)]
)
def test_times_have_units(text, seconds):
    assert Duration().convert(text, None, None) == seconds


@pytest.mark.parametrize("text", ["", "0s", "-1s", "5x", "s", "1.5h", "1sm", "25h"])
def test_what_is_not_a_time_is_refused(text):
    with pytest.raises(click.BadParameter, match="is not a time such as 60s"):
        Duration().convert(text, None, None)


def test_a_time_is_shown_as_clocks_show_it():
    assert (clock(65.9), clock(3_601)) == ("01:05", "1:00:01")


async def test_the_live_table_shows_rates_gap_and_what_is_broken(autojump_clock):
    run = ChaosRun(Order(7, 60.0), "127.0.0.1:9", None, lambda _: None)
    run.breakage = Breakage(None, lambda _: None)
    run.breakage.met.append(Met(Fault(0, "pause", 3.0, "2"), 0.0))
    rates = Rates()
    await trio.sleep(1)
    rates.update(run)
    run.work.counts.acknowledged, run.work.counts.read = 500, 2_000
    run.longest.lasts_s = run.longest.ended_s = 1.5
    await trio.sleep(2)
    rates.update(run)
    console = Console(width=100)
    with console.capture() as shown:
        console.print(_table(run, rates))

    for part in ("250 records/s", "1,000 records/s", "00:57 left", "1.5 s", "pause broker 2"):
        assert part in shown.get()


@pytest.mark.parametrize("duration_s", [10.0, 3_600.0, 86_400.0])
def test_a_history_fits_into_memory_however_long_the_run_is(duration_s):
    assert Order(1, duration_s).rate * duration_s <= 1_000_000
