"""The replicas that this broker hosts: opened, told what the cluster decided, closed.

Must never know: requests, how a replica leads or follows, the store.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import structlog
import trio

from broker.checkpoints import Checkpoints
from broker.errors import NotLeader, PartitionOffline, UnknownTopicId, UnknownTopicOrPartition
from broker.loading import open_logs
from broker.log.config import LogConfig
from broker.log.errors import DiskFull, LogDamaged
from broker.log.log import Log
from broker.log.offline import OfflineLog
from broker.log.storage import Storage
from broker.partition import Partition
from broker.replication.throttle import ThrottledReplicas
from coordinator.cluster import NO_LEADER, ClusterState
from coordinator.topic_config import min_insync_replicas

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Container, Iterator, Mapping

    from broker.log.directory import DataDirectory
    from broker.log.disk import Disk
    from broker.partition_context import PartitionContext
    from broker.replication.fetchers import Fetchers
    from coordinator.cluster import PartitionState, TopicState
    from protocol.errors import StorageError

log_events = structlog.get_logger()


class Partitions:
    """All partitions of one broker, by topic and number.

    A replica whose log could not be opened, or is damaged, is offline: it takes part in nothing.
    """

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
        self.directory = directory
        self._disk = disk
        self._context = context
        self._fetchers = fetchers
        self._topic_defaults = topic_defaults
        self._wall_ms = wall_ms
        self._hosted: dict[tuple[str, int], Partition] = {}
        self._offline: dict[tuple[str, int], OfflineLog] = {}
        self._cluster = ClusterState()
        self._obeyed: dict[str, tuple[TopicState, int, Mapping[str, str]]] = {}
        self._unlisted: dict[str, list[int]] = {}
        self._renamed: list[str] = []
        self.offline_changed = trio.Event()
        self.checkpoints = Checkpoints(directory)
        self._starts_lowered = self._has_obeyed = False
        self._gone = frozenset[tuple[bytes, int]]()
        self._waiting_for_room: set[str] = set()

    def __iter__(self) -> Iterator[Partition]:
        return iter(tuple(self._hosted.values()))

    # Look-ups.

    def get(self, topic: str, index: int) -> Partition:
        """Find a hosted partition.

        Raises: UnknownTopicOrPartition, NotLeader (not hosted here), PartitionOffline.
        """
        partition = self._hosted.get((topic, index))
        known = self._cluster.topics.get(topic)
        # One that was deleted and created anew has other records, under the same epochs.
        if partition is not None and known is not None and partition.topic_id == known.topic_id:
            return partition
        state = self._cluster.partition(topic, index)
        if state is None:
            raise UnknownTopicOrPartition(f"there is no partition {topic}-{index}")
        offline = self._offline.get((topic, index))
        if offline is not None:
            raise PartitionOffline(f"{topic}-{index} is offline on this broker: {offline.error}")
        raise NotLeader(leader_id=state.leader_id, leader_epoch=state.leader_epoch)

    def topic_name(self, topic_id: bytes) -> str:
        """Find a topic's name. Raises: UnknownTopicId."""
        topic = self._cluster.topic_of_id(topic_id)
        if topic is None:
            raise UnknownTopicId(f"no topic has the id {topic_id.hex()}")
        return topic.name

    def offline(self) -> Iterator[tuple[tuple[str, int], OfflineLog]]:
        """Iterate over the replicas that are offline, by topic and number."""
        return iter(tuple(self._offline.items()))

    def live_brokers(self) -> Collection[int]:
        """Give the ids of the brokers that are there."""
        return self._cluster.brokers.keys()

    def offline_replicas(self) -> frozenset[tuple[bytes, int]]:
        """Name the replicas that are offline, where it can be read whose they are."""
        found = self._offline.items()
        return frozenset((log.topic_id, index) for (_, index), log in found if log.topic_id)

    def lossy_replicas(self) -> frozenset[tuple[bytes, int]]:
        """Name the replicas that have lost durable records, also those whose logs are gone."""
        return self._gone.union((p.topic_id, p.index) for p in self if p.losses.any)

    def may_lead(self) -> bool:
        """Say whether the coordinator still counts on this broker: else it leads nothing."""
        return self._context.lease_held()

    def led(self) -> Iterator[Partition]:
        """Iterate over the partitions that this broker leads."""
        return (partition for partition in self if partition.is_leader)

    # Obeying the controller.

    def set_topic_defaults(self, defaults: Mapping[str, str]) -> None:
        """Take over what topics get that do not say it themselves, with the next `obey`."""
        self._topic_defaults = defaults

    async def obey(self, cluster: ClusterState, *, broker_epoch: int) -> bool:
        """Open, lead, follow or give up partitions as the cluster's state says.

        Returns: whether all was done; else it is to be tried again, as a full disk has no room for
        a new replica. Raises: StorageError.
        """
        if self._starts_lowered:
            # Before anything is appended there: it would be hidden by what is noted until now.
            await self.write_checkpoints()
            self._starts_lowered = False
        before, self._cluster = self._cluster, cluster
        for name, topic in cluster.topics.items():
            wanted = (topic, broker_epoch, self._topic_defaults)
            if self._obeyed.get(name) != wanted or name in self._waiting_for_room:
                await self._obey_topic(topic, broker_epoch=broker_epoch)
                self._obeyed[name] = wanted
        for name in [name for name in self._obeyed if name not in cluster.topics]:
            del self._obeyed[name]
            self._waiting_for_room.discard(name)
            for partition in self:
                if partition.topic == name:
                    self._fetchers.forget(partition)
                    partition.close()
        self._has_obeyed = True
        if cluster.brokers is not before.brokers:
            for partition in self.led():
                partition.deleters_waiting.unpark_all()  # other replicas may count now
        return not self._waiting_for_room

    async def _obey_topic(self, topic: TopicState, *, broker_epoch: int) -> None:
        self._waiting_for_room.discard(topic.name)
        config = LogConfig.of({**self._topic_defaults, **topic.settings})
        held_back = ThrottledReplicas.of(topic.config)
        left = self._unlisted.get(topic.name, ())  # until all is done: the session may end before
        unlisted = []
        for index, state in enumerate(topic.partitions):
            if self._context.broker_id not in state.replicas:
                if self._leave(topic, index, broker_epoch=broker_epoch):
                    unlisted.append(index)
                continue
            if self._is_offline(topic, index):
                continue
            leads = state.leader_id == self._context.broker_id
            partition = self._hosted.get((topic.name, index))
            if partition is None or partition.topic_id != topic.topic_id:
                try:
                    partition = await self._open(topic, index, config)
                except DiskFull as error:
                    if leads:
                        raise  # then somebody else is elected
                    self._waiting_for_room.add(topic.name)
                    log_events.warning("replica_not_made", topic=topic.name, error=str(error))
                    continue
            if partition.log.config != config:
                partition.reconfigure(config)
            partition.throttles = self._context.throttles.of_replica(
                held_back, index, self._context.broker_id
            )
            while leads and partition.offline is None and not partition.noted_start.is_safe:
                await self.write_checkpoints()  # what it appends could be hidden by what is noted
            is_new = self._hand_role(partition, state, broker_epoch=broker_epoch, topic=topic)
            if is_new or index in left:
                self._fetch_if_following(partition)
        self._unlisted.pop(topic.name, None)
        if unlisted:
            self._unlisted[topic.name] = unlisted

    def _leave(self, topic: TopicState, index: int, *, broker_epoch: int) -> bool:
        """Take no more part in a partition that does not list us; its log stays for now.

        Returns: whether there is one.
        """
        key = (topic.name, index)
        found: Partition | OfflineLog | None = self._hosted.get(key) or self._offline.get(key)
        if found is None or found.topic_id != topic.topic_id:
            return False
        if isinstance(found, Partition):
            state = topic.partitions[index]
            self._fetchers.forget(found)
            found.apply(state, broker_epoch=broker_epoch, min_isr=1)
            return found.state is state  # else that was old news
        return True

    def _is_offline(self, topic: TopicState, index: int) -> bool:
        """Say whether the replica has no log here; what is left of another topic's is set aside."""
        if (log := self._offline.get((topic.name, index))) is None:
            return False
        if log.topic_id is None:  # nothing says whose it is, and it is in the way of this one
            log.topic_id = topic.topic_id
            self.offline_changed.set()
        if log.topic_id == topic.topic_id:
            return True
        log_events.warning("stray_log_set_aside", partition=f"{topic.name}-{index}")
        log.set_aside()
        del self._offline[topic.name, index]
        return False

    def _hand_role(
        self, partition: Partition, state: PartitionState, *, broker_epoch: int, topic: TopicState
    ) -> bool:
        """Tell a replica what it is now. Returns: whether it has another leader or role."""
        min_isr = min_insync_replicas(
            {**self._topic_defaults, **topic.settings},
            replication_factor=state.replication_factor,
        )
        return partition.apply(state, broker_epoch=broker_epoch, min_isr=min_isr)

    def _fetch_if_following(self, partition: Partition) -> None:
        if partition.is_leader or partition.leader_id in (NO_LEADER, self._context.broker_id):
            self._fetchers.forget(partition)
        else:
            self._fetchers.follow(partition)

    async def _open(self, topic: TopicState, index: int, config: LogConfig) -> Partition:
        """Open or create a replica's log; another topic's under the same name is set aside."""
        await trio.lowlevel.checkpoint()
        known = self._hosted.pop((topic.name, index), None)
        if known is not None:
            self._set_aside(known)
        if (topic.name, index) in self.checkpoints:
            # What is noted of the log that was here would be believed of the new one.
            await self.write_checkpoints()
        path = self.directory.partition_path(topic.name, index)
        log = Log.create(self._disk, path, config, topic_id=topic.topic_id, wall_ms=self._wall_ms)
        partition = self._host(topic.name, index, log)
        if not (self._has_obeyed and self._context.broker_id in topic.partitions[index].isr):
            partition.losses.copies()  # else the topic is new, and there is nothing to copy
        return partition

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

    def take_offline(self, partition: Partition, error: StorageError) -> None:
        """Give up a replica whose log is damaged; all others are served as before."""
        key, log = (partition.topic, partition.index), partition.log
        del self._hosted[key]
        self._fetchers.forget(partition)
        log.close(clean=False)
        storage = Storage(self._disk, log.directory, log.config, self._wall_ms)
        self._offline[key] = OfflineLog(storage, error, partition.topic_id)
        self.offline_changed.set()

    async def delete_topics(self, topic_ids: Container[bytes]) -> int:
        """Delete our replicas of deleted topics while others go on. Returns: how many."""
        doomed = [(p.topic, p.index) for p in self if p.topic_id in topic_ids]
        doomed += [key for key, log in self._offline.items() if log.topic_id in topic_ids]
        for topic, index in doomed:
            await trio.lowlevel.checkpoint()
            self._begin_delete(topic, index)
            log_events.info("replica_deleted", partition=f"{topic}-{index}")
        await self._finish_deletes()
        return len(doomed)

    def _begin_delete(self, topic: str, index: int) -> None:
        """Be without a replica. Its files are renamed; `_finish_deletes` removes them."""
        log: Log | OfflineLog
        if (partition := self._hosted.pop((topic, index), None)) is not None:
            self._fetchers.forget(partition)
            partition.close()
            log = partition.log
        else:
            log = self._offline.pop((topic, index))
        self._renamed.append(log.begin_delete())

    async def _finish_deletes(self) -> None:
        if paths := self._renamed:
            await self._disk.discard(paths)
            self._renamed = [path for path in self._renamed if path not in paths]

    @property
    def unlisted(self) -> list[TopicState]:
        """The topics, as last obeyed, of which we hold replicas that they do not list."""
        return [
            self._cluster.topics[name] for name in self._unlisted if name in self._cluster.topics
        ]

    async def drop_unlisted(self, topic: TopicState) -> None:
        """Delete our replicas that a topic does not list, where that is still what was obeyed.

        Only for one who knows that nobody counts on them: see `BrokerSession`.
        """
        if self._cluster.topics.get(topic.name) is not topic:
            return
        for index in self._unlisted.pop(topic.name, ()):
            self._begin_delete(topic.name, index)
            log_events.info("replica_removed", partition=f"{topic.name}-{index}")
        await self._finish_deletes()

    # The data directory.

    def load(self, *, clean: bool) -> None:
        """Host what the data directory has, before anything is obeyed.

        A log that cannot be opened takes its replica offline. Raises: StorageError where it is
        the directory that cannot be used.
        """
        config = LogConfig.of(self._topic_defaults)
        found = open_logs(
            self._disk, self.directory, self.checkpoints, config, wall_ms=self._wall_ms, clean=clean
        )
        for key, log in found:
            if isinstance(log, OfflineLog):
                self._offline[key] = log
            else:
                self._host_found(key, log)
        # A log that says it is another topic's will be set aside: what was ours is gone as well.
        here = {key: log.topic_id for key, log in self._offline.items()}
        here |= {key: partition.topic_id for key, partition in self._hosted.items()}
        self._gone = self.checkpoints.gone(here)

    def _host_found(self, key: tuple[str, int], log: Log) -> None:
        checkpoint = self.checkpoints.get(key)
        partition = self._host(*key, log)
        if log.recovery.records_lost or checkpoint.lacks_records:
            partition.losses.found()
        if not log.recovery.records_lost:
            # Else what is left may be from before a truncation: none of it counts as committed.
            partition.high_watermark.advance(min(checkpoint.high_watermark, log.log_end_offset))
        self._starts_lowered |= log.log_start_offset < checkpoint.log_start_offset

    async def write_checkpoints(self) -> None:
        """Note how far each log is committed and durable. Raises: StorageError.

        Not before the controller knows what was lost: this forgets how far a log should reach.
        """
        noted = await self.checkpoints.write(self, offline=self._offline)
        for partition, checkpoint in noted.items():
            if partition.log_start_noted(checkpoint.log_start_offset):
                self._fetchers.touch(partition)

    async def apply_retention(self) -> None:
        """Remove what the topics' retention no longer keeps. Raises: StorageError."""
        for partition in self:
            await trio.lowlevel.checkpoint()  # there may be thousands, with hundreds of segments
            place = (partition.topic, partition.index)
            try:
                while self._hosted.get(place) is partition and partition.apply_retention():
                    await trio.lowlevel.checkpoint()
                partition.log.rest()
            except LogDamaged:
                continue  # it is given up, or goes on as it is

    async def close(self) -> None:
        """Close every log cleanly and say so on disk, if it is so. Raises: StorageError."""
        for partition in self:
            partition.close()
            partition.log.prepare_close()
        await self._context.flusher.flush(list(self))
        for partition in self:
            if partition.offline is not None:
                raise partition.offline
            partition.log.close()
        await self.write_checkpoints()
        if not self._offline:  # how an offline log was left, its next opening has to find out
            self.directory.write_clean_marker()
