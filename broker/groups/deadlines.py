"""Waking things at their deadlines, of which most only ever move later.

A deadline that has moved later is looked at again when the old one has come: so hearing of a member
costs nothing here. Must never know: what is due.
"""

from __future__ import annotations

from heapq import heapify, heappop, heappush
from typing import TYPE_CHECKING, Final, Generic, Protocol, TypeVar

import trio

if TYPE_CHECKING:
    from collections.abc import Callable


PLANS_PASSED_OVER_MAX: Final = 1_000
"""How many deadlines that are none any more may lie around before they are cleared away."""


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
            for thing in self._take_due(now=trio.current_time()):
                # What is done for one may have made another be forgotten.
                if thing in self._planned:
                    self._wake(thing)

    def _take_due(self, *, now: float) -> list[T]:
        due = []
        while self._heap and self._heap[0][0] <= now:
            planned, _, thing = heappop(self._heap)
            if self._planned.get(thing) == planned:
                due.append(thing)
        return due

    def _wake(self, thing: T) -> None:
        if thing.deadline <= trio.current_time():
            self._due(thing)
        if self._planned.pop(thing, None) is not None:
            self.update(thing)

    def _plan(self, thing: T, deadline: float) -> None:
        self._planned[thing] = deadline
        self._count += 1
        heappush(self._heap, (deadline, self._count, thing))
        if len(self._heap) > 2 * len(self._planned) + PLANS_PASSED_OVER_MAX:
            current = self._planned.items()
            self._heap = [(at, order, each) for order, (each, at) in enumerate(current)]
            heapify(self._heap)
            self._count = len(self._heap)
