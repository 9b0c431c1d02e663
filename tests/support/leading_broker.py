"""One broker's fetch handler over partitions that it leads: no connections, no other brokers.

The test plays the controller, the followers and the readers.
"""

from __future__ import annotations

import random
from contextlib import nullcontext

import trio
from msgspec.structs import replace

from broker.catching_up import CatchingUp
from broker.config import ReplicationConfig
from broker.dispatch import RequestContext
from broker.fetch_sessions import FetchSessionCache
from broker.handlers.fetch import FetchHandler
from broker.handlers.produce import ProduceHandler
from broker.log.directory import DataDirectory
from broker.log.flush import Flusher
from broker.partition import Partition
from broker.partition_context import PartitionContext
from broker.partitions import Partitions
from broker.replication.fetcher import LeaderFetcher
from broker.replication.fetchers import Fetchers
from broker.replication.throttle import Throttles
from broker.schema_guard import SchemaGuard
from broker.view import ClusterView
from client.environment import Environment
from coordinator.cluster import (
    BrokerRegistration,
    ClusterState,
    Endpoint,
    PartitionState,
    TopicState,
)
from protocol.api.fetch import FetchRequest, FetchResponse
from protocol.records import Record, encode_batch
from simulation.disk import MemoryDisk

US, PEER, OTHER = 1, 2, 3
OUR_EPOCH, PEER_EPOCH, OTHER_EPOCH = 10, 20, 30
BROKER_EPOCHS = {US: OUR_EPOCH, PEER: PEER_EPOCH, OTHER: OTHER_EPOCH}
TOPIC = "orders"
NEWEST = 17
LED_BY_US = PartitionState(
    replicas=(US, PEER, OTHER),
    leader_id=US,
    leader_epoch=1,
    isr=(US, PEER, OTHER),
    partition_epoch=1,
    leader_broker_epoch=OUR_EPOCH,
)


class Confirmations:
    """Says that everything is led by us still, until told otherwise."""

    def __init__(self) -> None:
        self.is_led = True

    async def unconfirmed(self, answers):
        await trio.lowlevel.checkpoint()
        return [] if self.is_led else list(answers.values())


