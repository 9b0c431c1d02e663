"""Runs a command that talks to a cluster: what to do where none can be reached, how it is ended.

Must never know: any particular command.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

import trio

from client.errors import ConnectionBroken, NoBrokerReachable, WaitTimedOut
from commands.failure import CommandFailed, ExitStatus

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

T = TypeVar("T")


def run_client(main: Callable[[], Awaitable[T]]) -> T:
    """Run an async function to its end. Raises: what it raises, CommandFailed (NOT_RUNNING)."""
    try:
        return trio.run(main)
    except NoBrokerReachable as error:
        raise CommandFailed(
            f"no broker answers: {', '.join(dict.fromkeys(map(str, error.causes)))}",
            next_step="start a cluster with 'ottla up', or name another with --bootstrap",
            exit_status=ExitStatus.NOT_RUNNING,
        ) from error
    except WaitTimedOut as error:
        raise CommandFailed(
            str(error), next_step="see what is wrong with 'ottla status'"
        ) from error
    except ConnectionBroken as error:
        raise CommandFailed(
            str(error), next_step="see which brokers live with 'ottla cluster describe'"
        ) from error


async def interrupt_when_told(signals: AsyncIterator[int]) -> None:
    """Wait for a signal, then end everything around as Ctrl-C does.

    Whoever runs this opens `trio.open_signal_receiver` first, before anything else is begun: what
    arrives earlier is raised wherever the event loop happens to be, and may be lost there.
    Raises: KeyboardInterrupt.
    """
    async for _ in signals:
        raise KeyboardInterrupt
