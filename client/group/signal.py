"""Waiting for a condition to hold.

Must never know: which conditions there are.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import trio

if TYPE_CHECKING:
    from collections.abc import Callable


class Signal:
    """Has conditions looked at again whenever something has changed; `also` is called then, too."""

    def __init__(self, also: Callable[[], object]) -> None:
        self._also = also
        self._waiting = trio.lowlevel.ParkingLot()

    def notify(self) -> None:
        """Say that something has changed."""
        self._waiting.unpark_all()
        self._also()

    async def until(self, condition: Callable[[], object]) -> None:
        """Wait until a condition holds; at once where it does."""
        while not condition():
            await self._waiting.park()
