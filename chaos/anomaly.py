"""What a judgement is made of, and how thousands of one kind are told.

Must never know: what is an anomaly, and why.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Final

from msgspec import Struct

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

SHOWN_OF_A_KIND: Final = 20
"""Anomalies of one kind and partition that are described; the others are counted."""


class Anomaly(Struct, frozen=True):
    """Something that must not happen: where, and the operations, offsets and epochs involved."""

    name: str
    place: str
    facts: str

    def __str__(self) -> str:
        return f"{self.name} in {self.place}: {self.facts}"


def bounded(found: Iterable[Anomaly]) -> Iterator[Anomaly]:
    """Describe the first of a kind, and count the others."""
    counts: dict[str, int] = defaultdict(int)
    place = ""
    for anomaly in found:
        place = anomaly.place
        counts[anomaly.name] += 1
        if counts[anomaly.name] <= SHOWN_OF_A_KIND:
            yield anomaly
    for name, count in counts.items():
        if count > SHOWN_OF_A_KIND:
            yield Anomaly(name, place, f"and {count - SHOWN_OF_A_KIND} more")
