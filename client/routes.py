"""Where the records of one topic go: partitions that are there, and the open batch of the chosen.

Must never know: requests, when and where batches are sent.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import trio

from client.delivery import Batch
from client.errors import PartitionGone, UnknownTopic
from client.metadata import NO_TOPIC_ID
from client.partitioner import StickyPartitioner, partition_of
from client.records import TopicPartition

if TYPE_CHECKING:
    from collections.abc import Container

    from client.environment import Random
    from client.metadata import TopicInfo
    from client.partition_queue import PartitionQueue
    from client.sender import Sender


class Route:
    """Chooses partition and batch for each record of a topic. A batch is full at `batch_bytes`."""

    def __init__(self, topic: str, sender: Sender, random: Random, *, batch_bytes: int) -> None:
        self.sticky = StickyPartitioner(random, batch_bytes)
        self._topic = topic
        self._topic_id = NO_TOPIC_ID
        self._sender = sender
        self._batch_bytes = batch_bytes
        self._queues: dict[int, PartitionQueue] = {}
        self._gone: dict[int, PartitionQueue] = {}
        self._available: list[int] = []

    def update(self, info: TopicInfo, brokers: Container[int]) -> None:
        """Learn which partitions there are, and which are led by one of the live `brokers`."""
        # The partitions of one topic only become more: news of fewer are old. Made anew under its
        # name it may have fewer, and where brokers are too old to tell, that is believed.
        if info.topic_id != self._topic_id or info.topic_id == NO_TOPIC_ID:
            self._topic_id = info.topic_id
            self._abandon_missing(info)
        for partition in info.partitions:
            if partition not in self._queues:
                self._queues[partition] = self._queue_of(partition)
        led = [entry.partition for entry in info.partitions.values() if entry.leader_id in brokers]
        self._available = led or list(info.partitions)
        if self.sticky.chosen not in self._available:
            self.sticky.leave()

    def batch_for(self, key: bytes | None, partition: int | None, size: int) -> Batch:
        """Return the open batch that takes a record of `size` bytes, a new one where it must be.

        Raises: UnknownTopic where there is no such partition.
        """
        if partition is None and key is None:
            queue = self._sticky_queue(size)
        else:
            if partition is None:
                assert key is not None, "without a key it is the sticky partition's"
                partition = partition_of(key, len(self._queues))
            found = self._queues.get(partition)
            if found is None:
                raise UnknownTopic(self._topic, partition)
            queue = found
        batch = queue.open
        if batch is not None:
            if batch.reserved_bytes + size <= self._batch_bytes:
                return batch
            queue.close_open()
        batch = queue.open = Batch(queue.place, opened_at=trio.current_time())
        self._sender.note(queue)
        return batch

    def _sticky_queue(self, size: int) -> PartitionQueue:
        """Return the queue for a record without a key, of another partition when it is time."""
        queue = self._queues.get(self.sticky.chosen)
        if queue is not None:
            batch = queue.open
            fits = batch is not None and batch.reserved_bytes + size <= self._batch_bytes
            if not self.sticky.has_had_enough(size, batch_fills=fits):
                return queue
            if not fits:
                queue.close_open()
        return self._queues[self.sticky.move_on(self._available)]

    def _queue_of(self, partition: int) -> PartitionQueue:
        """Return the queue of a partition that is new, or there again.

        One that is there again keeps its queue: a second would count from 0 again under the same
        producer id, and a broker would take its records for those that it has.
        """
        queue = self._gone.pop(partition, None)
        if queue is None:
            return self._sender.new_queue(TopicPartition(self._topic, partition))
        self._sender.take_back(queue)
        return queue

    def _abandon_missing(self, info: TopicInfo) -> None:
        for partition in [known for known in self._queues if known not in info.partitions]:
            queue = self._gone[partition] = self._queues.pop(partition)
            cause = PartitionGone(self._topic, partition, partition_count=len(info.partitions))
            self._sender.abandon(queue, cause)
