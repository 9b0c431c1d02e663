"""A session whose answers get lost, and whose writes arrive long after they were given up."""

from __future__ import annotations

from typing import TYPE_CHECKING

import trio

from coordinator.store import ConnectionLost
from protocol.errors import CoordinationError

if TYPE_CHECKING:
    import random
    from collections.abc import Awaitable, Callable

    from coordinator.store import Store


class FaultyStore:
    """A store that loses answers by its `rng`, with probability `losing`, or when told to.

    A write without an answer was done, or is never done, or is done after up to `delay_s` seconds.
    """

    def __init__(
        self,
        store: Store,
        nursery: trio.Nursery,
        *,
        rng: random.Random,
        losing: float = 0.0,
        delay_s: float = 5.0,
    ) -> None:
        self._store = store
        self._nursery = nursery
        self._rng = rng
        self.losing = losing
        self.delay_s = delay_s
        self.multis: list[int] = []
        """How many operations each multi had that was asked for."""

    def __getattr__(self, name: str):
        return getattr(self._store, name)

    async def get(self, path: str, **options):
        if self._rng.random() < self.losing:
            await trio.lowlevel.checkpoint()
            raise ConnectionLost("the answer was lost")
        return await self._store.get(path, **options)

    async def set(self, path: str, value: bytes, **options):
        return await self._write(lambda: self._store.set(path, value, **options))

    async def multi(self, operations):
        self.multis.append(len(operations))
        return await self._write(lambda: self._store.multi(operations))

    async def _write(self, write: Callable[[], Awaitable[object]]):
        if self._rng.random() >= self.losing:
            return await write()
        fate = self._rng.choice(["done", "never", "later"])
        if fate == "done":
            await write()
        elif fate == "later":
            self._nursery.start_soon(self._write_later, write, self._rng.random() * self.delay_s)
        await trio.lowlevel.checkpoint()
        raise ConnectionLost("the answer was lost")

    async def _write_later(self, write: Callable[[], Awaitable[object]], delay_s: float) -> None:
        await trio.sleep(delay_s)
        try:
            await write()
        except CoordinationError:
            return  # whatever becomes of it, nobody is there to hear of it
