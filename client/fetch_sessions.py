"""The fetch sessions of one consumer, one with each broker that it fetches from, and their end.

Must never know: what is fetched, what comes back.
Source: KIP-227.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import trio

from client.errors import ConnectionBroken, UnsupportedApi
from client.fetch_session import FetchSessionHandler

if TYPE_CHECKING:
    from client.cluster import Cluster

END_TIMEOUT_S: Final = 0.5
"""How long a broker may take to end a session; it forgets one that is not used, only later."""


class FetchSessions:
    """Sessions by broker id."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._by_broker: dict[int, FetchSessionHandler] = {}

    def begin(self, broker_id: int) -> FetchSessionHandler:
        """Begin a session with a broker in place of the one before."""
        session = self._by_broker[broker_id] = FetchSessionHandler()
        return session

    async def end(self, broker_id: int) -> None:
        """Have a broker free the place of our session, if there is one.

        It is told on the control lane, where no long poll is in the way.
        """
        session = self._by_broker.pop(broker_id, None)
        request = session.end() if session is not None else None
        if request is None:
            return
        with trio.move_on_after(END_TIMEOUT_S):
            try:
                connection = await self._cluster.connection_to(broker_id)
                await connection.start(request).wait()
            except (ConnectionBroken, UnsupportedApi) as error:
                self._cluster.last_error = error

    async def end_all(self) -> None:
        """End all sessions at the same time."""
        async with trio.open_nursery() as nursery:
            for broker_id in self._by_broker:
                nursery.start_soon(self.end, broker_id)
