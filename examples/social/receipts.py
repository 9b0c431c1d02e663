"""The proof that nothing was lost: what was acknowledged, held against what was seen.

The producer numbers its events from 1 in each of its runs, `RUN:NUMBER`, so both sides are sets of
numbers, and stay small however long this goes on.
Must never know: records, topics.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from .ranges import Ranges


@dataclass(slots=True)
class Seen:
    """The numbers that were seen in one run, and how often one was seen again."""

    numbers: Ranges = field(default_factory=Ranges)
    twice: int = 0

    def note(self, number: int) -> None:
        """Note an event."""
        if not self.numbers.add(number):
            self.twice += 1

    def plain(self) -> dict[str, Any]:
        """Give the fields of a receipt, but for the run."""
        ranges = [{"first": first, "last": last} for first, last in self.numbers]
        return {"ranges": ranges, "twice": self.twice}

    @classmethod
    def of(cls, fields: dict[str, Any]) -> Seen:
        """Read a receipt."""
        ranges = ((each["first"], each["last"]) for each in fields["ranges"])
        return cls(Ranges(ranges), fields["twice"])


@dataclass(frozen=True, slots=True)
class Verdict:
    """How it stands. `waiting` events are acknowledged and not seen yet, the first for so long."""

    acknowledged: int
    seen: int
    waiting: int
    waiting_s: float
    twice: int


class Acknowledged:
    """What brokers have acknowledged to the producer, in all of its runs."""

    def __init__(self, runs: dict[str, Ranges] | None = None, *, now: float) -> None:
        """Take up what was acknowledged in earlier runs; `now` in seconds of any clock."""
        self._runs = runs or {}
        self._waiting: dict[tuple[str, int], float] = {}
        self._since = now

    def note(self, run: str, number: int, *, now: float) -> None:
        """Note an acknowledgement."""
        self._runs.setdefault(run, Ranges()).add(number)
        self._waiting[run, number] = now

    def verdict(self, seen: dict[str, Seen], *, now: float) -> Verdict:
        """Hold it against what was seen."""
        nothing = Seen()
        self._waiting = {
            (run, number): since
            for (run, number), since in self._waiting.items()
            if number not in seen.get(run, nothing).numbers
        }
        acknowledged = sum(len(numbers) for numbers in self._runs.values())
        arrived = sum(
            numbers.common(seen.get(run, nothing).numbers) for run, numbers in self._runs.items()
        )
        waiting = acknowledged - arrived
        # What waits since before this process began is not in `_waiting`.
        oldest = min(self._waiting.values(), default=now)
        if waiting > len(self._waiting):
            oldest = self._since
        return Verdict(
            acknowledged=acknowledged,
            seen=arrived,
            waiting=waiting,
            waiting_s=max(0.0, now - oldest) if waiting else 0.0,
            twice=sum(each.twice for each in seen.values()),
        )

    def plain(self) -> dict[str, Any]:
        """Give what `of` takes."""
        return {run: [list(each) for each in numbers] for run, numbers in self._runs.items()}

    @classmethod
    def of(cls, plain: dict[str, Any], *, now: float) -> Acknowledged:
        """Take up what `plain` gave."""
        return cls({run: Ranges(ranges) for run, ranges in plain.items()}, now=now)


def run_and_number(event_id: str) -> tuple[str, int] | None:
    """Take an event's id apart; None where it is not of our producer."""
    run, colon, number = event_id.partition(":")
    if not run or not colon or not number.isascii() or not number.isdecimal() or len(number) > 18:
        return None
    return run, int(number)
