"""The cluster as it is being read: mutable pieces from which a frozen ClusterState is made.

A piece that was read later never gives way to one that was read earlier, and only the maps that
changed since the last freeze are copied.
Must never know: how and when things are read.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec.structs import replace

from coordinator.cluster import NO_CONTROLLER, ClusterState

if TYPE_CHECKING:
    from collections.abc import Iterable

    from coordinator.cluster import BrokerRegistration, TopicState
    from coordinator.records import ControllerRecord

UNREAD_ZXID = 0
"""The transaction of a topic that we wrote ourselves and have not read yet."""


class Draft:
    """What has been read of the cluster so far."""

    def __init__(self) -> None:
        self._frozen = ClusterState()
        self._brokers: dict[int, BrokerRegistration] = {}
        self._topics: dict[str, TopicState] = {}
        self._topic_zxids: dict[str, int] = {}
        self._listed_topics: set[str] = set()
        self._created_since_listing: set[str] = set()
        self._deleted_since_listing: set[str] = set()
        self._deleted: dict[bytes, str] = {}
        self._brokers_stale = self._topics_stale = self._deleted_stale = False

    def freeze(self) -> ClusterState:
        """Give the cluster as read so far; the same object where nothing has changed."""
        if self._brokers_stale:
            self._frozen = replace(self._frozen, brokers=dict(self._brokers))
        if self._topics_stale:
            self._frozen = replace(self._frozen, topics=dict(self._topics))
        if self._deleted_stale:
            self._frozen = replace(self._frozen, deleted_topics=dict(self._deleted))
        self._brokers_stale = self._topics_stale = self._deleted_stale = False
        return self._frozen

    # What is one value.

    def set_cluster_id(self, cluster_id: str) -> None:
        """Note the cluster's id."""
        if cluster_id != self._frozen.cluster_id:
            self._frozen = replace(self._frozen, cluster_id=cluster_id)

    def set_config(self, config: dict[str, str], broker_configs: dict[int, dict[str, str]]) -> None:
        """Note what all brokers, and single ones, were given at run time."""
        if config != self._frozen.config:
            self._frozen = replace(self._frozen, config=config)
        if broker_configs != self._frozen.broker_configs:
            self._frozen = replace(self._frozen, broker_configs=broker_configs)

    def set_acknowledged(self, acknowledged: dict[int, int]) -> None:
        """Note which registrations the controller has acted on."""
        if acknowledged != self._frozen.acknowledged:
            self._frozen = replace(self._frozen, acknowledged=acknowledged)

    def set_controller(self, record: ControllerRecord | None) -> None:
        """Note who decides; without anybody the last known epoch stays."""
        known = self._frozen
        controller_id = NO_CONTROLLER if record is None else record.broker_id
        epoch = known.controller_epoch if record is None else record.controller_epoch
        if (controller_id, epoch) != (known.controller_id, known.controller_epoch):
            self._frozen = replace(known, controller_id=controller_id, controller_epoch=epoch)

    # Brokers.

    def list_brokers(self, broker_ids: Iterable[int]) -> list[int]:
        """Note which brokers there are. Returns: those that are still to be read."""
        listed = set(broker_ids)
        for gone in self._brokers.keys() - listed:
            self.drop_broker(gone)
        return sorted(listed - self._brokers.keys())

    def set_broker(self, registration: BrokerRegistration) -> None:
        """Note a registration."""
        if self._brokers.get(registration.broker_id) != registration:
            self._brokers[registration.broker_id] = registration
            self._brokers_stale = True

    def drop_broker(self, broker_id: int) -> None:
        """Note that a registration has gone."""
        if self._brokers.pop(broker_id, None) is not None:
            self._brokers_stale = True

    # Topics.

    def begin_listing_topics(self) -> None:
        """Note that a list of topics is asked for: what we write from now on it may not know."""
        self._created_since_listing.clear()
        self._deleted_since_listing.clear()

    def list_topics(self, names: Iterable[str]) -> list[str]:
        """Note which topics there are. Returns: those that are still to be read."""
        listed = {*names, *self._created_since_listing} - self._deleted_since_listing
        self._listed_topics = listed
        for gone in self._topics.keys() - self._listed_topics:
            self.drop_topic(gone)
        return sorted(self._listed_topics - self._topics.keys())

    def set_topic(self, topic: TopicState, *, zxid: int) -> None:
        """Note a topic as of transaction `zxid`; older news than what is known is dropped.

        So is a topic that has a tombstone: it was read before that was written.
        """
        name = topic.name
        if name not in self._listed_topics or zxid < self._topic_zxids.get(name, UNREAD_ZXID):
            return
        if topic.topic_id in self._deleted:
            return
        self._topic_zxids[name] = zxid
        if self._topics.get(name) != topic:
            self._topics[name] = topic
            self._topics_stale = True

    def add_topic(self, topic: TopicState) -> None:
        """Note a topic that was created by us, before it has been read."""
        self._listed_topics.add(topic.name)
        self._created_since_listing.add(topic.name)
        self._deleted_since_listing.discard(topic.name)
        self._topic_zxids.pop(topic.name, None)
        self.set_topic(topic, zxid=UNREAD_ZXID)

    def drop_topic(self, name: str) -> None:
        """Note that a topic has gone."""
        self._topic_zxids.pop(name, None)
        if self._topics.pop(name, None) is not None:
            self._topics_stale = True

    def remove_topic(self, topic: TopicState) -> None:
        """Note that a topic was deleted by us."""
        self._listed_topics.discard(topic.name)
        self._deleted_since_listing.add(topic.name)
        self._created_since_listing.discard(topic.name)
        self.drop_topic(topic.name)
        self.set_deleted(topic.topic_id, topic.name)

    # Deleted topics.

    def list_deleted(self, topic_ids: Iterable[bytes]) -> list[bytes]:
        """Note which tombstones there are. Returns: those that are still to be read."""
        listed = set(topic_ids)
        for gone in self._deleted.keys() - listed:
            del self._deleted[gone]
            self._deleted_stale = True
        return sorted(listed - self._deleted.keys())

    def set_deleted(self, topic_id: bytes, name: str) -> None:
        """Note a tombstone. The topic is gone with it, also where that is still to be read.

        A broker that saw both would take the topic's replicas up, and say that it has none.
        """
        if self._deleted.get(topic_id) != name:
            self._deleted[topic_id] = name
            self._deleted_stale = True
        known = self._topics.get(name)
        if known is not None and known.topic_id == topic_id:
            self.drop_topic(name)
