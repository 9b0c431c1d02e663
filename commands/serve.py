"""A server's process: its log, its run until it is signalled, its stop in order.

Must never know: what is served.
"""

from __future__ import annotations

import gc
import logging
import os
import resource
import signal
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Final

import structlog
import trio

from protocol.errors import OttlaError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

log_events = structlog.get_logger()

STOP_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT)
OPEN_FILES_WANTED: Final = 65_536
GC_YOUNG_OBJECTS: Final = 20_000
"""Allocations between collections of the youngest generation; Python's 700 suits scripts."""


def configure_logs() -> None:
    """Have logs go to stderr, one line of key=value pairs for each event."""
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso"),
            structlog.processors.format_exc_info,
            structlog.processors.LogfmtRenderer(key_order=["timestamp", "level", "event"]),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=lambda *_names: _LogLines(),
    )


class _LogLines:
    """Writes lines to stderr, and drops those that cannot be written.

    A log on a full disk, or whose reader has gone, is no reason to end.
    """

    def msg(self, message: str) -> None:
        """Write a line."""
        if sys.__stderr__ is None:
            return  # it was closed from the start: its number may be another file's by now
        line = f"{message}\n".encode(errors="backslashreplace")
        with suppress(OSError):
            while line:  # straight to the file: what a buffer cannot write it would keep
                line = line[os.write(sys.__stderr__.fileno(), line) :]

    debug = info = warning = error = exception = critical = msg


def serve(run: Callable[[], Awaitable[None]], stop: Callable[[], None] | None = None) -> None:
    """Run until the first SIGTERM or SIGINT has it stop; the second ends it at once.

    Without `stop` the first one cancels it. Raises: OttlaError, OSError.
    """
    raise_limit_of_open_files()
    gc.set_threshold(GC_YOUNG_OBJECTS, 20, 50)
    trio.run(_run_until_signalled, run, stop)


async def _run_until_signalled(
    run: Callable[[], Awaitable[None]], stop: Callable[[], None] | None
) -> None:
    with trio.open_signal_receiver(*STOP_SIGNALS) as signals:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_stop_on_signals, signals, stop, nursery.cancel_scope)
            try:
                await run()
            except* OttlaError as group:
                raise _first(group) from group
            except* OSError as group:
                raise _first(group) from group
            nursery.cancel_scope.cancel()


async def _stop_on_signals(
    signals: AsyncIterator[int], stop: Callable[[], None] | None, scope: trio.CancelScope
) -> None:
    async for number in signals:
        log_events.info("stopping", signal=signal.Signals(number).name)
        if stop is None:
            scope.cancel()
        else:
            stop()
            stop = None


def _first(error: BaseException) -> BaseException:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


def raise_limit_of_open_files() -> int:
    """Have as many files open at a time as the system allows, up to what is wanted.

    Returns: how many those are now, sockets among them.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = min(OPEN_FILES_WANTED, hard) if hard != resource.RLIM_INFINITY else OPEN_FILES_WANTED
    if soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    return max(soft, wanted)
