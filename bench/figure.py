"""What was measured, and what many rounds of it say: medians, spread, ratios.

Pure: it knows no cluster and no clock.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

OURS, THEIRS, MACHINE = "ottla", "kafka", "machine"
SYSTEMS = (OURS, THEIRS, MACHINE)

Case = Mapping[str, int | str]
"""What was varied, and how: `{"brokers": 3, "acks": "all"}`."""


@dataclass(frozen=True)
class Figure:
    """One measurement of one system: several values of one piece of work.

    `values` have their unit in their name: `mb_per_s`, `cpu_s_per_gb`, `p99_ms`.
    """

    bench: str
    what: str
    system: str
    case: Case
    values: Mapping[str, float]

    def is_of(self, case: Case) -> bool:
        """Say whether it was measured in a case that agrees with all that is given."""
        return all(self.case.get(key) == value for key, value in case.items())


@dataclass(frozen=True)
class Spread:
    """The median of some rounds, and how far they lie apart."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, figures: Iterable[Figure], value: str) -> Spread | None:
        """Give the spread of one value; None where no figure has it."""
        found = [each.values[value] for each in figures if value in each.values]
        return cls(statistics.median(found), min(found), max(found)) if found else None


@dataclass(frozen=True)
class Comparison:
    """All rounds of one piece of work in one case, by system."""

    bench: str
    what: str
    case: Case
    rounds: Mapping[str, tuple[Figure, ...]]

    def spread(self, system: str, value: str) -> Spread | None:
        """Give one system's spread of a value."""
        return Spread.of(self.rounds.get(system, ()), value)

    def values(self) -> list[str]:
        """Name the values, in the order in which they were first given."""
        return list(
            dict.fromkeys(v for figures in self.rounds.values() for f in figures for v in f.values)
        )

    def ratio(self, value: str) -> float | None:
        """Give ours as a share of theirs, of medians; None without both."""
        ours, theirs = self.spread(OURS, value), self.spread(THEIRS, value)
        if ours is None or theirs is None or theirs.median == 0:
            return None
        return ours.median / theirs.median


def comparisons(figures: Iterable[Figure]) -> list[Comparison]:
    """Put together what was measured of the same work in the same case, in order of appearance."""
    grouped: dict[tuple[object, ...], list[Figure]] = {}
    for each in figures:
        grouped.setdefault((each.bench, each.what, *sorted(each.case.items())), []).append(each)
    return [
        Comparison(
            group[0].bench, group[0].what, group[0].case, _by(group, lambda each: each.system)
        )
        for group in grouped.values()
    ]


def _by(figures: list[Figure], key: Callable[[Figure], str]) -> dict[str, tuple[Figure, ...]]:
    return {
        name: tuple(each for each in figures if key(each) == name)
        for name in dict.fromkeys(map(key, figures))
    }


def case_text(case: Case) -> str:
    """Write a case in a line: `brokers 3, acks all`."""
    return ", ".join(f"{key.replace('_', ' ')} {value}" for key, value in case.items())
