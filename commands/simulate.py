"""`ottla simulate`: whole clusters in memory, broken on purpose and judged, from a seed each.

Must never know: how a run is made, what is checked (simulation/, chaos/).
"""

from __future__ import annotations

import json
import os
import shlex
import signal
import sys
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

import click
from msgspec import Struct

from commands.columns import columns, count_of
from commands.failure import ExitStatus
from commands.options import INT64_MAX, json_option
from commands.simulation_view import Tally, facts, show_failure, summary, write_trace

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from simulation.plan import Plan
    from simulation.run import Verdict


class Wanted(Struct, frozen=True):
    """Which plans are asked for: with faults of some kinds, about a theme, or one of a file."""

    kinds: frozenset[str] | None = None
    about: str | None = None
    given: Plan | None = None

    def plan(self, seed: int) -> Plan:
        """Draw the plan of a seed, unless one is given."""
        if self.given is not None:
            return self.given
        from simulation.plan import draw_plan

        return draw_plan(seed, kinds=self.kinds, about=self.about)

    def __str__(self) -> str:
        said = f" --about {self.about}" if self.about else ""
        if self.kinds is not None:
            said += f" --faults {','.join(sorted(self.kinds)) or 'none'}"
        return said


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
@click.option(
    "--plan", "plan_file", type=click.File(), help="Run the plan of a file instead of a seed's."
)
@click.option(
    "--keep",
    type=click.File("w", lazy=True),
    help="Write the first failing run's plan, as small as it was made.",
)
@click.option(
    "--trace",
    type=click.File("w", lazy=False),
    help="Write down all that happened in a single run.",
)
@json_option
def simulate(*, as_json: bool, **options: Any) -> int:
    """Run whole clusters in memory, break them, and judge what clients were told.

    Brokers, controller, coordinator and clients are the real ones; network, disks and time are
    not. One seed decides a run, and the same seed gives the same run on every machine. The exit
    status is 1 where anything was found.

    \b
    Examples:
      $ ottla simulate --runs 200
      $ ottla simulate --seed 4711 --minimise --keep found.toml
      $ ottla simulate --plan found.toml
      $ ottla simulate --seed 4711 --trace run.txt
      $ ottla simulate --faults kill,separate --runs 50
      $ ottla simulate --about disks --runs 50
    """
    if options["list_faults"]:
        click.echo("\n".join([_kinds_table(), "", *_themes_known()]))
        return ExitStatus.OK
    wanted = Wanted(_kinds(options["faults"]), _theme(options["about"]), _given(options))
    seeds = _seeds(wanted.given.seed if wanted.given else options["seed"], options["runs"])
    if wanted.kinds is not None and wanted.about is not None:
        raise click.UsageError("a theme decides the kinds of faults: give --about or --faults")
    if options["trace"] is not None and len(seeds) != 1:
        raise click.UsageError("--trace goes with a single run: give --seed, and no --runs")
    tally = Tally()
    first = _run_all(seeds, wanted, options, tally)
    if as_json:
        click.echo(json.dumps(facts(tally, first)))
    else:
        click.echo(summary(tally, seeds))
    if first is not None:
        if options["shrink"]:
            first = _minimised(first)
        if options["keep"] is not None:
            _keep(options["keep"], first)
        show_failure(first, _again(first, wanted, options["keep"] or options["plan_file"]))
    if tally.failed:
        return ExitStatus.FAILURE
    return ExitStatus.OK if tally.runs == len(seeds) else ExitStatus.INTERRUPTED


def _run_all(
    seeds: range, wanted: Wanted, options: Mapping[str, Any], tally: Tally
) -> Verdict | None:
    """Run all seeds; Ctrl-C leaves the rest out. Returns: the first run that has failed.

    Raises: KeyboardInterrupt, where none has ended yet.
    """
    first: Verdict | None = None
    processes = options["processes"] or os.cpu_count() or 1
    try:
        with _progress(len(seeds)) as advance:
            for verdict in _runs(seeds, wanted, processes=processes):
                tally.add(verdict)
                if verdict.anomalies:
                    first = first or verdict
                    if len(seeds) > 1:
                        click.echo(f"seed {verdict.plan.seed}: {verdict.anomalies[0]}", err=True)
                if options["trace"] is not None:
                    write_trace(options["trace"], verdict)
                advance(1)
    except KeyboardInterrupt:
        if not tally.runs:
            raise
        click.echo(f"stopped after {tally.runs} of {len(seeds)} runs", err=True)
    return first


def _seeds(seed: int | None, runs: int | None) -> range:
    if seed is None:
        return range(start := int.from_bytes(os.urandom(4)), start + (runs or 20))
    return range(seed, seed + (runs or 1))


def _kinds_known() -> list[str]:
    from simulation.kinds import KINDS

    return sorted(KINDS)


def _kinds_table() -> str:
    from simulation.kinds import KINDS

    return columns(("FAULT", "DOES"), [(kind, KINDS[kind].does) for kind in _kinds_known()])


def _kinds(named: str | None) -> frozenset[str] | None:
    """Read --faults. Raises: click.UsageError."""
    if named is None:
        return None
    kinds = frozenset(named.split(",")) - {"none", ""}
    for kind in sorted(kinds.difference(_kinds_known())):
        raise click.UsageError(f"there are no faults called {kind!r}: see --list-faults")
    return kinds


def _themes_known() -> list[str]:
    from simulation.themes import THEMES

    return [f"{name}: {', '.join(sorted(theme.kinds))}" for name, theme in sorted(THEMES.items())]


def _theme(named: str | None) -> str | None:
    """Read --about. Raises: click.UsageError."""
    from simulation.themes import THEMES

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


def _given(options: Mapping[str, Any]) -> Plan | None:
    """Read --plan. Raises: click.UsageError."""
    from simulation.plan_file import PlanUnreadable, decode_plan

    file = options["plan_file"]
    if file is None:
        return None
    for other in ("seed", "runs", "faults", "about"):
        if options[other] is not None:
            raise click.UsageError(f"--plan says all that --{other} would: leave one out")
    try:
        return decode_plan(file.read())
    except (PlanUnreadable, UnicodeDecodeError) as error:
        raise click.UsageError(f"{file.name} is no plan as --keep writes it: {error}") from None


def _keep(target: Any, verdict: Verdict) -> None:
    from simulation.plan_file import encode_plan

    target.write(encode_plan(verdict.plan, found=str(verdict.anomalies[0])))


def _again(verdict: Verdict, wanted: Wanted, file: Any) -> str:
    """Say how to have this run again."""
    if file is not None:
        return f"ottla simulate --plan {shlex.quote(file.name)}"
    return f"ottla simulate --seed {verdict.plan.seed}{wanted}"


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
