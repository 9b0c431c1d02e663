"""Waiting for the answer of a leader that may not be the leader any more.

A paused or cut-off broker keeps its connections and says nothing. As soon as the rest of the
cluster has elected another leader there is no point in waiting for it.
Must never know: what was asked.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import trio

from client.errors import RequestTimedOut

if TYPE_CHECKING:
    from collections.abc import Callable

    from client.cluster import Cluster
    from client.connection import Connection, Exchange

STALL_CHECK_S: Final = 0.5
"""How often an overdue answer makes us look whether another broker leads by now."""


async def await_answer(
    cluster: Cluster,
    connection: Connection,
    exchange: Exchange,
    *,
    expected_s: float,
    deadline: float,
    moved: Callable[[], bool],
) -> Any:
    """Wait for a response; give up once it is overdue and `moved()`, or at the deadline.

    It is overdue `expected_s` seconds after now; the deadline is on trio's clock. The connection is
    closed when we give up. Raises: ConnectionBroken, RequestTimedOut.
    """
    exchange.awaited_until = deadline
    with trio.move_on_at(deadline):
        with trio.move_on_after(expected_s):
            return await exchange.wait()
        while not moved():
            cluster.refresh_soon()
            with trio.move_on_after(STALL_CHECK_S):
                return await exchange.wait()
    error = RequestTimedOut(
        f"{connection.address} did not answer {exchange.api.name} within "
        f"{trio.current_time() - exchange.started_at:.1f} s"
    )
    connection.close(error)
    raise error
