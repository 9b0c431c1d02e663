"""Writes the measured parts of docs/performance.md: tables between marks, and plots beside it.

What stands outside the marks is written by hand and kept. A part that was never measured says so.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from bench.figure import Comparison, comparisons
from bench.plots import PLOTS
from bench.results import Results
from bench.tables import bench_table, goal_table

DOCUMENT = Path("docs/performance.md")
PLOT_DIRECTORY = Path("docs/performance")

TABLES: Mapping[str, tuple[str, ...]] = {
    "limit": ("mb_per_s", "cpu_s_per_gb", "p50_ms", "p99_ms"),
    "throughput": ("mb_per_s", "cpu_s_per_gb", "other_cpu_s_per_gb"),
    "batch-sizes": ("mb_per_s", "cpu_s_per_gb"),
    "latency": tuple(f"{wait}_{p}_ms" for wait in ("ack", "e2e") for p in ("p50", "p99", "p999")),
    "start": ("serves_s", "first_ack_s"),
    "idle": ("memory_mb_per_broker", "cpu_share"),
    "after-load": ("memory_mb_per_broker", "cpu_share"),
    "connections": ("cpu_share", "memory_mb_per_broker", "ack_p50_ms", "ack_p99_ms"),
    "brokers": ("cpu_share", "memory_mb_per_broker", "ack_p50_ms", "ack_p99_ms"),
    "partitions": ("created_s", "cpu_share", "memory_mb_per_broker", "ack_p50_ms", "ack_p99_ms"),
    "clients": ("records_per_s", "cpu_us_per_record", "memory_mb"),
    "perf-tools": ("records_per_s", "mb_per_s", "cpu_s_per_gb", "ack_p50_ms", "ack_p99_ms"),
    "compaction": ("compacted_s", "cpu_s_per_gb", "memory_mb_per_broker"),
    "failover": ("gap_s",),
    "catch-up": ("listens_s", "in_sync_s", "mb_per_s"),
}
"""Which values of each bench stand in its table."""


def write_report(results: Results) -> None:
    """Fill the marked parts of the document, and draw the plots."""
    found = comparisons(results.figures())
    text = fill(DOCUMENT.read_text(), lambda name: _part(name, found, results))
    DOCUMENT.write_text(text)
    PLOT_DIRECTORY.mkdir(exist_ok=True)
    measured = {each.bench for each in found}
    for name, draw in PLOTS.items():
        if name in measured:
            draw(found, PLOT_DIRECTORY / f"{name}.png")


def fill(text: str, part: Callable[[str], Sequence[str]]) -> str:
    """Put the parts between `<!-- begin NAME -->` and `<!-- end NAME -->`."""

    def written(match: re.Match[str]) -> str:
        begin, name, end = match.group(1), match.group(2), match.group(3)
        return "\n".join([begin, *part(name), end])

    return re.sub(
        r"(<!-- begin ([\w-]+) -->)\n.*?(<!-- end \2 -->)", written, text, flags=re.DOTALL
    )


def _part(name: str, found: Sequence[Comparison], results: Results) -> list[str]:
    if name == "goals":
        return goal_table(found)
    of_bench = [each for each in found if each.bench == name]
    if not of_bench:
        return ["Not measured yet."]
    plot = [f"![{name}]({PLOT_DIRECTORY.name}/{name}.png)", ""] if name in PLOTS else []
    return [*plot, *bench_table(of_bench, TABLES[name]), "", results.origin(name)]
