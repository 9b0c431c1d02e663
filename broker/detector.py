"""Seeing at once that a peer's process has died, without waiting for its session to expire.

A silent connection to the peer is kept. When it breaks and a new one is refused, nobody listens
there any more: that incarnation is removed from the coordinator. Being wrong costs an election,
never a record: fencing is by epoch. The controller watches everybody, everybody the controller.
Must never know: partitions, how registrations are stored.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import structlog
import trio

from broker.errors import PeerUnknown

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from coordinator.cluster import BrokerRegistration, ClusterState

log_events = structlog.get_logger()

RECONNECT_PAUSE_S = 0.01
RECONNECT_PAUSE_MAX_S = 1.0
CONNECT_TIMEOUT_S = 3.0


def peers_to_watch(cluster: ClusterState, broker_id: int) -> dict[int, BrokerRegistration]:
    """Choose whom a broker watches: the controller everybody else, the others the controller."""
    if cluster.controller_id == broker_id:
        return {i: r for i, r in cluster.brokers.items() if i != broker_id}
    controller = cluster.brokers.get(cluster.controller_id)
    return {} if controller is None else {controller.broker_id: controller}


class FailureDetector:
    """Watches peers by connections and reports the dead."""

    def __init__(
        self,
        broker_id: int,
        *,
        open_stream: Callable[[int], Awaitable[trio.abc.Stream]],
        remove_dead: Callable[[BrokerRegistration], Awaitable[bool]],
    ) -> None:
        self._broker_id = broker_id
        self._open_stream = open_stream
        self._remove_dead = remove_dead
        self._watched: dict[int, tuple[int, trio.CancelScope]] = {}

    async def run(
        self,
        cluster: ClusterState,
        wait_changed: Callable[[ClusterState], Awaitable[ClusterState]],
    ) -> None:
        """Follow the cluster and keep one watch on each peer that is ours to watch."""
        async with trio.open_nursery() as nursery:
            while True:
                wanted = peers_to_watch(cluster, self._broker_id)
                for peer_id, (epoch, scope) in list(self._watched.items()):
                    if peer_id not in wanted or wanted[peer_id].broker_epoch != epoch:
                        scope.cancel()
                        del self._watched[peer_id]
                for peer_id, registration in wanted.items():
                    if peer_id not in self._watched:
                        scope = trio.CancelScope()
                        self._watched[peer_id] = (registration.broker_epoch, scope)
                        nursery.start_soon(self._watch, registration, scope)
                cluster = await wait_changed(cluster)

    async def _watch(self, registration: BrokerRegistration, scope: trio.CancelScope) -> None:
        peer_id = registration.broker_id
        told: str | None = None
        pause_s = RECONNECT_PAUSE_S
        with scope:
            while True:
                try:
                    await self._hold_connection(peer_id)
                    told, pause_s = None, RECONNECT_PAUSE_S
                except ConnectionRefusedError:
                    if await self._remove_dead(registration):
                        log_events.warning("dead_broker_removed", broker_id=peer_id)
                        return
                except (OSError, PeerUnknown, trio.TooSlowError) as error:
                    # Unreachable is not dead: its session with the coordinator decides. Unknown is
                    # one that came just now, or has gone: then this watch is about to end.
                    if str(error) != told:  # once an outage, not with every attempt
                        told = str(error)
                        log_events.info("peer_unreachable", broker_id=peer_id, error=told)
                await trio.sleep(pause_s)
                pause_s = min(2 * pause_s, RECONNECT_PAUSE_MAX_S)

    async def _hold_connection(self, peer_id: int) -> None:
        """Return when the peer closes or breaks the connection. Raises: OSError, PeerUnknown."""
        with trio.fail_after(CONNECT_TIMEOUT_S):
            stream = await self._open_stream(peer_id)
        async with stream:
            try:
                await stream.receive_some(1)
            except trio.BrokenResourceError:
                log_events.info("peer_connection_broken", broker_id=peer_id)
