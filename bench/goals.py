"""What is aimed at: ratios of ours to Apache Kafka's, or shares of what the machine allows.

Pure. Each goal names the cases that it is judged by; the worst of them counts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from bench.figure import MACHINE, OURS, Case, Comparison


@dataclass(frozen=True)
class Goal:
    """One ratio and its bound: at most so much, or at least. `of_limit`: a share of the limit."""

    title: str
    bench: str
    what: str
    value: str
    bound: float
    cases: tuple[Case, ...]
    at_least: bool = False
    of_limit: bool = False

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
        if not self.of_limit:
            return comparison.ratio(self.value)
        limits = (each for each in found if (each.bench, each.what) == ("limit", self.what))
        limit = next((each.spread(MACHINE, self.value) for each in limits), None)
        ours = comparison.spread(OURS, self.value)
        return ours.median / limit.median if ours and limit else None


def _throughput(title: str, what: str, value: str, bound: float, **case: int | str) -> Goal:
    whole: Case = {"acks": "all", "compression": "none", **case}
    at_least = value == "mb_per_s"
    return Goal(title, "throughput", what, value, bound, (whole,), at_least=at_least)


_LARGE: tuple[Case, ...] = tuple(
    {"brokers": 1, "acks": "all", "compression": "none", "record_bytes": size}
    for size in (1_000, 10_000)
)
_ACK: tuple[Case, ...] = ({"brokers": 3, "per_s": 500, "in_flight": "many"},)

GOALS: tuple[Goal, ...] = (
    Goal(
        "server CPU per GB produced, 1 KB and 10 KB, RF=1",
        "throughput",
        "produce",
        "cpu_s_per_gb",
        0.5,
        _LARGE,
    ),
    _throughput(
        "the same, RF=3, acks=all, 1 KB",
        "produce",
        "cpu_s_per_gb",
        0.35,
        brokers=3,
        record_bytes=1_000,
    ),
    _throughput(
        "server CPU per GB produced, 100 B", "produce", "cpu_s_per_gb", 0.5, record_bytes=100
    ),
    _throughput("server CPU per GB consumed", "consume", "cpu_s_per_gb", 0.6),
    _throughput(
        "produce throughput, RF=1, 1 KB", "produce", "mb_per_s", 1.0, brokers=1, record_bytes=1_000
    ),
    _throughput(
        "produce throughput, RF=3, 1 KB", "produce", "mb_per_s", 1.5, brokers=3, record_bytes=1_000
    ),
    _throughput("consume throughput, 1 KB", "consume", "mb_per_s", 1.1, record_bytes=1_000),
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
    Goal(
        "share of the measured limit, produce RF=1",
        "throughput",
        "produce",
        "mb_per_s",
        0.5,
        _LARGE,
        at_least=True,
        of_limit=True,
    ),
)
"""Where nothing else is said: acks=all, no compression."""
