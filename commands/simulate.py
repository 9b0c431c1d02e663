"""`ottla simulate`: whole clusters in memory, broken on purpose and judged, from a seed each.

Must never know: how a run is made, what is checked (simulation/, chaos/).
"""

from __future__ import annotations

import json
import os
import signal
import sys
from collections import Counter
from contextlib import contextmanager
from functools import partial
from itertools import groupby
from typing import TYPE_CHECKING, Any, Final

import click
from msgspec import Struct, field

from commands.columns import columns, count_of
from commands.failure import ExitStatus
from commands.options import INT64_MAX, json_option

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from simulation.plan import Plan
    from simulation.run import Verdict

TIMELINE_LINES: Final = 60
"""How much of a failed run is shown up to its end; --trace writes all of it."""

ANOMALIES_SHOWN: Final = 10


class Wanted(Struct, frozen=True):
    """Which plans are asked for: with faults of some kinds only, or about a theme."""

    kinds: frozenset[str] | None = None
    about: str | None = None

    def plan(self, seed: int) -> Plan:
        """Draw the plan of a seed."""
        from simulation.plan import draw_plan

        return draw_plan(seed, kinds=self.kinds, about=self.about)

    def __str__(self) -> str:
        said = f" --about {self.about}" if self.about else ""
        if self.kinds is not None:
            said += f" --faults {','.join(sorted(self.kinds)) or 'none'}"
        return said


class Tally(Struct):
    """What many runs have shown."""

    runs: int = 0
    operations: int = 0
    acknowledged: int = 0
    steps: int = 0
    virtual_s: float = 0.0
    injected: Counter[str] = field(default_factory=Counter)
    failed: list[int] = field(default_factory=list)

    def add(self, verdict: Verdict) -> None:
        """Count one run."""
        self.runs += 1
        self.operations += verdict.operations
        self.acknowledged += verdict.acknowledged
        self.steps += verdict.steps
        self.virtual_s += verdict.virtual_s
        self.injected += verdict.injected
        if verdict.anomalies:
            self.failed.append(verdict.plan.seed)


@click.command()
@click.option(
    "--seed",
    type=click.IntRange(0, INT64_MAX),
    help="The first run's seed; the others follow.  [default: a new one]",
)
@click.option(
    "--runs",
    type=click.IntRange(min=1),
    help="How many runs.  [default: 1 with --seed, else 20]",
)
@click.option(
    "--faults",
    metavar="KIND,...",
    help="Faults of these kinds only; 'none' for none, see --list-faults.  [default: all]",
)
@click.option("--about", metavar="THEME", help="Plans with this theme only, see --list-faults.")
@click.option("--list-faults", is_flag=True, help="Name kinds of faults and themes; do nothing.")
@click.option("--minimise", "shrink", is_flag=True, help="Shrink the first failing run's faults.")
@click.option(
    "--processes",
    type=click.IntRange(1, 256),
    help="How many runs at a time.  [default: one for each processor]",
)
@click.option("--trace", type=click.File("w"), help="Write down all that happened in a single run.")
@json_option
def simulate(*, as_json: bool, **options: Any) -> int:
    """Run whole clusters in memory, break them, and judge what clients were told.

    Brokers, controller, coordinator and clients are the real ones; network, disks and time are
    not. One seed decides a run, and the same seed gives the same run on every machine. The exit
    status is 1 where anything was found.

    \b
    Examples:
      $ ottla simulate --runs 200
      $ ottla simulate --seed 4711 --minimise
      $ ottla simulate --seed 4711 --trace run.txt
      $ ottla simulate --faults kill,separate --runs 50
      $ ottla simulate --about disks --runs 50
    """
    if options["list_faults"]:
        click.echo("\n".join([*_kinds_known(), "", *_themes_known()]))
        return ExitStatus.OK
    seeds = _seeds(options["seed"], options["runs"])
    wanted = Wanted(_kinds(options["faults"]), _theme(options["about"]))
    if wanted.kinds is not None and wanted.about is not None:
        raise click.UsageError("a theme decides the kinds of faults: give --about or --faults")
    if options["trace"] is not None and len(seeds) != 1:
        raise click.UsageError("--trace goes with a single run: give --seed, and no --runs")
    tally, first = Tally(), None
    processes = options["processes"] or os.cpu_count() or 1
    with _progress(len(seeds)) as advance:
        for verdict in _runs(seeds, wanted, processes=processes):
            tally.add(verdict)
            if verdict.anomalies:
                first = first or verdict
                if len(seeds) > 1:
                    click.echo(f"seed {verdict.plan.seed}: {verdict.anomalies[0]}", err=True)
            if options["trace"] is not None:
                _write_trace(options["trace"], verdict)
            advance(1)
    if as_json:
        click.echo(json.dumps(_facts(tally, first)))
    else:
        click.echo(_summary(tally, seeds))
    if first is not None:
        _show_failure(first, wanted, shrink=options["shrink"])
    return ExitStatus.FAILURE if tally.failed else ExitStatus.OK


