"""Waking things at their deadlines, of which most only ever move later.

A deadline that has moved later is looked at again when the old one has come: so hearing of a member
costs nothing here. Must never know: what is due.
"""

from __future__ import annotations

from heapq import heappop, heappush
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

import trio

if TYPE_CHECKING:
    from collections.abc import Callable


class Timed(Protocol):
    """Something with a deadline, in seconds of the monotonic clock."""

    @property
    def deadline(self) -> float:
        """When it is due, as far as known now."""


T = TypeVar("T", bound=Timed)


class Deadlines(Generic[T]):
    """Calls `due` for each thing once its deadline has passed."""

    def __init__(self, due: Callable[[T], None]) -> None:
        self._due = due
        self._heap: list[tuple[float, int, T]] = []
        self._planned: dict[T, float] = {}
        self._count = 0
        self._sooner = trio.Event()

    def update(self, thing: T) -> None:
        """Take note that a deadline may be another one now."""
        deadline = thing.deadline
        if deadline < self._planned.get(thing, float("inf")):
            self._plan(thing, deadline)
            self._sooner.set()

    def forget(self, thing: T) -> None:
        """Wake this one no more."""
        self._planned.pop(thing, None)

    async def run(self) -> None:
        """Wake what is due, for ever."""
        while True:
            self._sooner = trio.Event()
            next_at = self._heap[0][0] if self._heap else float("inf")
            with trio.move_on_at(next_at):
                await self._sooner.wait()
            self._wake(now=trio.current_time())

    def _wake(self, *, now: float) -> None:
        while self._heap and self._heap[0][0] <= now:
            planned, _, thing = heappop(self._heap)
            if self._planned.get(thing) != planned:
                continue
            del self._planned[thing]
            if thing.deadline <= now:
                self._due(thing)
            self.update(thing)

    def _plan(self, thing: T, deadline: float) -> None:
        self._planned[thing] = deadline
        self._count += 1
        heappush(self._heap, (deadline, self._count, thing))
