"""Applications that read as members of a group, for tests of groups."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import trio
from msgspec.structs import replace

from client.consumer import Consumer, ConsumerConfig
from client.records import TopicPartition
from tests.support.fake_cluster import FakeCluster
from tests.support.fake_groups import FakeGroup
from tests.support.fake_topics import FakeTopic

TOPIC = "orders"


def group_consumer(cluster: FakeCluster, host: str = "client", **config: Any) -> Consumer:
    """Make a consumer of group "g"; `host` gives it a place in the network of its own."""
    defaults: dict[str, Any] = {
        "group_id": "g",
        "auto_offset_reset": "earliest",
        "session_timeout_s": 10.0,
        "heartbeat_interval_s": 1.0,
        "max_poll_interval_s": 30.0,
    }
    environment = replace(cluster.environment, network=cluster.network.host(host))
    return Consumer(cluster.bootstrap, ConsumerConfig(**defaults | config), environment=environment)


def place(partition: int, topic: str = TOPIC) -> TopicPartition:
    return TopicPartition(topic, partition)


def places(count: int, topic: str = TOPIC) -> tuple[TopicPartition, ...]:
    return tuple(TopicPartition(topic, partition) for partition in range(count))


def fill(
    cluster: FakeCluster, *, partitions: int = 4, records: int = 10, topic: str = TOPIC
) -> FakeTopic:
    """Create a topic with records of distinct values."""
    made = cluster.add_topic(topic, partitions)
    for number, partition in enumerate(made.partitions):
        for i in range(records):
            partition.add(b"%d-%d" % (number, i))
    return made


async def read(consumer: Consumer, count: int) -> list[Any]:
    """Poll until so many records have come."""
    records: list[Any] = []
    with trio.fail_after(60):
        while len(records) < count:
            records += await consumer.poll(max_records=count - len(records))
    return records


def committed(group: FakeGroup) -> dict[TopicPartition, int]:
    """Give what the group's broker keeps."""
    return {TopicPartition(*where): commit.offset for where, commit in group.offsets.items()}


class Reader:
    """An application that polls, and works on what comes, until it is told to stop.

    `seen` holds (topic, partition, offset) of every record; `events` what callbacks were told.
    """

    def __init__(
        self,
        consumer: Consumer,
        topics: Any = (TOPIC,),
        *,
        poll_s: float = 0.2,
        work: Callable[[], Awaitable[None]] = trio.lowlevel.checkpoint,
    ) -> None:
        self.consumer = consumer
        self.seen: list[tuple[str, int, int]] = []
        self.events: list[tuple[str, tuple[TopicPartition, ...]]] = []
        self.scope = trio.CancelScope()
        self.stopped = trio.Event()
        self._topics = topics
        self._poll_s = poll_s
        self._work = work
        self._stop = False

    async def run(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        with self.scope:
            async with self.consumer as consumer:
                consumer.subscribe(
                    self._topics,
                    on_assigned=self._note("assigned"),
                    on_revoked=self._note("revoked"),
                    on_lost=self._note("lost"),
                )
                task_status.started()
                while not self._stop:
                    for record in await consumer.poll(timeout_s=self._poll_s):
                        self.seen.append((record.topic, record.partition, record.offset))
                    await self._work()
        self.stopped.set()

    async def stop(self) -> None:
        """End as an application should."""
        self._stop = True
        await self.stopped.wait()

    def told(self, what: str) -> list[TopicPartition]:
        """List the partitions of all callbacks of a kind."""
        return [place for kind, told in self.events if kind == what for place in told]

    def _note(self, what: str) -> Callable[[tuple[TopicPartition, ...]], None]:
        return lambda told: self.events.append((what, told))
