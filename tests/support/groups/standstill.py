"""How long a group's work stood still, by what its members reported: measured, never judged.

Must never know: clients, processes, clocks.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise
from statistics import median
from typing import NamedTuple

from tests.support.groups.events import Committed, Consumed, Event, Lost, Partition, Revoked


class Standstill(NamedTuple):
    """The longest time that any partition went without, in seconds, and what members lost."""

    processed_s: float
    committed_s: float
    disturbed: int
    """Members that were told to give partitions up."""

    def __str__(self) -> str:
        return f"{self.processed_s:.2f} s ({self.disturbed} rebalanced)"


def standstill(
    histories: Iterable[Sequence[Event]],
    partitions: Sequence[Partition],
    *,
    since_ms: int,
    until_ms: int,
) -> Standstill:
    """Measure in [since_ms, until_ms)."""
    processed: dict[Partition, list[int]] = {partition: [] for partition in partitions}
    committed: dict[Partition, list[int]] = {partition: [] for partition in partitions}
    disturbed = 0
    for history in histories:
        during = [event for event in history if since_ms <= event.at_ms < until_ms]
        disturbed += any(isinstance(e, Revoked | Lost) and e.partitions for e in during)
        for event in during:
            if isinstance(event, Consumed):
                processed[event.partition].append(event.at_ms)
            elif isinstance(event, Committed) and event.error is None:
                for partition, _ in event.offsets:
                    committed[partition].append(event.at_ms)
    return Standstill(
        max(_longest_s(times, since_ms, until_ms) for times in processed.values()),
        max(_longest_s(times, since_ms, until_ms) for times in committed.values()),
        disturbed,
    )


def summary(found: Sequence[Standstill]) -> str:
    """Put into words how a group fared in several rounds."""
    times = [one.processed_s for one in found]
    rebalanced = sum(one.disturbed for one in found)
    return (
        f"{median(times):.2f} s (worst {max(times):.2f}),"
        f" {rebalanced} rebalances of members in {len(found)} rounds"
    )


def _longest_s(times_ms: list[int], since_ms: int, until_ms: int) -> float:
    marks = [since_ms, *sorted(times_ms), until_ms]
    return max(after - before for before, after in pairwise(marks)) / 1000
