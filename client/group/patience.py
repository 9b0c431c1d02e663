"""How long a consumer that leaves its group tries to be heard.

As long as any broker answers, the one that keeps the group may yet be found; when none does, there
is nothing to wait for.
Must never know: what is to be said.
"""

from __future__ import annotations

import logging
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final

import trio

from client.background import background_tasks
from client.errors import NoBrokerReachable

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from client.cluster import Cluster

_log = logging.getLogger(__name__)

LEAVE_TIMEOUT_S: Final = 5.0
"""How long the last commit and the farewell may take, each; then the session's end must do."""

LISTEN_AFTER_S: Final = 0.5
"""After so long it is asked, again and again, whether there is any broker."""

SILENCE_S: Final = 2.0
"""How long brokers that are connected may say nothing before there is none."""


class Patience:
    """The patience of one consumer that leaves; it does not come back once no broker answers."""

    def __init__(self, cluster: Cluster, group_id: str) -> None:
        self._cluster = cluster
        self._group_id = group_id
        self._is_over = False

    @asynccontextmanager
    async def trying(self, what: str, *, otherwise: str) -> AsyncIterator[None]:
        """Bound the body; where it is given up, warn of `what` was tried and comes `otherwise`."""
        was_over, begun_at = self._is_over, trio.current_time()
        with trio.move_on_after(0 if was_over else LEAVE_TIMEOUT_S) as scope:
            async with background_tasks() as nursery:
                nursery.start_soon(self._listen, scope)
                yield
        if scope.cancelled_caught and not was_over:
            _log.warning(
                "%s group %r was given up after %.1f s, %s: %s",
                what,
                self._group_id,
                trio.current_time() - begun_at,
                "no broker answers" if self._is_over else "its broker does not answer",
                otherwise,
            )

    async def _listen(self, scope: trio.CancelScope) -> None:
        while not self._is_over:
            await trio.sleep(LISTEN_AFTER_S)
            answered = False
            with trio.move_on_after(SILENCE_S):
                answered = await self._is_answered()
            if not answered:
                self._is_over = True
                scope.cancel()

    async def _is_answered(self) -> bool:
        try:
            await self._cluster.fetch_metadata(())
        except NoBrokerReachable as error:
            self._cluster.last_error = error
            return False
        return True
