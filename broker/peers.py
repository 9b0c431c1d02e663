"""Talking to other brokers: where they are, and one connection for each need.

Connections between brokers know their versions: both ends run this code, nothing is negotiated.
Must never know: what is said, partitions, the store.
"""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from broker.errors import PeerUnknown
from client.connection import open_connection
from client.errors import ConnectionBroken

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    import trio

    from broker.view import ClusterView
    from client.connection import Connection
    from client.environment import Network
    from coordinator.cluster import Endpoint

CONTROL_TIMEOUT_S = 10.0


class Peers:
    """Opens connections to the other brokers of the cluster."""

    def __init__(self, *, network: Network, view: ClusterView, client_id: str) -> None:
        self._network = network
        self._view = view
        self._client_id = client_id

    def endpoint(self, broker_id: int) -> Endpoint:
        """Look up where a broker listens for its peers. Raises: PeerUnknown."""
        registration = self._view.latest.brokers.get(broker_id)
        if registration is None:
            raise PeerUnknown(f"broker {broker_id} is not registered with the coordinator")
        return registration.endpoints[0]

    def bootstrap(self) -> str:
        """Name the addresses of all live brokers, as a client of the cluster is given them."""
        brokers = self._view.latest.brokers.values()
        return ",".join(f"{b.endpoints[0].host}:{b.endpoints[0].port}" for b in brokers)

    async def open_stream(self, broker_id: int) -> trio.abc.Stream:
        """Connect without saying anything. Raises: PeerUnknown, OSError."""
        endpoint = self.endpoint(broker_id)
        return await self._network.connect(endpoint.host, endpoint.port)

    @asynccontextmanager
    async def connect(self, broker_id: int) -> AsyncIterator[Connection]:
        """Open a connection for as long as the context lasts.

        Raises: PeerUnknown, OSError, ConnectionBroken.
        """
        endpoint = self.endpoint(broker_id)
        try:
            async with open_connection(
                self._network,
                endpoint.host,
                endpoint.port,
                client_id=self._client_id,
                negotiate=False,
            ) as connection:
                self._view.trust(broker_id)
                yield connection
        except ConnectionBroken:
            self._view.suspect(broker_id)
            raise

    async def call(self, broker_id: int, request: Any, *, version: int) -> Any:
        """Send one request on a connection of its own and await the answer.

        Control requests are rare: a connection each keeps them from waiting for one another.
        Raises: PeerUnknown, OSError, ConnectionBroken.
        """
        async with self.connect(broker_id) as connection:
            return await connection.call(request, version=version, timeout_s=CONTROL_TIMEOUT_S)

    async def call_controller(self, request: Any, *, version: int) -> Any:
        """Send one request to the broker that is the controller now. Raises: as `call`."""
        return await self.call(self._view.latest.controller_id, request, version=version)
