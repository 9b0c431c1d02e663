"""Partitions that one decision changes, item by item, each on top of the items before it.

Must never know: what is decided and why, the store.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from coordinator.errors import UnknownTopic

if TYPE_CHECKING:
    from coordinator.cluster import ClusterState, PartitionState, TopicState


class Edits:
    """Changed partitions by topic and index."""

    def __init__(self, state: ClusterState) -> None:
        self._topics = state.topics
        self._changed: dict[str, dict[int, PartitionState]] = {}

    def topic(self, name: str) -> TopicState:
        """Look up a topic as it was before. Raises: UnknownTopic."""
        topic = self._topics.get(name)
        if topic is None:
            raise UnknownTopic(f"there is no topic {name}")
        return topic

    def partition(self, name: str, index: int) -> PartitionState:
        """Look up a partition as the items before have left it. Raises: UnknownTopic."""
        changed = self._changed.get(name, {}).get(index)
        if changed is not None:
            return changed
        partitions = self.topic(name).partitions
        if not 0 <= index < len(partitions):
            raise UnknownTopic(f"topic {name} has no partition {index}")
        return partitions[index]

    def put(self, name: str, index: int, partition: PartitionState) -> None:
        """Replace a partition; the same one changes nothing."""
        if partition is not self.partition(name, index):
            self._changed.setdefault(name, {})[index] = partition

    @property
    def topics(self) -> dict[str, TopicState]:
        """The topics that are different now."""
        return {n: self._topics[n].with_partitions(each) for n, each in self._changed.items()}
