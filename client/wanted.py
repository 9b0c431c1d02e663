"""Which topics a client wants to hear of, and which of them are to be created where unknown.

Must never know: connections, requests, what is known of topics, time (it is told).
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable


class WantedTopics:
    """The topics of each refresh: those in use, and those that are followed, or all."""

    def __init__(self) -> None:
        self.in_use: dict[str, None] = {}
        self._followed: frozenset[str] | None = frozenset()
        self._needed: set[str] = set()
        self._created_at: dict[str, float] = {}

    def follow(self, topics: Iterable[str] | None) -> None:
        """Want these as well, in place of those followed before; None stands for all there are."""
        self._followed = None if topics is None else frozenset(topics)

    def names(self) -> list[str] | None:
        """List what a refresh asks for, sorted; None stands for all there are."""
        return None if self._followed is None else sorted(self._followed | {*self.in_use})

    def need(self, topic: str) -> None:
        """Have a topic created where it is unknown."""
        self._needed.add(topic)

    def take_needed(self) -> list[str]:
        """List what has been needed since this was last asked, sorted."""
        needed, self._needed = self._needed, set()
        return sorted(needed)

    def note_created(self, topics: Iterable[str], *, now: float) -> None:
        """Note that brokers were asked to create topics; the first time counts."""
        for topic in topics:
            self._created_at.setdefault(topic, now)

    def forget_created(self, is_over: Callable[[str], bool]) -> None:
        """Count the creation of topics as over: they are known now, or given up."""
        for topic in [topic for topic in self._created_at if is_over(topic)]:
            del self._created_at[topic]

    def created_at(self, topic: str) -> float:
        """Return when brokers had first been asked to create it; long ago if never."""
        return self._created_at.get(topic, -math.inf)
