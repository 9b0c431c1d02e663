"""Results as text: what the terminal shows as it goes, and the tables of docs/performance.md."""

from __future__ import annotations

from collections.abc import Sequence

from bench.figure import MACHINE, OURS, SYSTEMS, THEIRS, Comparison, Spread, case_text
from bench.goals import GOALS

TITLES = {OURS: "Ottla", THEIRS: "Apache Kafka", MACHINE: "this machine"}


def lines(found: Comparison) -> list[str]:
    """Write one comparison for a terminal."""
    head = f"{found.bench}: {found.what}" + (f"  [{case_text(found.case)}]" if found.case else "")
    told = [head]
    for value in found.values():
        parts = [
            f"{system} {_text(spread)}"
            for system in SYSTEMS
            if (spread := found.spread(system, value)) is not None
        ]
        ratio = found.ratio(value)
        told.append(
            f"  {value:<22} {'   '.join(parts)}"
            + (f"   = {ratio:.2f}" if ratio is not None else "")
        )
    return told


def goal_table(found: Sequence[Comparison]) -> list[str]:
    """Write the goals and how far they are reached, in Markdown."""
    rows = [
        "| figure (ours / Kafka's) | goal | measured | worst case | reached |",
        "|---|---|---:|---|---|",
    ]
    for goal in GOALS:
        worst = goal.worst(found)
        if worst is None:
            rows.append(f"| {goal.title} | {goal.wanted} | not measured | | |")
            continue
        ratio, case = worst
        reached = "yes" if goal.is_met(ratio) else "**no**"
        rows.append(
            f"| {goal.title} | {goal.wanted} | {ratio:.2f} | {case_text(case)} | {reached} |"
        )
    return rows


def bench_table(found: Sequence[Comparison], values: Sequence[str]) -> list[str]:
    """Write the comparisons of one bench in Markdown: a row for each case, medians and spread."""
    systems = [name for name in SYSTEMS if any(name in each.rounds for each in found)]
    keys = list(dict.fromkeys(key for each in found for key in each.case))
    head = ["", *(key.replace("_", " ") for key in keys)]
    for value in values:
        head += [f"{TITLES[name]}: {value}" for name in systems]
        head += ["ratio"] if {OURS, THEIRS} <= set(systems) else []
    rows = [_row(head), "|---" * len(head) + "|"]
    for each in found:
        row = [each.what, *(str(each.case.get(key, "")) for key in keys)]
        for value in values:
            row += [_text(each.spread(name, value)) for name in systems]
            if {OURS, THEIRS} <= set(systems):
                ratio = each.ratio(value)
                row.append("" if ratio is None else f"{ratio:.2f}")
        rows.append(_row(row))
    return rows


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _text(spread: Spread | None) -> str:
    if spread is None:
        return ""
    median, low, high = (_number(each) for each in (spread.median, spread.low, spread.high))
    return median if low == high else f"{median} ({low} to {high})"


def _number(value: float) -> str:
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"
