"""Doing things again after a broken connection, when that is harmless.

Must never know: what is done.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TypeVar

import trio

from coordinator.store import ConnectionLost

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

PAUSE_FIRST_S: Final = 0.02
PAUSE_MAX_S: Final = 0.5

Result = TypeVar("Result")


async def until_answered(act: Callable[[], Awaitable[Result]]) -> Result:
    """Do something until its outcome is known; it must be harmless when done twice.

    Raises: SessionLost, at the latest when the session has run out; whatever else `act` raises.
    """
    pause_s = PAUSE_FIRST_S
    while True:
        try:
            return await act()
        except ConnectionLost:
            await trio.sleep(pause_s)
            pause_s = min(2 * pause_s, PAUSE_MAX_S)
