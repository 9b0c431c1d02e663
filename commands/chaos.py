"""`ottla chaos`: a cluster of real processes, broken on purpose under load, and judged.

Must never know: how faults are carried out, what is checked (chaos/).
"""

from __future__ import annotations

import json
import logging
import os
import shutil
import sys
import tempfile
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click
import trio
from msgspec.structs import replace

from client.background import background_tasks
from commands.chaos_view import screen
from commands.columns import columns, count_of
from commands.end_signals import EndSignals, end_signals
from commands.failure import CommandFailed, ExitStatus
from commands.options import INT64_MAX, Duration, json_option, require_addresses
from commands.ports import require_any_listens
from commands.session import run_client

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from chaos.order import Order
    from chaos.run import ChaosRun
    from chaos.running import RunningCluster
    from commands.chaos_view import Lines, Screen

DEFAULT_BROKERS: Final = 3
BROKERS_MAX: Final = 9
ANOMALIES_SHOWN: Final = 20
OWN_CLUSTER: Final = ("brokers", "zookeeper", "data", "faults")
"""Options that make no sense with --bootstrap."""


@click.group()
def chaos() -> None:
    """Break a cluster of real processes under load, and judge it.

    \b
    Example:
      $ ottla chaos run --duration 5m
    """


@chaos.command("run")
@click.option(
    "--duration", type=Duration(), default="60s", show_default=True, help="How long it is broken."
)
@click.option(
    "--faults",
    metavar="KIND,...",
    help="Faults of these kinds only; 'none' for none, see --list-faults.  [default: all]",
)
@click.option("--list-faults", is_flag=True, help="Name the kinds of faults, and do nothing.")
@click.option(
    "--brokers",
    type=click.IntRange(1, BROKERS_MAX),
    help=f"How many brokers.  [default: {DEFAULT_BROKERS}]",
)
@click.option(
    "--zookeeper",
    metavar="HOST:PORT,...[/PATH]",
    help="Use this ZooKeeper instead of an embedded coordinator.",
)
@click.option(
    "--seed",
    type=click.IntRange(0, INT64_MAX),
    help="Decides faults and load.  [default: a new one]",
)
@click.option(
    "--data",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="DIR",
    help="Keep the cluster here.  [default: a temporary directory, kept where it failed]",
)
@click.option(
    "--bootstrap",
    metavar="HOST:PORT,...",
    help="Only write to this cluster, read from it and judge it; break nothing.",
)
@json_option
def run_chaos(*, as_json: bool, list_faults: bool, **options: Any) -> int:
    """Start a cluster, break it while clients write and read, and judge what they were told.

    Processes are killed, paused and cut off from each other; requests are refused, delayed and
    their answers dropped. At the end everything is mended and read to its end. No acknowledged
    record may be missing, double, out of order or different on another replica, and no committed
    offset may go back. Ctrl-C ends early, with a verdict. The exit status is 1 where anything was
    found.

    \b
    Examples:
      $ ottla chaos run
      $ ottla chaos run --duration 1h --faults kill,pause,partition
      $ ottla chaos run --zookeeper localhost:2181/chaos
      $ ottla chaos run --bootstrap localhost:9092 --duration 5m
    """
    if list_faults:
        from chaos.schedule import KINDS

        click.echo(columns(("FAULT", "DOES"), [(kind, says) for kind, (says, _) in KINDS.items()]))
        return ExitStatus.OK
    order = _order(options)
    if options["bootstrap"] is not None:
        run = run_client(partial(_run, order, None, options["bootstrap"], as_json))
        return _report(run, None, as_json=as_json)
    if options["zookeeper"] is not None:
        require_any_listens(options["zookeeper"])
    directory = _directory(options["data"])
    cluster = _cluster(directory, options)
    try:
        run = trio.run(_run, order, cluster, "", as_json)
    except BaseException:
        _tell_kept(directory)
        raise
    finally:
        EndSignals()  # nobody is left behind by one Ctrl-C more
        cluster.close()
    if options["data"] is None and not run.anomalies:
        shutil.rmtree(directory)
        return _report(run, None, as_json=as_json)
    return _report(run, directory, as_json=as_json)


