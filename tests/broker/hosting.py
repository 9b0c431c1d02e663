"""What the tests of hosted replicas share: names, what the cluster decided, what is on the disk."""

from __future__ import annotations

from broker.log.directory import Checkpoint
from coordinator.cluster import ClusterState, PartitionState, TopicState
from simulation.disk import MemoryDisk

US, PEER = 1, 2
OUR_EPOCH = 70
TOPIC_ID = bytes(range(16))
NEXT_TOPIC_ID = bytes(range(1, 17))
DATA = "/data"
SEGMENT_BYTES = 300
KNOWN = Checkpoint(recovery_point=12, high_watermark=12)


def replicas_on(disk) -> list[str]:
    """Give the directories of replicas."""
    return [name for name in disk.list(DATA) if not name.startswith(".")]


class Fetcher:
    """A fetcher that only notes what it is given."""

    def __init__(self) -> None:
        self.followed: list[str] = []

    def follow(self, partition) -> None:
        self.followed.append(partition.name)

    def forget(self, partition) -> bool:
        if partition.name not in self.followed:
            return False
        self.followed.remove(partition.name)
        return True


def hide_where_batches_begin(disk: MemoryDisk, index: int) -> None:
    """Damage the first batch's length, and what spares the log from reading it when it opens."""
    disk.flip_bit(f"{DATA}/orders-{index}/{0:020d}.log", 8, 4)
    disk.flip_bit(f"{DATA}/orders-{index}/leader-epoch-checkpoint", 0, 7)


def cluster(*, topic_id: bytes = TOPIC_ID, partitions: int = 2) -> ClusterState:
    led_by_us = PartitionState(
        replicas=(US, PEER), leader_id=US, leader_epoch=1, isr=(US,), leader_broker_epoch=OUR_EPOCH
    )
    topic = TopicState("orders", topic_id, {}, (led_by_us,) * partitions, version=0)
    return ClusterState(topics={"orders": topic})
