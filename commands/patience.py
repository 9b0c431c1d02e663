"""How long a command waits for what it needs before it can begin: within limits, not in silence.

Must never know: what is waited for, any particular command.
"""

from __future__ import annotations

import math
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final

import click
import trio

from client.background import background_tasks
from commands.failure import CommandFailed

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

NOTICE_S: Final = 10.0
"""After so long it is said what is waited for."""
NEXT_STEP: Final = "see what is wrong with 'ottla status'"


class Patience:
    """What a command lacks before it can begin; it waits for that since it was made.

    `limit_s` is how long at most, None for ever; `lacking` is a clause for people.
    """

    def __init__(self, limit_s: float | None) -> None:
        self.since = trio.current_time()
        self.lacking = "no broker answers"
        self._limit_s = limit_s
        self._begun = trio.Event()
        self._scope = trio.CancelScope(deadline=self.since + (limit_s or math.inf))

    @property
    def has_begun(self) -> bool:
        """Say whether nothing is lacking."""
        return self._begun.is_set()

    def begin(self) -> None:
        """Note that nothing is lacking: what is done from now on has no limit here."""
        self._begun.set()
        self._scope.deadline = math.inf

    @asynccontextmanager
    async def bounding(self) -> AsyncIterator[None]:
        """Give up what is done in this `with` if it has not begun in time.

        Says once on stderr what is lacking where that takes long. Raises: CommandFailed.
        """
        with self._scope:
            async with background_tasks() as nursery:
                nursery.start_soon(self._tell_when_late)
                yield
        if self._scope.cancelled_caught:
            raise CommandFailed(
                f"nothing could be read within {self._limit_s:g} s: {self.lacking}",
                next_step=NEXT_STEP,
            )

    async def _tell_when_late(self) -> None:
        with trio.move_on_after(NOTICE_S):
            await self._begun.wait()
            return
        click.echo(f"nothing for {NOTICE_S:g} s: {self.lacking}; {NEXT_STEP}", err=True)