class LeadingBroker:
    """Leads every partition of `orders`, all three replicas in sync, until told otherwise."""

    def __init__(self, *, partitions: int, slots: int = 1000, partitions_max: int = 10_000) -> None:
        self.disk = MemoryDisk(random.Random(3))
        self.disk.make_directory("/data")
        self.flusher = Flusher(self.disk)
        self.lease_held = True
        self.wall_ms = 0
        self.followers_heard: list[tuple[Partition, int]] = []
        self._session_ids = random.Random(4)
        self.confirmation = Confirmations()
        self.throttles = Throttles()
        self.partitions = Partitions(
            disk=self.disk,
            directory=DataDirectory(self.disk, "/data"),
            context=PartitionContext(
                broker_id=US,
                flusher=self.flusher,
                lease_held=lambda: self.lease_held,
                storage_failed=lambda *_: None,
                is_borne=lambda *_: False,
                throttles=self.throttles,
                isr_due=lambda _: None,
            ),
            fetchers=Fetchers(idle_fetcher),
            topic_defaults={},
            wall_ms=lambda: self.wall_ms,
        )
        self.view = ClusterView()
        self._topics_made = 0
        self.cluster = ClusterState(
            brokers={
                broker_id: BrokerRegistration(
                    broker_id=broker_id,
                    broker_epoch=epoch,
                    endpoints=(Endpoint(f"broker-{broker_id}", 9092),),
                    rack=None,
                    directory_id="",
                    clean=True,
                    epoch_version=0,
                )
                for broker_id, epoch in BROKER_EPOCHS.items()
            },
            topics={TOPIC: self._new_topic(partitions)},
        )
        self.sessions = self.new_cache(slots=slots, partitions_max=partitions_max)
        self.handler = self.new_handler(self.sessions)

    def new_cache(self, *, slots: int = 1000, partitions_max: int = 10_000) -> FetchSessionCache:
        return FetchSessionCache(
            slots=slots,
            partitions_max=partitions_max,
            eviction_s=120.0,
            random_id=lambda: self._session_ids.randint(1, 1 << 30),
        )

    def new_handler(self, sessions: FetchSessionCache) -> FetchHandler:
        return FetchHandler(
            self.partitions,
            sessions,
            cluster=lambda: self.cluster,
            on_follower_fetch=lambda partition, follower: self.followers_heard.append(
                (partition, follower)
            ),
            confirmation=self.confirmation,
            catching_up=CatchingUp(self.view),
        )

    def new_produce_handler(self) -> ProduceHandler:
        schemas = SchemaGuard(lambda: "", Environment.real())
        return ProduceHandler(
            self.partitions,
            self.confirmation,
            schemas,
            cluster=lambda: self.cluster,
            wall_ms=lambda: self.wall_ms,
        )

    def _new_topic(self, partitions: int) -> TopicState:
        self._topics_made += 1
        topic_id = self._topics_made.to_bytes(16, "big")
        return TopicState(TOPIC, topic_id, {}, (LED_BY_US,) * partitions, version=0)

    # The controller.

    async def obey(self) -> None:
        await self.partitions.obey(self.cluster, broker_epoch=OUR_EPOCH)
        self.view.publish(self.cluster)

    @property
    def topic(self) -> TopicState:
        return self.cluster.topics[TOPIC]

    async def change(self, index: int, **changes: object) -> None:
        """Have the controller change a partition's state; its epochs grow as they must."""
        known = self.topic.partitions[index]
        state = replace(known, partition_epoch=known.partition_epoch + 1, **changes)
        self.cluster = self.cluster.with_topic(self.topic.with_partitions({index: state}))
        await self.obey()

    async def elect(self, index: int, leader_id: int = US) -> None:
        known = self.topic.partitions[index]
        await self.change(
            index,
            leader_id=leader_id,
            leader_epoch=known.leader_epoch + 1,
            leader_broker_epoch=BROKER_EPOCHS[leader_id],
        )

    async def delete_topic(self) -> None:
        self.cluster = replace(self.cluster, topics={})
        await self.obey()

    async def create_topic(self, *, partitions: int) -> None:
        self.cluster = self.cluster.with_topic(self._new_topic(partitions))
        await self.obey()

    # Producers and followers.

    def partition(self, index: int) -> Partition:
        return self.partitions.get(TOPIC, index)

    def append(self, index: int, count: int = 1, *, size: int = 10) -> None:
        """Append one batch; it is neither durable nor committed yet."""
        records = [Record(i, 0, None, bytes(size), ()) for i in range(count)]
        self.partition(index).append(memoryview(encode_batch(records)), acks=-1)

    async def commit(self, index: int) -> None:
        """Have all three replicas hold the log to its end."""
        partition = self.partition(index)
        await self.flusher.flush([partition])
        for follower, epoch in ((PEER, PEER_EPOCH), (OTHER, OTHER_EPOCH)):
            partition.follower_fetched(follower, partition.log.log_end_offset, broker_epoch=epoch)

    async def write(self, index: int, count: int = 1, *, size: int = 10) -> None:
        """Append one batch and commit it."""
        self.append(index, count, size=size)
        await self.commit(index)

    def trim(self, index: int, offset: int) -> None:
        """Have the log begin at `offset`."""
        self.partition(index).start_log_at(offset)

    # Readers.

    async def fetch(self, request: FetchRequest, *, version: int = NEWEST) -> FetchResponse:
        outcome = self.begin(request, version=version)
        return outcome if isinstance(outcome, FetchResponse) else await outcome

    def begin(self, request: FetchRequest, *, version: int = NEWEST):
        """Run the handler. Returns: the response, or a coroutine that waits for it."""
        return self.handler(request, context(version))


def idle_fetcher(leader_id: int) -> LeaderFetcher:
    """Make a fetcher that is never run."""
    return LeaderFetcher(
        leader_id,
        broker_id=US,
        broker_epoch=lambda: OUR_EPOCH,
        connect=lambda leader_id: nullcontext(),
        config=ReplicationConfig(),
    )


def context(version: int = NEWEST) -> RequestContext:
    return RequestContext(1, version, 1, "tests", "peer", "PLAINTEXT")
