"""Deleted topics: each leaves a tombstone until all brokers with replicas dropped their data.

The tombstone is written in the multi that deletes the topic, under the controller's fence, so a
broker that finds one knows for certain that the topic id is gone for good. Brokers sign off one
by one and the last one takes the tombstone away: no controller is needed for that.
Must never know: logs, disks.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from coordinator import paths, records
from coordinator.records import Tombstone
from coordinator.retry import until_answered
from coordinator.store import BadVersion, Create, NoNode

if TYPE_CHECKING:
    from coordinator.cluster import TopicState
    from coordinator.store import Store


def bury(topic: TopicState) -> Create:
    """Give the operation that leaves a tombstone for a topic."""
    holders = {broker_id for partition in topic.partitions for broker_id in partition.replicas}
    tombstone = Tombstone(topic.name, tuple(sorted(holders)))
    return Create(paths.deleted(topic.topic_id), records.encode_tombstone(tombstone))


async def confirm_deleted(store: Store, topic_id: bytes, broker_id: int) -> None:
    """Report that a broker holds no data of a deleted topic any more."""
    await until_answered(lambda: _sign_off(store, paths.deleted(topic_id), broker_id))


async def _sign_off(store: Store, path: str, broker_id: int) -> None:
    while True:
        try:
            value, stat = await store.get(path)
            tombstone = records.decode_tombstone(path, value)
            left = tuple(each for each in tombstone.waiting_for if each != broker_id)
            if not left:
                await store.delete(path, version=stat.version)
            elif left != tombstone.waiting_for:
                value = records.encode_tombstone(Tombstone(tombstone.name, left))
                await store.set(path, value, version=stat.version)
        except NoNode:
            return
        except BadVersion:
            continue
        return
