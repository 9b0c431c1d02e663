"""What this broker knows of the cluster: the newest state, and the one it has acted on.

Must never know: where states come from, requests.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import trio

from coordinator.cluster import ClusterState

if TYPE_CHECKING:
    from collections.abc import Callable

NOT_REGISTERED = -1


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
        self._changed = trio.Event()

    def publish(self, state: ClusterState) -> None:
        """Show clients a state that this broker has acted on."""
        self.obeyed = state
        changed, self._changed = self._changed, trio.Event()
        changed.set()

    def may_join_isr(self, broker_id: int, broker_epoch: int) -> bool:
        """Say whether this incarnation of a broker is registered, and not about to leave."""
        registration = self.latest.brokers.get(broker_id)
        return (
            registration is not None
            and registration.broker_epoch == broker_epoch
            and not registration.shutting_down
        )

    async def wait_for(
        self, predicate: Callable[[ClusterState], bool], *, timeout_s: float
    ) -> bool:
        """Return True once `predicate` holds of `obeyed`, False when the time is over."""
        with trio.move_on_after(timeout_s):
            while not predicate(self.obeyed):
                await self._changed.wait()
        return predicate(self.obeyed)
