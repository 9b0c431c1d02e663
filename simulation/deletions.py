"""Whether brokers are rid of the deleted topics of which they have told that they are.

A tombstone names the brokers that may still hold replicas; each takes its name out when it holds
none. From then on nothing tells it to delete one, so it must not get one again.
Must never know: faults, clients, how a broker deletes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, TypeVar

from coordinator import paths, records
from simulation.committed import Broken

if TYPE_CHECKING:
    from collections.abc import Iterable

    from broker.partition import Partition
    from coordinator.records import Tombstone
    from coordinator.tree import Tree

W = TypeVar("W")


class Deletions(Generic[W]):
    """Which broker has signed which tombstone off, in the whole run."""

    def __init__(self, tree: Tree[W]) -> None:
        self._tree = tree
        self._zxid = -1
        self._modified: dict[str, int] = {}
        self._standing: dict[bytes, Tombstone] = {}
        self._signed_off: dict[bytes, set[int]] = {}

    def look(self) -> None:
        """Look at the tombstones, where the coordinator's tree has changed."""
        if self._tree.zxid == self._zxid:
            return
        self._zxid = self._tree.zxid
        node = self._tree.nodes.get(paths.DELETED)
        listed = set() if node is None else {bytes.fromhex(name) for name in node.children}
        for topic_id in self._standing.keys() - listed:
            self._sign_off(topic_id, self._standing.pop(topic_id).waiting_for)
        for topic_id in listed:
            self._read(topic_id)

    def _read(self, topic_id: bytes) -> None:
        path = paths.deleted(topic_id)
        node = self._tree.nodes[path]
        if node.value is None or node.mzxid == self._modified.get(path):
            return
        self._modified[path] = node.mzxid
        tombstone = records.decode_tombstone(path, node.value)
        before = self._standing.get(topic_id, tombstone)
        self._standing[topic_id] = tombstone
        self._sign_off(topic_id, set(before.waiting_for) - set(tombstone.waiting_for))

    def _sign_off(self, topic_id: bytes, brokers: Iterable[int]) -> None:
        self._signed_off.setdefault(topic_id, set()).update(brokers)

    def look_at(self, broker_id: int, partition: Partition) -> None:
        """Look at one replica of a running broker. Raises: Broken."""
        if broker_id in self._signed_off.get(partition.topic_id, ()):
            raise Broken(
                f"deleted-replica: broker {broker_id} holds {partition.name} of a deleted topic,"
                f" and nothing tells it so any more"
            )
