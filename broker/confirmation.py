"""Whether this broker leads partitions still: asked with the force of a write.

A leader that was replaced may not know it for as long as its session lasts, and misses what was
written since. Before it tells a client that something is not there, it has to ask: clients of all
kinds act on that for good (a consumer starts anew, a producer gives its records up).
Must never know: requests, what is missed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TypeVar

import trio

from coordinator.freshness import is_current
from protocol.errors import CoordinationError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    from broker.partition import Partition
    from broker.view import ClusterView
    from coordinator.cluster import TopicState
    from coordinator.store import Store

Answer = TypeVar("Answer")

WITHIN_S: Final = 1.0
"""Who hears nothing from the coordinator for so long leads nothing, as far as clients are told."""

AT_ONCE_MAX: Final = 16
"""Questions under way: clients may ask for what is not there as often as they like."""


class Confirmation:
    """Asks the coordinator. `store` gives the session, and raises SessionLost without one."""

    def __init__(self, broker_id: int, view: ClusterView, store: Callable[[], Store]) -> None:
        self._broker_id = broker_id
        self._view = view
        self._store = store
        self._limit = trio.CapacityLimiter(AT_ONCE_MAX)

    async def unconfirmed(self, answers: Mapping[Partition, Answer]) -> list[Answer]:
        """Give the answers about partitions that nobody says are led here still."""
        led = await self._still_led(answers)
        return [answer for partition, answer in answers.items() if partition not in led]

    async def _still_led(self, partitions: Collection[Partition]) -> set[Partition]:
        """Give those that are led here, at some moment after the call."""
        confirmed: set[Partition] = set()
        with trio.move_on_after(WITHIN_S):
            for name in dict.fromkeys(partition.topic for partition in partitions):
                topic = self._view.latest.topics.get(name)
                if topic is not None and await self._is_current(topic):
                    confirmed |= {p for p in partitions if self._leads(topic, p)}
        return confirmed

    async def _is_current(self, topic: TopicState) -> bool:
        async with self._limit:
            try:
                return await is_current(self._store(), topic)
            except CoordinationError:
                return False  # then nobody vouches for us

    def _leads(self, topic: TopicState, partition: Partition) -> bool:
        if partition.topic_id != topic.topic_id or not partition.is_leader:
            return False
        state = topic.partitions[partition.index]
        return (state.leader_id, state.leader_epoch) == (self._broker_id, partition.leader_epoch)