def _order(options: dict[str, Any]) -> Order:
    from chaos.order import Order

    if options["bootstrap"] is not None:
        for name in OWN_CLUSTER:
            if options[name] is not None:
                raise click.UsageError(f"--bootstrap breaks nothing: leave out --{name}")
        require_addresses(options["bootstrap"])
    seed = options["seed"]
    order = Order.draw(
        int.from_bytes(os.urandom(4)) if seed is None else seed,
        options["duration"],
        kinds=_kinds(options),
    )
    # Settings of somebody else's cluster are changed by nobody here.
    return order if options["bootstrap"] is None else replace(order, tunes=False)


def _kinds(options: dict[str, Any]) -> frozenset[str]:
    """Read --faults. Raises: click.UsageError."""
    from chaos.schedule import KINDS, kinds_for

    possible = kinds_for(
        brokers=options["brokers"] or DEFAULT_BROKERS,
        own_coordinator=options["zookeeper"] is None,
    )
    if options["faults"] is None:
        return possible
    named = {kind.strip() for kind in options["faults"].split(",")} - {"none", ""}
    for kind in sorted(named - possible):
        if kind in KINDS:
            whose = "a second broker" if options["brokers"] == 1 else "a coordinator of our own"
            raise click.UsageError(f"faults called '{kind}' need {whose}")
        raise click.UsageError(f"there are no faults called '{kind}': known are {', '.join(KINDS)}")
    return frozenset(named)


def _directory(data: Path | None) -> Path:
    """Give a directory that is empty. Raises: CommandFailed."""
    if data is None:
        return Path(tempfile.mkdtemp(prefix="ottla-chaos-"))
    data.mkdir(parents=True, exist_ok=True)
    if any(data.iterdir()):
        raise CommandFailed(
            f"{data} is not empty", next_step="give --data a directory for this run alone"
        )
    return data.absolute()


def _cluster(directory: Path, options: dict[str, Any]) -> RunningCluster:
    from chaos.running import RunningCluster

    return RunningCluster(
        directory,
        brokers=options["brokers"] or DEFAULT_BROKERS,
        zookeeper=options["zookeeper"],
    )


async def _run(
    order: Order, cluster: RunningCluster | None, bootstrap: str, as_json: bool
) -> ChaosRun:
    """Run, show it, and end early when told. Raises: CommandFailed, OttlaError."""
    from chaos.run import ChaosRun, TopicExists
    from chaos.running import ClusterTrouble

    # What clients warn of is what is wanted here.
    logging.getLogger("client").addHandler(logging.NullHandler())
    with (
        screen(live=sys.stdout.isatty() and not as_json, err=as_json) as shown,
        trio.open_signal_receiver(*end_signals()) as signals,
    ):
        shown.tell(str(order))
        ender = Ender()
        async with background_tasks() as nursery:
            nursery.start_soon(ender.listen, signals)
            try:
                if cluster is not None:
                    await trio.to_thread.run_sync(cluster.start)
                    bootstrap = cluster.bootstrap
                    shown.tell(f"{bootstrap}, data in {cluster.directory}")
                run = ChaosRun(order, bootstrap, cluster, lambda text: _tell(shown, run, text))
                ender.run = run
                nursery.start_soon(shown.follow, run)
                await run.run()
            except TopicExists as error:
                raise _exists(error.topic, bootstrap) from error
            except ClusterTrouble as error:
                raise CommandFailed(str(error)) from error
    return run


def _tell(shown: Lines | Screen, run: ChaosRun, text: str) -> None:
    shown.tell(text, at_s=run.elapsed_s)


