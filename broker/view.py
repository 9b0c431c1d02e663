"""What this broker knows of the cluster: the newest state, and the one it has acted on.

Must never know: where states come from, requests.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import trio

from coordinator.cluster import ClusterState

if TYPE_CHECKING:
    from collections.abc import Callable

    from coordinator.cluster import BrokerRegistration

NOT_REGISTERED = -1

FAREWELL_S = 2.0
"""How long clients are still told the address of a broker that has gone. librdkafka (2.16) forgets
a broker that is not listed at once, and with it, for a second, the partitions that it is just about
to move from there to a new leader."""


SUSPICION_S = 1.0
"""How long a peer whose connections broke is suspected, unless it is heard of sooner."""


class ClusterView:
    """The cluster as seen from here, through all sessions with the coordinator.

    `latest` is the newest state heard of, `obeyed` the newest that this broker's own partitions
    follow already: what clients are told is what they will find. `broker_epoch` is that of our
    present registration, or of the last one.
    """

    def __init__(self) -> None:
        self.latest = ClusterState()
        self.obeyed = ClusterState()
        self.broker_epoch = NOT_REGISTERED
        self._published = trio.lowlevel.ParkingLot()
        self._heard = trio.lowlevel.ParkingLot()
        self._gone: dict[int, tuple[BrokerRegistration, float]] = {}
        self._suspected_until: dict[int, float] = {}

    def hear(self, state: ClusterState) -> None:
        """Take note of a state that this broker has not acted on yet."""
        self.latest = state
        self._heard.unpark_all()

    def publish(self, state: ClusterState) -> None:
        """Show clients a state that this broker has acted on."""
        until = trio.current_time() + FAREWELL_S
        for broker_id, registration in self.obeyed.brokers.items():
            if broker_id not in state.brokers:
                self._gone[broker_id] = (registration, until)
        self.obeyed = state
        self._published.unpark_all()

    def brokers_for_clients(self) -> list[BrokerRegistration]:
        """List the live brokers, and those that have gone just now."""
        now = trio.current_time()
        live = self.obeyed.brokers
        self._gone = {
            broker_id: (registration, until)
            for broker_id, (registration, until) in self._gone.items()
            if until > now and broker_id not in live
        }
        return [*live.values(), *(registration for registration, _ in self._gone.values())]

    def suspect(self, broker_id: int) -> None:
        """Take note that connections to a broker break: it may be about to be replaced."""
        self._suspected_until[broker_id] = trio.current_time() + SUSPICION_S

    def trust(self, broker_id: int) -> None:
        """Take note that a broker can be connected to."""
        self._suspected_until.pop(broker_id, None)

    def seems_alive(self, broker_id: int) -> bool:
        """Say whether a broker is registered and nothing speaks against it."""
        return (
            broker_id in self.obeyed.brokers
            and self._suspected_until.get(broker_id, 0.0) <= trio.current_time()
        )

    def may_join_isr(self, broker_id: int, broker_epoch: int) -> bool:
        """Say whether this incarnation of a broker is registered, and not about to leave."""
        registration = self.latest.brokers.get(broker_id)
        return (
            registration is not None
            and registration.broker_epoch == broker_epoch
            and not registration.shutting_down
        )

    async def wait_changed(self, previous: ClusterState) -> ClusterState:
        """Wait until `latest` is another than `previous`, and return it."""
        while self.latest is previous:
            await self._published.park()
        return self.latest

    async def wait_for(
        self, predicate: Callable[[ClusterState], bool], *, timeout_s: float
    ) -> bool:
        """Return True once `predicate` holds of `obeyed`, False when the time is over."""
        return await _until(lambda: predicate(self.obeyed), self._published, timeout_s=timeout_s)

    async def wait_heard(
        self, predicate: Callable[[ClusterState], bool], *, timeout_s: float
    ) -> bool:
        """Return True once `predicate` holds of `latest`, False when the time is over."""
        return await _until(lambda: predicate(self.latest), self._heard, timeout_s=timeout_s)


async def _until(
    holds: Callable[[], bool], news: trio.lowlevel.ParkingLot, *, timeout_s: float
) -> bool:
    with trio.move_on_after(timeout_s):
        while not holds():
            await news.park()
    return holds()
