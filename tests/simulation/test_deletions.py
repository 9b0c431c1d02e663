"""A broker that has told that it is rid of a deleted topic must not hold a replica of it."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from coordinator import paths
from coordinator.bootstrap import prepare
from coordinator.memory import MemoryCluster, MemoryStore
from coordinator.records import Tombstone, encode_tombstone
from coordinator.tombstones import confirm_deleted
from simulation.committed import Broken
from simulation.deletions import Deletions

DELETED, OTHER = b"d" * 16, b"o" * 16
REPLICA = SimpleNamespace(topic_id=DELETED, topic="orders", name="orders-0")


async def bury(store: MemoryStore) -> None:
    """Leave a tombstone of a topic that brokers 1 and 2 have replicas of."""
    await prepare(store, new_cluster_id=lambda: "cluster")
    await store.create(paths.deleted(DELETED), encode_tombstone(Tombstone("orders", (1, 2))))


async def deletions_after(*signed_off: int) -> Deletions[object]:
    """Have some brokers sign the topic off, and look after each step."""
    memory = MemoryCluster()
    deletions: Deletions[object] = Deletions(memory.tree)
    async with memory.connect() as store:
        await bury(store)
        deletions.look()
        for broker_id in signed_off:
            await confirm_deleted(store, DELETED, broker_id)
            deletions.look()
    return deletions


async def test_who_has_not_signed_off_may_still_hold_replicas():
    deletions = await deletions_after(1)

    deletions.look_at(2, REPLICA)
    deletions.look_at(1, SimpleNamespace(topic_id=OTHER, topic="orders", name="orders-0"))


@pytest.mark.parametrize("signed_off", [(1,), (1, 2)])
async def test_who_has_signed_off_may_not(signed_off):
    deletions = await deletions_after(*signed_off)

    for broker_id in signed_off:
        with pytest.raises(Broken, match=rf"deleted-replica: broker {broker_id} holds orders-0"):
            deletions.look_at(broker_id, REPLICA)


async def test_a_tombstone_that_goes_before_all_have_signed_off_is_noticed():
    memory = MemoryCluster()
    deletions: Deletions[object] = Deletions(memory.tree)
    async with memory.connect() as store:
        await bury(store)
        deletions.look()
        await store.delete(paths.deleted(DELETED))
        deletions.look()

    with pytest.raises(Broken, match=r"deleted-replica: broker 2 holds orders-0"):
        deletions.look_at(2, REPLICA)
