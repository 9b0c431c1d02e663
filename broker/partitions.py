"""The replicas that this broker hosts: opened, told what the cluster decided, closed.

Must never know: requests, how a replica leads or follows, the store.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import structlog
import trio

from broker.errors import NotLeader, UnknownTopicId, UnknownTopicOrPartition
from broker.log.config import LogConfig
from broker.log.directory import Checkpoint
from broker.log.log import Log
from broker.partition import Partition
from coordinator.cluster import NO_LEADER, ClusterState
from coordinator.topic_config import min_insync_replicas

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from broker.log.directory import DataDirectory
    from broker.log.disk import Disk
    from broker.partition import PartitionContext
    from broker.replication.fetchers import Fetchers
    from coordinator.cluster import PartitionState, TopicState

log_events = structlog.get_logger()


class Partitions:
    """All partitions of one broker, by topic and number."""

    def __init__(
        self,
        *,
        disk: Disk,
        directory: DataDirectory,
        context: PartitionContext,
        fetchers: Fetchers,
        topic_defaults: Mapping[str, str],
        wall_ms: Callable[[], int],
    ) -> None:
        self._disk = disk
        self._directory = directory
        self._context = context
        self._fetchers = fetchers
        self._topic_defaults = topic_defaults
        self._wall_ms = wall_ms
        self._hosted: dict[tuple[str, int], Partition] = {}
        self._cluster = ClusterState()
        self._obeyed: dict[str, tuple[TopicState, int]] = {}
        self._checkpoints: dict[tuple[str, int], Checkpoint] = {}

    def __iter__(self) -> Iterator[Partition]:
        return iter(tuple(self._hosted.values()))

    # Look-ups.

    def get(self, topic: str, index: int) -> Partition:
        """Find a hosted partition. Raises: UnknownTopicOrPartition, NotLeader (not hosted here)."""
        partition = self._hosted.get((topic, index))
        if partition is not None and topic in self._cluster.topics:
            return partition
        state = self._cluster.partition(topic, index)
        if state is None:
            raise UnknownTopicOrPartition(f"there is no partition {topic}-{index}")
        raise NotLeader(leader_id=state.leader_id, leader_epoch=state.leader_epoch)

    def topic_name(self, topic_id: bytes) -> str:
        """Find a topic's name. Raises: UnknownTopicId."""
        topic = self._cluster.topic_of_id(topic_id)
        if topic is None:
            raise UnknownTopicId(f"no topic has the id {topic_id.hex()}")
        return topic.name

    def led(self) -> Iterator[Partition]:
        """Iterate over the partitions that this broker leads."""
        return (partition for partition in self if partition.is_leader)

    # Obeying the controller.

    async def obey(self, cluster: ClusterState, *, broker_epoch: int) -> None:
        """Open, lead, follow or give up partitions as the cluster's state says.

        Raises: StorageError.
        """
        self._cluster = cluster
        for name, topic in cluster.topics.items():
            if self._obeyed.get(name) != (topic, broker_epoch):
                await self._obey_topic(topic, broker_epoch=broker_epoch)
                self._obeyed[name] = (topic, broker_epoch)
        for name in self._obeyed.keys() - cluster.topics.keys():
            del self._obeyed[name]
            for partition in self:
                if partition.topic == name:
                    self._fetchers.forget(partition)
                    partition.close()

    async def _obey_topic(self, topic: TopicState, *, broker_epoch: int) -> None:
        config = LogConfig.of({**self._topic_defaults, **topic.config})
        for index, state in enumerate(topic.partitions):
            if self._context.broker_id not in state.replicas:
                continue
            partition = self._hosted.get((topic.name, index))
            if partition is None or partition.topic_id != topic.topic_id:
                partition = self._open(topic, index, config)
                await trio.lowlevel.checkpoint()
            if partition.log.config != config:
                partition.log.reconfigure(config)
            self._hand_role(partition, state, broker_epoch=broker_epoch, topic=topic)

    def _hand_role(
        self, partition: Partition, state: PartitionState, *, broker_epoch: int, topic: TopicState
    ) -> None:
        min_isr = min_insync_replicas(
            {**self._topic_defaults, **topic.config}, replication_factor=len(state.replicas)
        )
        if not partition.apply(state, broker_epoch=broker_epoch, min_isr=min_isr):
            return
        if partition.is_leader or state.leader_id in (NO_LEADER, self._context.broker_id):
            self._fetchers.forget(partition)
        else:
            self._fetchers.follow(partition)

    def _open(self, topic: TopicState, index: int, config: LogConfig) -> Partition:
        """Open or create a replica's log; another topic's under the same name is set aside."""
        known = self._hosted.pop((topic.name, index), None)
        if known is not None:
            self._set_aside(known)
        path = self._directory.partition_path(topic.name, index)
        log = Log.create(self._disk, path, config, topic_id=topic.topic_id, wall_ms=self._wall_ms)
        return self._host(topic.name, index, log)

    def _host(self, topic: str, index: int, log: Log) -> Partition:
        partition = Partition(
            topic, index, topic_id=log.topic_id or b"", log=log, context=self._context
        )
        self._hosted[topic, index] = partition
        return partition

    def _set_aside(self, partition: Partition) -> None:
        # Only the controller's own word deletes data; a name that was given anew is not that.
        self._fetchers.forget(partition)
        partition.close()
        log_events.warning("stray_log_set_aside", partition=partition.name)
        partition.log.set_aside()

    def delete_topic(self, topic_id: bytes) -> int:
        """Delete this broker's replicas of a deleted topic. Returns: how many there were."""
        doomed = [p for p in self if p.topic_id == topic_id]
        for partition in doomed:
            self._fetchers.forget(partition)
            partition.close()
            partition.log.delete()
            del self._hosted[partition.topic, partition.index]
            log_events.info("replica_deleted", partition=partition.name)
        return len(doomed)

    # The data directory.

    def load(self, *, clean: bool) -> None:
        """Open every log in the data directory, recovering those not closed cleanly.

        Raises: StorageError.
        """
        self._directory.finish_deletes()
        self._checkpoints = self._directory.read_checkpoints()
        config = LogConfig.of(self._topic_defaults)
        for topic, index in self._directory.partitions():
            checkpoint = self._checkpoints.get((topic, index), Checkpoint())
            log = Log.open(
                self._disk,
                self._directory.partition_path(topic, index),
                config,
                wall_ms=self._wall_ms,
                clean=clean,
                checkpoint=checkpoint,
            )
            partition = self._host(topic, index, log)
            partition.high_watermark.advance(min(checkpoint.high_watermark, log.log_end_offset))

    async def write_checkpoints(self) -> None:
        """Note how far each log is committed and durable. Raises: StorageError."""
        checkpoints = {
            (p.topic, p.index): Checkpoint(
                recovery_point=p.log.recovery_point,
                high_watermark=p.high_watermark.value,
                log_start_offset=p.log.log_start_offset,
            )
            for p in self
        }
        if checkpoints != self._checkpoints:
            await self._directory.write_checkpoints(checkpoints)
            self._checkpoints = checkpoints

    def apply_retention(self) -> None:
        """Remove what the topics' retention no longer keeps. Raises: StorageError."""
        for partition in self:
            if partition.is_leader:
                partition.log.apply_retention(partition.high_watermark.value)

    async def close(self) -> None:
        """Close every log cleanly and say so on disk. Raises: StorageError."""
        for partition in self:
            partition.close()
            partition.log.prepare_close()
        await self._context.flusher.flush(list(self))
        for partition in self:
            partition.log.close()
        await self.write_checkpoints()
        self._directory.write_clean_marker()
