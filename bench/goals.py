"""What is aimed at: ratios of ours to Apache Kafka's, or shares of what the machine allows.

Pure. Each goal names the cases that it is judged by; the worst of them counts.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from bench.cases.limit import PRODUCED, SYNCED
from bench.cases.throughput import LARGE_BATCH_BYTES, SMALL_BATCH_BYTES
from bench.figure import MACHINE, OURS, Case, Comparison


@dataclass(frozen=True)
class Goal:
    """One ratio and its bound: at most so much, or at least; or a share of the `limit` named so."""

    title: str
    bench: str
    what: str
    value: str
    bound: float
    cases: tuple[Case, ...]
    at_least: bool = False
    limit: str = ""

    @property
    def wanted(self) -> str:
        """Write the bound: `≤ 0.35`."""
        return f"{'≥' if self.at_least else '≤'} {self.bound:.2f}"

    def worst(self, found: Sequence[Comparison]) -> tuple[float, Case] | None:
        """Give the worst ratio, and its case; None where nothing was measured."""
        ratios = [
            (ratio, each.case)
            for each in found
            if (each.bench, each.what) == (self.bench, self.what)
            and any(case.items() <= each.case.items() for case in self.cases)
            and (ratio := self._ratio(each, found)) is not None
        ]
        if not ratios:
            return None
        return (min if self.at_least else max)(ratios, key=lambda each: each[0])

    def is_met(self, ratio: float) -> bool:
        """Say whether a ratio is good enough."""
        return ratio >= self.bound if self.at_least else ratio <= self.bound

    def _ratio(self, comparison: Comparison, found: Sequence[Comparison]) -> float | None:
        if not self.limit:
            return comparison.ratio(self.value)
        limits = (each for each in found if (each.bench, each.what) == ("limit", self.limit))
        limit = next((each.spread(MACHINE, self.value) for each in limits), None)
        ours = comparison.spread(OURS, self.value)
        return ours.median / limit.median if ours and limit else None


def _throughput(
    title: str,
    what: str,
    value: str,
    bound: float,
    *cases: Case,
    limits: Mapping[int, str] | None = None,
) -> Iterator[Goal]:
    """Judge by acks=all without compression, for either size of batches by itself."""
    for batch_bytes, name in BATCHES.items():
        wanted = {"acks": "all", "compression": "none", "batch_bytes": batch_bytes}
        yield Goal(
            f"{title}, {name}",
            "throughput",
            what,
            value,
            bound,
            tuple({**wanted, **case} for case in cases),
            at_least=value == "mb_per_s",
            limit=(limits or {}).get(batch_bytes, ""),
        )


def _perf_tools(title: str, what: str, value: str, bound: float, case: Case) -> Goal:
    """Judge by what one of Apache Kafka's own tools sees, or costs."""
    title, cases = f"{title}, by {PERF_TOOLS[what]}", (case,)
    return Goal(title, "perf-tools", what, value, bound, cases, at_least=value == "mb_per_s")


PERF_TOOLS = {"produce": "kafka-producer-perf-test", "consume": "kafka-consumer-perf-test"}
BATCHES = {SMALL_BATCH_BYTES: "batches of 64 KiB", LARGE_BATCH_BYTES: "of 900 KB"}
_ONE: Case = {"brokers": 1}
_THREE: Case = {"brokers": 3}
_ONE_LARGE: tuple[Case, ...] = tuple({**_ONE, "record_bytes": size} for size in (1_000, 10_000))
_ONE_1_KB: Case = {**_ONE, "record_bytes": 1_000}
_THREE_1_KB: Case = {**_THREE, "record_bytes": 1_000}
_THREE_LARGE: tuple[Case, ...] = tuple({**_THREE, "record_bytes": n} for n in (1_000, 10_000))
_ACK: tuple[Case, ...] = ({**_THREE, "per_s": 500},)

GOALS: tuple[Goal, ...] = (
    *_throughput("CPU/GB produced, 1 and 10 KB, RF=1", "produce", "cpu_s_per_gb", 0.5, *_ONE_LARGE),
    *_throughput(
        "CPU/GB produced, 1 and 10 KB, RF=3", "produce", "cpu_s_per_gb", 0.35, *_THREE_LARGE
    ),
    *_throughput("CPU/GB produced, 100 B", "produce", "cpu_s_per_gb", 0.5, {"record_bytes": 100}),
    *_throughput("CPU/GB consumed", "consume", "cpu_s_per_gb", 0.6, {}),
    *_throughput("produce throughput, 1 KB, RF=1", "produce", "mb_per_s", 1.0, _ONE_1_KB),
    *_throughput("produce throughput, 1 KB, RF=3", "produce", "mb_per_s", 1.5, _THREE_1_KB),
    *_throughput("consume throughput, 1 KB", "consume", "mb_per_s", 1.1, {"record_bytes": 1_000}),
    _perf_tools("CPU/GB produced, RF=1", "produce", "cpu_s_per_gb", 0.5, _ONE),
    _perf_tools("CPU/GB produced, RF=3", "produce", "cpu_s_per_gb", 0.35, _THREE),
    _perf_tools("CPU/GB consumed", "consume", "cpu_s_per_gb", 0.6, {}),
    _perf_tools("produce throughput, RF=1", "produce", "mb_per_s", 1.0, _ONE),
    _perf_tools("produce throughput, RF=3", "produce", "mb_per_s", 1.5, _THREE),
    _perf_tools("consume throughput", "consume", "mb_per_s", 1.1, {}),
    Goal("p50 ack at 500/s, RF=3, acks=all", "latency", "wait", "ack_p50_ms", 1.0, _ACK),
    Goal("p99 ack at 500/s, RF=3, acks=all", "latency", "wait", "ack_p99_ms", 0.5, _ACK),
    Goal("memory per broker, idle", "idle", "nothing to do", "memory_mb_per_broker", 0.15, ({},)),
    Goal(
        "memory per broker, after load",
        "after-load",
        "nothing to do",
        "memory_mb_per_broker",
        0.1,
        ({},),
    ),
    Goal("start to first ack, 1 and 3 brokers", "start", "start", "first_ack_s", 0.15, ({},)),
    Goal("longest gap, kill -9 of the leader", "failover", "leader killed", "gap_s", 0.1, ({},)),
    *_throughput(
        "share of the limit, produce RF=1",
        "produce",
        "mb_per_s",
        0.5,
        *_ONE_LARGE,
        limits=dict.fromkeys(BATCHES, PRODUCED),
    ),
    *_throughput(
        "share of the limit that syncs as we do, produce RF=1",
        "produce",
        "mb_per_s",
        0.5,
        *_ONE_LARGE,
        limits=SYNCED,
    ),
)
"""All with acks=all and without compression."""
