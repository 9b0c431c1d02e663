"""What simulated runs have shown: in words, as JSON, as a timeline of the one that failed.

Must never know: how runs are made, which are asked for.
"""

from __future__ import annotations

from collections import Counter
from itertools import groupby
from typing import TYPE_CHECKING, Any, Final

import click
from msgspec import Struct, field

from commands.columns import columns, count_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from simulation.plan import Plan
    from simulation.run import Verdict

TIMELINE_LINES: Final = 60
"""How much of a failed run is shown up to its end; --trace writes all of it."""

ANOMALIES_SHOWN: Final = 10


class Tally(Struct):
    """What many runs have shown."""

    runs: int = 0
    operations: int = 0
    acknowledged: int = 0
    steps: int = 0
    virtual_s: float = 0.0
    injected: Counter[str] = field(default_factory=Counter)
    failed: list[int] = field(default_factory=list)
    plan: Plan | None = None
    """That of the last run."""

    def add(self, verdict: Verdict) -> None:
        """Count one run."""
        self.runs += 1
        self.plan = verdict.plan
        self.operations += verdict.operations
        self.acknowledged += verdict.acknowledged
        self.steps += verdict.steps
        self.virtual_s += verdict.virtual_s
        self.injected += verdict.injected
        if verdict.anomalies:
            self.failed.append(verdict.plan.seed)


def summary(tally: Tally, seeds: range) -> str:
    """Say in words what the runs of these seeds have shown; of a single one also what it was."""
    faults = sorted(tally.injected.items(), key=lambda one: (-one[1], one[0]))
    which = f"seed {seeds[0]}" if len(seeds) == 1 else f"seeds {seeds[0]} to {seeds[-1]}"
    lines = [str(tally.plan), ""] if len(seeds) == 1 and not tally.failed else []
    lines += [
        f"{count_of(tally.runs, 'run')} ({which}), {tally.virtual_s / 60:.1f} virtual minutes,"
        f" {count_of(tally.operations, 'operation')},"
        f" {count_of(tally.acknowledged, 'acknowledged record')};"
        f" looked at what may have changed after each of {tally.steps:,} steps",
    ]
    if faults:
        lines.append(columns(("FAULT", "TIMES"), [(kind, f"{n:,}") for kind, n in faults]))
    if tally.failed:
        listed = ", ".join(map(str, sorted(tally.failed)[:20]))
        lines.append(f"{count_of(len(tally.failed), 'run')} failed: {listed}")
    else:
        lines.append("no anomaly")
    return "\n".join(lines)


def facts(tally: Tally, first: Verdict | None) -> dict[str, Any]:
    """Say it for a script; `first` is the first run that failed."""
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


def write_trace(target: Any, verdict: Verdict) -> None:
    """Write down all that happened in a run."""
    lines = [str(verdict.plan), *verdict.trace.lines, *map(str, verdict.anomalies)]
    target.write("\n".join(lines) + "\n")


def show_failure(verdict: Verdict, again: str) -> None:
    """Say on stderr what was found, in which run, what led to it, and how to have it `again`."""
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
