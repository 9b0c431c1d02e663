"""Connections to the brokers, opened when first asked for, shared, and replaced once broken.

A broker answers the requests of one connection in order. What may wait long (a long poll, a produce
that waits for replicas, a JoinGroup that waits for members) therefore travels in a lane of its own
and never delays the rest.
Must never know: metadata, what is asked of the brokers.
"""

from __future__ import annotations

from collections import defaultdict
from enum import Enum
from typing import TYPE_CHECKING

import trio

from client.connection import CONNECT_TIMEOUT_S, Connection, connect
from client.errors import ConnectFailed

if TYPE_CHECKING:
    from client.environment import Network
    from client.metadata import Address


class Lane(Enum):
    """What a connection is for."""

    CONTROL = "control"
    PRODUCE = "produce"
    FETCH = "fetch"
    GROUP = "group"


class ConnectionPool:
    """One connection per broker and lane; they run in the nursery that it is given."""

    def __init__(
        self, network: Network, nursery: trio.Nursery, *, client_id: str, frame_bytes_max: int
    ) -> None:
        self._network = network
        self._nursery = nursery
        self._client_id = client_id
        self._frame_bytes_max = frame_bytes_max
        self._open: dict[tuple[Address, Lane], Connection] = {}
        self._connecting: defaultdict[tuple[Address, Lane], trio.Lock] = defaultdict(trio.Lock)

    def get_nowait(self, address: Address, lane: Lane) -> Connection | None:
        """Return the connection where one is open."""
        connection = self._open.get((address, lane))
        return connection if connection is not None and connection.broken is None else None

    async def get(self, address: Address, lane: Lane) -> Connection:
        """Return the open connection, or open one; callers at the same time share it.

        Raises: ConnectFailed, ConnectionBroken.
        """
        connection = self.get_nowait(address, lane)
        if connection is not None:
            return connection
        async with self._connecting[address, lane]:
            connection = self.get_nowait(address, lane)
            if connection is None:
                connection = await self._connect(address)
                self._open[address, lane] = connection
                self._nursery.start_soon(self._run, connection, (address, lane))
            return connection

    def is_stalled(self, address: Address, *, longer_than_s: float) -> bool:
        """Say whether a broker owes an answer for longer than that, on any lane."""
        return any(
            connection.stalled_s > longer_than_s
            for lane in Lane
            if (connection := self.get_nowait(address, lane)) is not None
        )

    async def _connect(self, address: Address) -> Connection:
        with trio.move_on_after(CONNECT_TIMEOUT_S):
            return await connect(
                self._network,
                address.host,
                address.port,
                client_id=self._client_id,
                frame_bytes_max=self._frame_bytes_max,
            )
        raise ConnectFailed(str(address), f"no answer within {CONNECT_TIMEOUT_S:g} s")

    async def _run(self, connection: Connection, place: tuple[Address, Lane]) -> None:
        try:
            await connection.run()
        finally:
            if self._open.get(place) is connection:
                del self._open[place]
