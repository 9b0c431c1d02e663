"""The plots of docs/performance.md, as PNG files. matplotlib is loaded only when one is drawn."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from bench.figure import MACHINE, OURS, THEIRS, Comparison
from bench.tables import TITLES

COLOURS = {OURS: "#c2410c", THEIRS: "#475569", MACHINE: "#0f766e"}
DPI = 110


def _figure(titles: Sequence[str], *, height: float = 3.4) -> tuple[Any, list[Any]]:
    """Make a row of axes with these titles."""
    import matplotlib as mpl  # noqa: PLC0415 - only `make bench` has it

    mpl.use("Agg")
    from matplotlib import pyplot as plt  # noqa: PLC0415

    figure, axes = plt.subplots(
        1, len(titles), figsize=(4.6 * len(titles), height), layout="constrained", squeeze=False
    )
    for axis, title in zip(axes[0], titles, strict=True):
        axis.set_title(title, fontsize=10)
        axis.grid(visible=True, axis="y", alpha=0.3)
        axis.spines[["top", "right"]].set_visible(False)
    return figure, list(axes[0])


def _save(figure: Any, path: Path) -> None:
    from matplotlib import pyplot as plt  # noqa: PLC0415

    figure.savefig(path, dpi=DPI, metadata={"Software": ""})
    plt.close(figure)


def draw_cost(found: Sequence[Comparison], path: Path) -> None:
    """CPU of the servers for each GB, and MB/s, by size of records and of cluster."""
    titles = {"cpu_s_per_gb": "CPU s per GB", "mb_per_s": "MB/s"}
    shown = [(value, what) for value in titles for what in ("produce", "consume")]
    names = [f"{titles[value]}, {what} (acks=all)" for value, what in shown]
    figure, axes = _figure(names, height=4.4)
    for axis, (value, what) in zip(axes, shown, strict=True):
        cases = [
            each
            for each in found
            if (each.bench, each.what) == ("throughput", what)
            and {"acks": "all", "compression": "none"}.items() <= each.case.items()
        ]
        labels = [
            f"{each.case['record_bytes']} B in {int(each.case['batch_bytes']) // 1000} KB,"
            f" RF={min(3, int(each.case['brokers']))}"
            for each in cases
        ]
        _bars(axis, labels, cases, value)
        for limit in (e for e in found if (e.bench, e.what) == ("limit", what)):
            spread = limit.spread(MACHINE, value)
            if spread is not None:
                axis.axhline(
                    spread.median, color=COLOURS[MACHINE], linestyle="--", label="the limit"
                )
        axis.tick_params("x", rotation=90)
        axis.legend(fontsize=8)
    _save(figure, path)


def _bars(axis: Any, labels: Sequence[str], cases: Sequence[Comparison], value: str) -> None:
    for shift, system in ((-0.2, OURS), (0.2, THEIRS)):
        spreads = [each.spread(system, value) for each in cases]
        places = [n + shift for n, spread in enumerate(spreads) if spread is not None]
        known = [spread for spread in spreads if spread is not None]
        errors = [[s.median - s.low for s in known], [s.high - s.median for s in known]]
        if known:
            axis.bar(
                places,
                [s.median for s in known],
                0.4,
                yerr=errors,
                color=COLOURS[system],
                label=TITLES[system],
                error_kw={"linewidth": 0.8},
            )
    axis.set_xticks(range(len(labels)), labels, fontsize=8)


def draw_latency(found: Sequence[Comparison], path: Path) -> None:
    """How long records wait, by rate: the median, 99 and 99.9 of a hundred."""
    figure, axes = _figure([f"ms until acknowledged, {brokers} x" for brokers in (1, 3)])
    for axis, brokers in zip(axes, (1, 3), strict=True):
        cases = [
            each
            for each in found
            if each.bench == "latency"
            and {"brokers": brokers, "in_flight": "many"}.items() <= each.case.items()
        ]
        styles = (("p50", "-"), ("p99", "--"), ("p999", ":"))
        for system in (OURS, THEIRS):
            for share, style in styles:
                _line(axis, cases, system, ("per_s", f"ack_{share}_ms"), style=style, label=share)
        axis.set_yscale("log")
        axis.set_xlabel("records per second", fontsize=8)
        axis.legend(fontsize=7)
    _save(figure, path)


def _line(
    axis: Any,
    cases: Sequence[Comparison],
    system: str,
    over: tuple[str, str],
    *,
    style: str = "-",
    label: str = "",
) -> None:
    key, value = over
    points = sorted(
        (float(each.case[key]), spread.median, spread.low, spread.high)
        for each in cases
        if (spread := each.spread(system, value)) is not None
    )
    if not points:
        return
    places, medians, lows, highs = zip(*points, strict=True)
    title = f"{TITLES[system]} {label}".strip()
    axis.plot(places, medians, style, color=COLOURS[system], marker="o", markersize=3, label=title)
    axis.fill_between(places, lows, highs, color=COLOURS[system], alpha=0.12, linewidth=0)


def draw_growth(
    found: Sequence[Comparison], path: Path, *, bench: str, key: str, log: bool
) -> None:
    """How CPU, memory and latency at 500 records a second grow with something."""
    titles = {
        "cpu_share": "CPU of all servers, cores",
        "memory_mb_per_broker": "MB per broker",
        "ack_p99_ms": "p99 until acknowledged, ms",
    }
    figure, axes = _figure(list(titles.values()))
    alike = [each for each in found if each.bench == bench and each.case.get("replicas") != 1]
    for axis, value in zip(axes, titles, strict=True):
        for system in (OURS, THEIRS):
            _line(axis, alike, system, (key, value))
        if log:
            axis.set_xscale("symlog" if key == "connections" else "log")
        axis.set_yscale("log")
        axis.set_xlabel(key, fontsize=8)
        axis.legend(fontsize=8)
    _save(figure, path)


def draw_batch_sizes(found: Sequence[Comparison], path: Path) -> None:
    """Throughput and its cost by size of batches."""
    figure, axes = _figure(
        [f"{t}, {b} x" for b in (1, 3) for t in ("MB/s produced", "CPU s per GB")]
    )
    pairs = [(b, v) for b in (1, 3) for v in ("mb_per_s", "cpu_s_per_gb")]
    for axis, (brokers, value) in zip(axes, pairs, strict=True):
        cases = [
            each
            for each in found
            if (each.bench, each.what) == ("batch-sizes", "produce")
            and each.case["brokers"] == brokers
        ]
        for system in (OURS, THEIRS):
            _line(axis, cases, system, ("batch_bytes", value))
        axis.set_xscale("log", base=2)
        axis.set_yscale("log")
        axis.set_xlabel("bytes of a batch", fontsize=8)
        axis.legend(fontsize=8)
    _save(figure, path)


def draw_clients(found: Sequence[Comparison], path: Path) -> None:
    """Records per second of each client, on both systems' brokers."""
    figure, axes = _figure(["produce, records/s", "consume, records/s"])
    for axis, what in zip(axes, ("produce", "consume"), strict=True):
        cases = [each for each in found if (each.bench, each.what) == ("clients", what)]
        labels = [f"{e.case['client']}\n{e.case['record_bytes']} B" for e in cases]
        _bars(axis, labels, cases, "records_per_s")
        axis.tick_params(axis="x", labelrotation=60)
        axis.legend(fontsize=8)
    _save(figure, path)


PLOTS: Mapping[str, Callable[[Sequence[Comparison], Path], None]] = {
    "throughput": draw_cost,
    "latency": draw_latency,
    "batch-sizes": draw_batch_sizes,
    "partitions": partial(draw_growth, bench="partitions", key="partitions", log=True),
    "connections": partial(draw_growth, bench="connections", key="connections", log=True),
    "brokers": partial(draw_growth, bench="brokers", key="brokers", log=False),
    "clients": draw_clients,
}
"""By the bench that they show."""
