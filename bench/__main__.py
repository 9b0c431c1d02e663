"""Ottla and Apache Kafka side by side, on this machine.

    python -m bench [BENCH...] [options]      all of them unless some are named; --help lists them
    python -m bench --report                  the document again, from the results that are there

`make bench` runs them all, in an hour and a half or so, and writes docs/performance.md anew.
Apache Kafka's jars are in tests/interop/java/target (`make bench` fetches them).
"""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Any

import click

from bench.bench import Bench
from bench.cases.clients import CLIENT_WORK
from bench.cases.compaction import COMPACTION
from bench.cases.failover import CATCH_UP, GAP
from bench.cases.growth import BROKERS, CONNECTIONS, PARTITIONS
from bench.cases.idle import AFTER_LOAD, IDLE
from bench.cases.latency import LATENCY
from bench.cases.limit import LIMIT
from bench.cases.perf_tools import PERF_TOOLS
from bench.cases.start import START
from bench.cases.throughput import BATCH_SIZES, THROUGHPUT
from bench.figure import OURS, THEIRS, Figure, comparisons
from bench.report import write_report
from bench.results import Results
from bench.runner import Options, Runner, Where, only
from bench.tables import lines

BENCHES: tuple[Bench, ...] = (
    LIMIT,
    START,
    IDLE,
    THROUGHPUT,
    BATCH_SIZES,
    LATENCY,
    AFTER_LOAD,
    CONNECTIONS,
    BROKERS,
    CLIENT_WORK,
    PERF_TOOLS,
    PARTITIONS,
    COMPACTION,
    GAP,
    CATCH_UP,
)
"""In the order in which they share clusters: those that restart a JVM come last."""

NAMES = {each.name: each for each in BENCHES}


@click.command(
    help="Measure Ottla and Apache Kafka in turn on this machine.\n\n\b\n"
    + "\n".join(f"{each.name:<12} {each.about}" for each in BENCHES)
)
@click.argument("names", nargs=-1, type=click.Choice(list(NAMES)), metavar="[BENCH]...")
@click.option("--brokers", help="Sizes of clusters, such as 1,3; else what each bench says.")
@click.option("--rounds", type=click.IntRange(1), help="Instead of each bench's own number.")
@click.option("--warm-up", type=float, default=180.0, show_default=True, help="Seconds of a JVM.")
@click.option("--only", "system", type=click.Choice([OURS, THEIRS]), help="One system alone.")
@click.option("--where", multiple=True, help="Cases: KEY=VALUE[,VALUE...]; may be repeated.")
@click.option("--json", "path", type=click.Path(path_type=Path), help="Keep the results in a file.")
@click.option("--report", is_flag=True, help="Write docs/performance.md from that file.")
def main(names: tuple[str, ...], *, path: Path | None, report: bool, **options: Any) -> None:
    if names or not report:
        _run([NAMES[each] for each in names] or list(BENCHES), path, options)
    if report:
        if path is None:
            raise click.UsageError("--report needs the results: --json FILE")
        write_report(Results(path))


def _run(benches: list[Bench], path: Path | None, options: dict[str, Any]) -> None:
    """Run benches; results are kept after each case, so that an end of this loses little."""
    if options["brokers"] is not None:
        benches = only(benches, brokers=[int(each) for each in options["brokers"].split(",")])
    keep = Results(path) if path is not None else None
    command = shlex.join(["python", "-m", "bench", *sys.argv[1:]])
    done: list[Figure] = []

    def tell(figures: list[Figure]) -> None:
        for each in comparisons(figures):
            click.echo("\n".join(lines(each)))
        done.extend(figures)
        if keep is not None:
            keep.replace(done, command=command)
            keep.save()

    how = Options(
        systems=(options["system"],) if options["system"] else (OURS, THEIRS),
        rounds=options["rounds"],
        warm_up_s=options["warm_up"],
        where=_where(options["where"]),
    )
    Runner(how, told=tell).run(benches)


def _where(texts: tuple[str, ...]) -> Where:
    found: Where = {}
    for text in texts:
        key, equals, values = text.partition("=")
        if not equals:
            raise click.UsageError(f"--where {text}: give KEY=VALUE, such as acks=all")
        found[key] = set(values.split(","))
    return found


if __name__ == "__main__":
    main()