def _seeds(seed: int | None, runs: int | None) -> range:
    if seed is None:
        return range(start := int.from_bytes(os.urandom(4)), start + (runs or 20))
    return range(seed, seed + (runs or 1))


def _kinds_known() -> list[str]:
    from simulation.kinds import KINDS

    return sorted(KINDS)


def _kinds(named: str | None) -> frozenset[str] | None:
    """Read --faults. Raises: click.UsageError."""
    if named is None:
        return None
    kinds = frozenset(named.split(",")) - {"none", ""}
    for kind in sorted(kinds.difference(_kinds_known())):
        raise click.UsageError(f"there are no faults called {kind!r}: see --list-faults")
    return kinds


def _themes_known() -> list[str]:
    from simulation.plan import THEMES

    return [f"{name}: {', '.join(sorted(theme.kinds))}" for name, theme in sorted(THEMES.items())]


def _theme(named: str | None) -> str | None:
    """Read --about. Raises: click.UsageError."""
    from simulation.plan import THEMES

    if named is not None and named not in THEMES:
        raise click.UsageError(f"no theme is called {named!r}; there are {', '.join(THEMES)}")
    return named


def _run(seed: int, wanted: Wanted) -> Verdict:
    from simulation.run import simulate as run

    verdict = run(wanted.plan(seed))
    if not verdict.anomalies:
        verdict.trace.forget()  # it would only travel between processes
    return verdict


def _runs(seeds: range, wanted: Wanted, *, processes: int) -> Iterator[Verdict]:
    """Run all seeds, some at a time; gives the verdicts as they come."""
    if len(seeds) == 1:
        from simulation.run import simulate as run

        yield run(wanted.plan(seeds[0]))
        return
    from concurrent.futures import ProcessPoolExecutor, as_completed
    from multiprocessing import active_children, get_context

    from simulation.run import collect_seldom

    workers, context = min(processes, len(seeds)), get_context("spawn")
    with (
        _sigterm_raises(),
        ProcessPoolExecutor(workers, mp_context=context, initializer=collect_seldom) as pool,
    ):
        try:
            for done in as_completed([pool.submit(_run, seed, wanted) for seed in seeds]):
                yield done.result()
        except BaseException:
            for process in active_children():
                process.terminate()  # or each would end its run first
            pool.shutdown(cancel_futures=True)
            raise


@contextmanager
def _sigterm_raises() -> Iterator[None]:
    """Have SIGTERM end this process by an exception, so that it ends those that it started."""
    before = signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@contextmanager
