"""Group commit: one task that makes everything appended meanwhile durable in one hop to the disk.

Must never know: partitions' roles, requests, what is in a log.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Final, NoReturn, Protocol

import structlog
import trio

from protocol.errors import StorageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from broker.log.disk import Disk
    from broker.log.log import Log
    from broker.log.storage import FlushTicket

_events = structlog.get_logger()

QUIET_PASSES: Final = 2
PASSES_MAX: Final = 16
"""How many passes of the event loop a sync is put off for: without any append, and in all."""


class FlushTarget(Protocol):
    """Whoever owns a log and wants to hear when it has become durable."""

    @property
    def log(self) -> Log:
        """The log to flush."""

    def flushed(self) -> None:
        """Take note that `log.durable_end_offset` may have moved."""


class Flusher:
    """Collects logs with unsynced appends and syncs them together, one sync at a time.

    What is scheduled while a sync is under way goes into the next one. Where a log was appended to
    more than once for one sync the next waits until the event loop has nothing more to append at
    once: a quarter of the CPU of a busy producer. Who writes a little at a time waits for nobody.
    """

    def __init__(self, disk: Disk) -> None:
        self._disk = disk
        self._dirty: dict[FlushTarget, None] = {}
        self._scheduled = 0
        self._wake = trio.Event()

    def schedule(self, target: FlushTarget) -> None:
        """Ask for the target's log to be flushed soon. Never waits; asking twice is one flush."""
        self._dirty[target] = None
        self._scheduled += 1
        self._wake.set()

    async def run(self) -> NoReturn:
        """Flush for ever, as soon as anything is scheduled."""
        shared = False
        while True:
            await self._wake.wait()
            if shared:
                await self._let_more_come()
            self._wake = trio.Event()
            targets, self._dirty = list(self._dirty), {}
            shared, self._scheduled = self._scheduled > len(targets), 0
            await self.flush(targets)

    async def _let_more_come(self) -> None:
        """Give those who are about to append a few passes of the event loop."""
        quiet = 0
        for _ in range(PASSES_MAX):
            known = self._scheduled
            await trio.lowlevel.checkpoint()
            quiet = quiet + 1 if self._scheduled == known else 0
            if quiet == QUIET_PASSES:
                return

    async def flush(self, targets: Sequence[FlushTarget]) -> None:
        """Make the logs of `targets` durable together; a failure fails each of them."""
        tickets: list[tuple[FlushTarget, FlushTicket]] = []
        for target in targets:
            with suppress(StorageError):  # that log has failed, and whoever owns it was told
                tickets.append((target, target.log.begin_flush()))
        files = [file for _, ticket in tickets for file in ticket.files]
        directories = [path for _, ticket in tickets for path in ticket.directories]
        try:
            if files or directories:
                await self._disk.sync(files, list(dict.fromkeys(directories)))
        except StorageError as error:
            # After a failed fsync the kernel may have dropped the bytes: asking again would lie.
            _events.error("flush_failed", logs=len(tickets), error=str(error))
            for target, _ in tickets:
                target.log.fail(error)
        else:
            for target, ticket in tickets:
                target.log.end_flush(ticket)
                target.flushed()
