"""Clients that ask each broker what it leads and how far that is committed, again and again.

A broker that answers a question which is fenced by a leader epoch leads in it.
Must never know: faults, what is judged.
Source: KIP-320, ListOffsets with `current_leader_epoch`.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Final

import trio

from chaos.history import Led, Partition, Watermark
from client.cluster import open_cluster
from client.cluster_options import ClusterOptions
from client.metadata import metadata_request
from client.pool import Lane
from protocol.api.list_offsets import (
    ListOffsetsPartition,
    ListOffsetsRequest,
    ListOffsetsResponse,
    ListOffsetsTopic,
)
from protocol.errors import ErrorCode, OttlaError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from chaos.workload import Workload
    from client.cluster import Cluster
    from client.connection import Connection
    from client.metadata import Address
    from client.pool import ConnectionPool
    from protocol.api.metadata import MetadataResponse

LOOK_EVERY_S: Final = 0.3
PATIENCE_S: Final = 5.0
"""How long an answer may take: who is paused does not give one."""

ANY_CONSUMER: Final = -1
LATEST: Final = -1


class Leadership:
    """The clients, one for each broker. Only what is new is written down: runs may be long."""

    def __init__(self, work: Workload) -> None:
        self._work = work
        self._noted: set[tuple[Partition, int, int]] = set()
        self._marks: dict[tuple[Partition, int, int], int] = {}

    async def watch(self, name: str) -> None:
        """Ask for ever, each broker that the cluster tells of; begin anew after an error."""
        options = ClusterOptions(client_id=name, environment=self._work.environment(name))
        while True:
            try:
                async with open_cluster(self._work.bootstrap, options) as cluster:
                    await self._watch_all(cluster)
            except* OttlaError:
                await trio.sleep(LOOK_EVERY_S)

    async def _watch_all(self, cluster: Cluster) -> None:
        watched: set[Address] = set()
        async with trio.open_nursery() as nursery:
            while True:
                for broker in cluster.metadata.brokers.values():
                    if broker.address not in watched:
                        watched.add(broker.address)
                        nursery.start_soon(self._watch, cluster.pool, broker.address)
                await trio.sleep(PATIENCE_S)
                cluster.refresh_soon()

    async def _watch(self, pool: ConnectionPool, address: Address) -> None:
        while True:
            with suppress(OttlaError):  # it may be down, or silent
                await self._look(await pool.get(address, Lane.CONTROL), address)
            await trio.sleep(LOOK_EVERY_S)

    async def _look(self, connection: Connection, address: Address) -> None:
        topic = self._work.topic
        told = await connection.call(metadata_request([topic]), timeout_s=PATIENCE_S)
        broker_id, epochs = _led_by_itself(told, address)
        if not epochs:
            return
        asked = [ListOffsetsPartition(number, epoch, LATEST) for number, epoch in epochs.items()]
        request = ListOffsetsRequest(
            replica_id=ANY_CONSUMER,
            topics=[ListOffsetsTopic(topic, asked)],
            timeout_ms=int(PATIENCE_S * 1000),
        )
        answer = await connection.call(request, timeout_s=PATIENCE_S)
        self._note(broker_id, epochs, answer)

    def _note(self, broker_id: int, epochs: Mapping[int, int], answer: ListOffsetsResponse) -> None:
        now = trio.current_time()
        for topic in answer.topics:
            for one in topic.partitions:
                if one.error_code != ErrorCode.NONE:
                    continue  # it has heard meanwhile that it does not lead any more
                place, epoch = (
                    Partition(topic.name, one.partition_index),
                    epochs[one.partition_index],
                )
                key = place, epoch, broker_id
                if key not in self._noted:
                    self._noted.add(key)
                    self._work.note(Led(place, epoch, broker_id, now))
                if self._marks.get(key) != one.offset:
                    self._marks[key] = one.offset
                    self._work.note(Watermark(place, epoch, broker_id, one.offset, now))


def _led_by_itself(told: MetadataResponse, address: Address) -> tuple[int, dict[int, int]]:
    """Give the id of the broker at an address, and its leader epoch in each partition it leads.

    Those are left out that are not told: brokers from before Kafka 2.1 do not, nor are they fenced.
    """
    own = [broker.node_id for broker in told.brokers if (broker.host, broker.port) == address]
    epochs = {
        partition.partition_index: partition.leader_epoch
        for topic in told.topics
        for partition in topic.partitions
        if partition.leader_id in own and partition.leader_epoch >= 0
    }
    return (own[0] if own else -1), epochs
