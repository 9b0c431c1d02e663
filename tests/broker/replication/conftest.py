"""What the tests of a follower's loop share: the leader, the loop, the replicas."""

from __future__ import annotations

import random

import pytest

from broker.config import ReplicationConfig
from broker.log.config import LogConfig
from broker.log.flush import Flusher
from broker.log.log import Log
from broker.partition import Partition
from broker.partition_context import PartitionContext
from broker.replication.fetcher import LeaderFetcher
from broker.replication.throttle import Throttles
from simulation.disk import MemoryDisk
from tests.broker.replication.played_leader import LEADER, TOPIC_ID, US, Leader, led_by


@pytest.fixture
def leader():
    return Leader()


@pytest.fixture
def leader_with_sessions(leader):
    leader.grants_sessions = True
    return leader


@pytest.fixture
def fetcher(leader):
    return LeaderFetcher(
        LEADER,
        broker_id=US,
        broker_epoch=lambda: 7,
        connect=leader.connect,
        config=ReplicationConfig(),
    )


@pytest.fixture
def disk():
    disk = MemoryDisk(random.Random(5))
    disk.make_directory("/data")
    return disk


@pytest.fixture
async def flusher(disk, nursery):
    flusher = Flusher(disk)
    nursery.start_soon(flusher.run)
    return flusher


@pytest.fixture
def follower(disk, flusher):
    """Make replicas of `orders` that follow the leader, under epoch 3."""

    def make(index: int = 0, **settings: str) -> Partition:
        log = Log.create(
            disk,
            f"/data/orders-{index}",
            LogConfig.of(settings),
            topic_id=TOPIC_ID,
            wall_ms=lambda: 0,
        )
        context = PartitionContext(
            broker_id=US,
            flusher=flusher,
            lease_held=lambda: True,
            storage_failed=lambda *_: None,
            is_borne=lambda *_: False,
            throttles=Throttles(),
            isr_due=lambda _: None,
        )
        partition = Partition("orders", index, topic_id=TOPIC_ID, log=log, context=context)
        partition.apply(led_by(LEADER, leader_epoch=3), broker_epoch=7, min_isr=1)
        return partition

    return make