def _progress(total: int) -> Iterator[Callable[[int], None]]:
    """Show a bar of the runs, where stderr is a terminal; gives how to move it."""
    if total == 1 or not sys.stderr.isatty():
        yield lambda _: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn

    shown = BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    with Progress(*shown, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("", total=total)
        yield lambda count: bar.update(task, advance=count)


def _summary(tally: Tally, seeds: range) -> str:
    faults = sorted(tally.injected.items(), key=lambda one: (-one[1], one[0]))
    which = f"seed {seeds[0]}" if len(seeds) == 1 else f"seeds {seeds[0]} to {seeds[-1]}"
    lines = [
        f"{count_of(tally.runs, 'run')} ({which}), {tally.virtual_s / 60:.1f} virtual minutes,"
        f" {count_of(tally.operations, 'operation')},"
        f" {count_of(tally.acknowledged, 'acknowledged record')};"
        f" looked at everything after each of {tally.steps:,} steps",
    ]
    if faults:
        lines.append(columns(("FAULT", "TIMES"), [(kind, f"{n:,}") for kind, n in faults]))
    if tally.failed:
        listed = ", ".join(map(str, sorted(tally.failed)[:20]))
        lines.append(f"{count_of(len(tally.failed), 'run')} failed: {listed}")
    else:
        lines.append("no anomaly")
    return "\n".join(lines)


def _facts(tally: Tally, first: Verdict | None) -> dict[str, Any]:
    return {
        "runs": tally.runs,
        "virtual_seconds": round(tally.virtual_s, 3),
        "operations": tally.operations,
        "acknowledged": tally.acknowledged,
        "steps": tally.steps,
        "faults": dict(sorted(tally.injected.items())),
        "failed": sorted(tally.failed),
        "anomalies": [] if first is None else list(map(str, first.anomalies)),
    }


def _write_trace(target: Any, verdict: Verdict) -> None:
    lines = [str(verdict.plan), *verdict.trace.lines, *map(str, verdict.anomalies)]
    target.write("\n".join(lines) + "\n")


def _show_failure(verdict: Verdict, wanted: Wanted, *, shrink: bool) -> None:
    """Say on stderr what was found, in which run, and what led to it."""
    if shrink:
        verdict = _minimised(verdict)
    again = f"ottla simulate --seed {verdict.plan.seed}{wanted}"
    shown = [
        "",
        str(verdict.plan),
        "",
        *_last(_folded(verdict.trace.lines), TIMELINE_LINES),
        "",
        *map(str, verdict.anomalies[:ANOMALIES_SHOWN]),
        f"again: {again}",
    ]
    click.echo("\n".join(shown), err=True)


def _folded(lines: list[str]) -> list[str]:
    """Say once what is said again and again, with the first of the times."""
    shown = []
    for _, again in groupby(lines, key=lambda line: line.lstrip().partition(" ")[2]):
        line, *others = again
        shown.append(f"{line} (and {count_of(len(others), 'time')} more)" if others else line)
    return shown


def _last(lines: list[str], count: int) -> Iterable[str]:
    if len(lines) > count:
        return [f"... {count_of(len(lines) - count, 'line')} before", *lines[-count:]]
    return lines


def _minimised(verdict: Verdict) -> Verdict:
    """Run smaller and smaller plans, as long as they fail in the same way; Ctrl-C ends it early."""
    from simulation.minimise import minimise
    from simulation.run import simulate as run

    names = {anomaly.name for anomaly in verdict.anomalies}
    smallest, tried, before = verdict, 0, len(verdict.plan.faults)

    def fails(plan: Plan) -> bool:
        nonlocal smallest, tried
        found, tried = run(plan), tried + 1
        smaller = not names.isdisjoint(anomaly.name for anomaly in found.anomalies)
        if smaller:
            smallest = found
        tell(f"{len(smallest.plan.faults)} of {before} faults left, {count_of(tried, 'run')}")
        return smaller

    outcome = "needed"
    with _told_as_it_goes() as tell:
        try:
            minimise(verdict.plan, fails)
        except* KeyboardInterrupt:
            outcome = "left when interrupted"
    after = len(smallest.plan.faults)
    click.echo(f"{count_of(before, 'fault')} in the plan, {outcome}: {after}", err=True)
    return smallest


@contextmanager
def _told_as_it_goes() -> Iterator[Callable[[str], None]]:
    """Show how far something has come, on stderr: in one line where that is a terminal."""
    if not sys.stderr.isatty():
        yield partial(click.echo, err=True)
        return
    from rich.console import Console

    with Console(stderr=True).status("") as status:
        yield status.update
