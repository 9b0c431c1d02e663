"""A bounded number of places whose bound may change. Must never know: what takes them."""

from __future__ import annotations

import trio


class Places:
    """Places to take and give back; those taken beyond a lowered bound are kept until given back.

    `bound` is at least 1.
    """

    def __init__(self, bound: int) -> None:
        self._bound = bound
        self._taken = 0
        self._changed = trio.Event()

    async def take(self) -> None:
        """Take a place, once there is one."""
        while self._taken >= self._bound:
            await self._changed.wait()
        self._taken += 1

    def give_back(self) -> None:
        """Give a place back."""
        assert self._taken > 0, "more places are given back than were taken"
        self._taken -= 1
        self._wake()

    def resize(self, bound: int) -> None:
        """Have another number of places from now on."""
        if bound != self._bound:
            self._bound = bound
            self._wake()

    def _wake(self) -> None:
        changed, self._changed = self._changed, trio.Event()
        changed.set()