def _exists(topic: str, bootstrap: str) -> CommandFailed:
    return CommandFailed(
        f"there is a topic {topic} already, from an earlier run with this seed",
        next_step=f"give another --seed, or 'ottla topic delete {topic} --bootstrap {bootstrap}'",
    )


class Ender:
    """Ends a run early at the first signal, with a verdict, and at once at the second."""

    run: ChaosRun | None = None

    async def listen(self, signals: AsyncIterator[int]) -> None:
        """Wait for signals. Raises: KeyboardInterrupt."""
        async for _ in signals:
            if self.run is None or self.run.is_ending:
                raise KeyboardInterrupt
            self.run.told("ending early: all is mended, read and judged; again ends at once")
            self.run.end_early()


# The verdict.


def _report(run: ChaosRun, directory: Path | None, *, as_json: bool) -> ExitStatus:
    facts = _facts(run, directory)
    if directory is not None and run.anomalies:
        (directory / "verdict.json").write_text(json.dumps(facts, indent=2) + "\n")
        with (directory / "history.txt").open("w") as file:
            file.write(f"# times are seconds; 0 was at {run.wall_at_0_s:.3f} of the wall clock\n")
            file.writelines(f"{operation}\n" for operation in run.work.history)
    click.echo(json.dumps(facts) if as_json else _summary(run))
    for anomaly in run.anomalies[:ANOMALIES_SHOWN]:
        click.echo(str(anomaly), err=True)
    if len(run.anomalies) > ANOMALIES_SHOWN:
        click.echo(f"and {len(run.anomalies) - ANOMALIES_SHOWN} more", err=True)
    if directory is not None:
        _tell_kept(directory)
    if run.anomalies:
        click.echo(f"the same faults again: ottla chaos run --seed {run.order.seed}", err=True)
    return ExitStatus.FAILURE if run.anomalies else ExitStatus.OK


def _tell_kept(directory: Path) -> None:
    click.echo(f"the cluster and its logs are kept in {directory}", err=True)


def _summary(run: ChaosRun) -> str:
    counts = run.work.counts
    lines = [
        f"seed {run.order.seed}, {run.lasted_s:.0f} s: {count_of(counts.acknowledged, 'record')}"
        f" acknowledged of {counts.sent:,} sent, {counts.given_up:,} given up,"
        f" {counts.read:,} read,"
        f" {count_of(run.operations, 'operation')} judged; longest gap without an"
        f" acknowledgement {run.longest.lasts_s:.1f} s"
    ]
    if run.breakage is not None and run.breakage.met:
        injected = sorted(run.breakage.injected.items())
        lines.append(columns(("FAULT", "TIMES"), [(kind, str(n)) for kind, n in injected]))
    lines.append(f"{len(run.anomalies)} ANOMALIES" if run.anomalies else "no anomaly")
    return "\n".join(lines)


def _facts(run: ChaosRun, directory: Path | None) -> dict[str, Any]:
    counts, breakage = run.work.counts, run.breakage
    met = [] if breakage is None else breakage.met
    return {
        "seed": run.order.seed,
        "duration_seconds": run.order.duration_s,
        "lasted_seconds": round(run.lasted_s, 1),
        "clients": {
            "varied": run.order.varied,
            "trims": run.order.trims,
            "tunes": run.order.tunes,
        },
        "sent": counts.sent,
        "acknowledged": counts.acknowledged,
        "given_up": counts.given_up,
        "read": counts.read,
        "operations": run.operations,
        "longest_gap_seconds": round(run.longest.lasts_s, 1),
        "faults": {} if breakage is None else dict(sorted(breakage.injected.items())),
        "timeline": [
            {
                "began_seconds": one.began_s,
                "ended_seconds": one.ended_s,
                "kind": one.fault.kind,
                "node": one.fault.node,
                "other": one.fault.other,
                "planted": one.fault.planted,
            }
            for one in met
        ],
        "anomalies": [
            {"name": one.name, "place": one.place, "facts": one.facts} for one in run.anomalies
        ],
        "directory": None if directory is None else str(directory),
    }
