"""A topic that is made, written, read and deleted, over and over, under one name.

What was written to one of these topics must not be read from a later one, and of a deleted one
nothing may be left in the end. In the history each has a name of its own.
Must never know: faults, what is judged.
"""

from __future__ import annotations

from itertools import count
from typing import TYPE_CHECKING, Final

import trio

from chaos.history import Outcome, Partition, Polled, Positioned, Sent
from client import (
    Admin,
    Consumer,
    ConsumerConfig,
    NewTopic,
    Producer,
    ProducerConfig,
    TopicPartition,
)
from client.admin import AdminConfig
from coordinator import paths
from protocol.errors import ErrorCode, OttlaError, RequestError

if TYPE_CHECKING:
    from chaos.workload import Workload
    from coordinator.cluster import ClusterState
    from simulation.cluster import SimulatedCluster

PASSING: Final = "passing"
RECORDS: Final = 10
PATIENCE_S: Final = 3.0
REST_S: Final = 0.3
GLANCE_S: Final = 0.005
GONE_BOUND_S: Final = 30.0
STRAGGLERS_S: Final = 1.0
"""After this nothing arrives any more of what a client has sent before it gave up."""


class Passing:
    """Makes the topics, one after the other, and every second one larger; `work` keeps the history.

    With `meets_registrations` each is deleted while some broker has just registered and does not
    obey yet, if one does: what it reads of the topic then is the first that it hears of it.
    """

    def __init__(
        self, cluster: SimulatedCluster, work: Workload, *, meets_registrations: bool = False
    ) -> None:
        self._cluster = cluster
        self._work = work
        self._meets_registrations = meets_registrations
        self._config = AdminConfig(timeout_s=PATIENCE_S)
        self._stragglers: list[bytes] = []
        """What was sent without an answer: it may come, by the topic's name, for any later one."""

    async def run(self) -> None:
        """Make topics and delete them, for ever."""
        for number in count():
            try:
                await self._pass(number)
            except* OttlaError:
                await trio.sleep(STRAGGLERS_S)
            await trio.sleep(REST_S)

    async def _pass(self, number: int) -> None:
        name = f"{PASSING}-{number}"
        first, second = Partition(name, 0), Partition(name, 1)
        await self.delete(name)
        environment = self._cluster.environment(f"maker-{number}")
        async with Admin(self._cluster.bootstrap, self._config, environment=environment) as admin:
            made = await admin.create_topic(NewTopic(PASSING, partitions=1, replication_factor=3))
            await self._write(first)
            if number % 2:
                await admin.create_partitions(PASSING, 2)
                await self._write(second)
        with trio.move_on_after(PATIENCE_S):
            await self._read(first, made.topic_id)

    async def delete(self, name: str) -> None:
        """Delete the topic that there is, if there is one. Raises: OttlaError."""
        environment = self._cluster.environment(name)
        async with Admin(self._cluster.bootstrap, self._config, environment=environment) as admin:
            if self._meets_registrations:
                await admin.list_topics()
                await self._wait_registered()
            try:
                await admin.delete_topic(PASSING)
            except RequestError as error:
                if error.code is not ErrorCode.UNKNOWN_TOPIC_OR_PARTITION:
                    raise

    async def _wait_registered(self) -> None:
        """Wait until some broker has registered, for a time."""
        known = self._registrations()
        with trio.move_on_after(PATIENCE_S):
            while self._registrations() <= known:  # noqa: ASYNC110 - virtual time costs nothing
                await trio.sleep(GLANCE_S)

    def _registrations(self) -> set[int]:
        """Give the broker epochs that there are."""
        nodes = self._cluster.memory.tree.nodes
        here = (paths.registration(broker_id) for broker_id in self._cluster.brokers)
        return {nodes[path].czxid for path in here if path in nodes}

    async def _write(self, place: Partition) -> None:
        """Write some records; whether they stay is not known: an old deletion may come late."""
        for value in self._stragglers:
            self._note_sent(place, value)
        config = ProducerConfig(delivery_timeout_s=PATIENCE_S, metadata_timeout_s=PATIENCE_S)
        environment = self._cluster.environment(f"writer-of-{place}")
        async with Producer(self._cluster.bootstrap, config, environment=environment) as producer:
            for number in range(RECORDS):
                value = b"%s-%d" % (place.topic.encode(), number)
                self._note_sent(place, value)
                self._stragglers.append(value)
                await producer.send(PASSING, value, partition=place.number)
                self._stragglers.remove(value)

    def _note_sent(self, place: Partition, value: bytes) -> None:
        now = trio.current_time()
        self._work.note(Sent(f"writer-of-{place}", place, value, now, now, Outcome.UNKNOWN))

    async def _is_known_to_all(self, topic_id: bytes) -> bool:
        """Wait for a time until all brokers mean this topic by its name. Returns: whether they do.

        One that hears nothing of the coordinator goes on with the one before until its session
        ends: what is read of that one is no news.
        """

        def knows(state: ClusterState) -> bool:
            topic = state.topics.get(PASSING)
            return topic is not None and topic.topic_id == topic_id

        for machine in self._cluster.brokers.values():
            broker = machine.broker
            if not machine.is_running or broker is None:
                continue
            if not await broker.view.wait_for(knows, timeout_s=PATIENCE_S):
                return False
        return True

    async def _read(self, place: Partition, topic_id: bytes) -> None:
        if not await self._is_known_to_all(topic_id):
            return
        name = f"reader-of-{place}"
        config = ConsumerConfig(auto_offset_reset="earliest")
        environment = self._cluster.environment(name)
        here = TopicPartition(PASSING, 0)
        async with Consumer(self._cluster.bootstrap, config, environment=environment) as consumer:
            self._work.note(Positioned(name, place, 0, trio.current_time()))
            await consumer.assign({here: 0})
            while (consumer.position(here) or 0) < RECORDS:
                began_at = trio.current_time()
                found = await consumer.poll(timeout_s=REST_S)
                records = tuple((record.offset, record.value or b"") for record in found)
                if records:
                    self._work.note(Polled(name, place, records, began_at, trio.current_time()))

    async def end(self) -> bool:
        """Delete the last one, and say whether all brokers are rid of it within a bound."""
        with trio.move_on_after(GONE_BOUND_S):
            while self._is_held():
                try:
                    await self.delete("passing-last")
                    await trio.sleep(REST_S)
                except* OttlaError:
                    await trio.sleep(REST_S)
            return True
        return False

    def _is_held(self) -> bool:
        return any(
            partition.topic == PASSING
            for machine in self._cluster.brokers.values()
            if machine.is_running and machine.broker is not None
            for partition in machine.broker.partitions
        )
