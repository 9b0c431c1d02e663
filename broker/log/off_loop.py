"""Work that blocks, on another thread: trio.to_thread.run_sync without what a sync does not need.

A broker that is asked for one small record at a time syncs for each. To wait for a free place among
forty, to name the thread, to carry context variables along and to be told by way of trio's own task
took three passes of the event loop and some 100 µs of CPU each time.
Must never know: disks, files.
"""

from __future__ import annotations

import os
import weakref
from typing import TYPE_CHECKING, TypeVar, cast

import trio

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

T = TypeVar("T")


class OffLoop:
    """Runs work on threads that are kept for such work."""

    def __init__(self) -> None:
        self._idle: list[_Bell] = []

    async def run(self, work: Callable[[], T]) -> T:
        """Run `work` and wait for it to its end, also where the task is cancelled meanwhile.

        Then, too, the result is given, or what the work raised: whoever called must hear of it, and
        meets the cancellation at its next checkpoint. A task that is cancelled already does not
        begin the work. Raises: what the work raises, OSError where there is no pipe to be had.
        """
        await trio.lowlevel.checkpoint_if_cancelled()
        bell = self._idle.pop() if self._idle else _Bell()
        results: list[Any] = []

        def deliver(result: Any) -> None:
            results.append(result)
            bell.ring()

        trio.lowlevel.start_thread_soon(work, deliver)
        try:
            await bell.wait()
        except trio.Cancelled:
            with trio.CancelScope(shield=True):
                await bell.wait()
        self._idle.append(bell)  # one that was not heard, whatever ended that, is of no more use
        return cast("T", results[0].unwrap())


class _Bell:
    """Wakes one task from another thread."""

    def __init__(self) -> None:
        self._heard, self._rung = os.pipe()
        for end in (self._heard, self._rung):
            os.set_blocking(end, False)
            weakref.finalize(self, os.close, end).atexit = False

    def ring(self) -> None:
        os.write(self._rung, b"!")  # noqa: TID251 - not to a disk

    async def wait(self) -> None:
        """Return once it was rung."""
        await trio.lowlevel.wait_readable(self._heard)
        os.read(self._heard, 1)
