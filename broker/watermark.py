"""An offset that tasks can wait for. Must never know: whose offset it is."""

from __future__ import annotations

import heapq
from itertools import count
from typing import TYPE_CHECKING

import trio

if TYPE_CHECKING:
    from protocol.errors import OttlaError


class _Waiter:
    __slots__ = ("error", "event", "offset", "order")

    def __init__(self, offset: int, order: int) -> None:
        self.offset = offset
        self.order = order
        self.event = trio.Event()
        self.error: OttlaError | None = None

    def __lt__(self, other: _Waiter) -> bool:
        return (self.offset, self.order) < (other.offset, other.order)


class Watermark:
    """A growing offset; wakes only those who wait for what was reached."""

    __slots__ = ("_order", "_waiters", "value")

    def __init__(self, value: int = 0) -> None:
        self.value = value
        self._waiters: list[_Waiter] = []
        self._order = count()

    def advance(self, offset: int) -> bool:
        """Raise the value to `offset` and wake who waited for it; a lower offset changes nothing.

        Returns: whether it grew.
        """
        if offset <= self.value:
            return False
        self.value = offset
        while self._waiters and self._waiters[0].offset <= offset:
            heapq.heappop(self._waiters).event.set()
        return True

    def reset(self, offset: int) -> None:
        """Set the value outright, down as well (truncation). Nobody is woken."""
        self.value = offset

    def abort(self, error: OttlaError) -> None:
        """Wake every waiter with `error`: what they wait for will not come."""
        waiters, self._waiters = self._waiters, []
        for waiter in waiters:
            waiter.error = error
            waiter.event.set()

    async def wait_reached(self, offset: int) -> None:
        """Return once the value is at least `offset`. Raises: what `abort` is given."""
        if self.value >= offset:
            return
        waiter = _Waiter(offset, next(self._order))
        heapq.heappush(self._waiters, waiter)
        try:
            await waiter.event.wait()
        except trio.Cancelled:
            if not waiter.event.is_set():
                self._waiters.remove(waiter)
                heapq.heapify(self._waiters)
            raise
        if waiter.error is not None:
            raise waiter.error
