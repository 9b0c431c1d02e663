"""The cluster as one frozen value: brokers, topics, partitions, controller.

What every broker believes, and what decisions are made on. Must never know: the store, time.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property

from msgspec import Struct, field
from msgspec.structs import replace

NO_LEADER = -1
NO_CONTROLLER = -1


class Endpoint(Struct, frozen=True):
    """Where a listener of a broker can be reached."""

    host: str
    port: int
    listener: str = "PLAINTEXT"


class BrokerRegistration(Struct, frozen=True):
    """A live broker: the value of `/ottla/brokers/ids/<id>`.

    `broker_epoch` is the czxid of that znode, new with every registration (KIP-380).
    `directory_id` names the data directory (16 bytes, hex): an earlier registration with the same
    one is our own ghost. `clean` says that the last stop of this data directory was clean.
    `epoch_version` is the version of `/ottla/brokers/epochs/<id>`, bumped in the multi that
    registers: checked by whoever removes a dead registration.
    `directory_changed` says that this id had another data directory before: what it held is gone.
    `lossy` are replicas, by topic id and number, whose logs lack what was durable in them.
    `shutting_down` is set by the controller when the broker asks to leave: it may follow, but is
    not elected and joins no ISR.
    `offline` are replicas whose logs it cannot open, by topic id and number: of these it counts as
    dead.
    `session_timeout_ms` is how long it may outlive its broker; None if an older release wrote it.
    """

    broker_id: int
    broker_epoch: int
    endpoints: tuple[Endpoint, ...]
    rack: str | None
    directory_id: str
    clean: bool
    epoch_version: int
    directory_changed: bool = False
    lossy: frozenset[tuple[bytes, int]] = frozenset()
    shutting_down: bool = False
    offline: frozenset[tuple[bytes, int]] = frozenset()
    session_timeout_ms: int | None = None


class PartitionState(Struct, frozen=True):
    """One partition's replicas and leadership.

    `isr` and `elr` (KIP-966) are disjoint subsets of `replicas`; the leader is in the ISR.
    `partition_epoch` grows with every change, `leader_epoch` with every election.
    `leader_broker_epoch` is the broker epoch of the leader's registration at its election (-1
    without a leader). A leader that was restarted must not lead on under the old leader epoch: what
    it lost at its crash a follower may hold, under the same epoch. So a broker leads only where
    this is its own broker epoch, and a controller that finds it different from the registration's
    elects anew, also when it never saw the broker go.
    `lost` says that every in-sync replica came back with an empty data directory: there is nobody
    left whom a clean election could choose, only an unclean one, asked for, ends this.
    `adding` and `removing` (KIP-455) are subsets of `replicas`, empty unless a reassignment is
    under way; who is in both has been called off while it was being added.
    `successor_id` is the in-sync replica to which the leader is to hand over (-1: none).
    """

    replicas: tuple[int, ...]
    leader_id: int
    leader_epoch: int
    isr: tuple[int, ...]
    elr: tuple[int, ...] = ()
    partition_epoch: int = 0
    leader_broker_epoch: int = -1
    lost: bool = False
    adding: tuple[int, ...] = ()
    removing: tuple[int, ...] = ()
    successor_id: int = NO_LEADER

    @property
    def replication_factor(self) -> int:
        """How many replicas there are, without those that a reassignment adds: it may fail yet."""
        return len(self.replicas) - len(self.adding)


class TopicState(Struct, frozen=True):
    """One topic: the value of `/ottla/topics/<name>`; `version` is the znode's.

    `inherited` is what the cluster's defaults say about elections (`INHERITED_KEYS`), as the
    controller last decided by them: it stands beside the partitions, so that leaders never follow
    another rule than the one by which their ISR was decided. `config` wins over it.
    """

    name: str
    topic_id: bytes
    config: Mapping[str, str]
    partitions: tuple[PartitionState, ...]
    version: int
    inherited: Mapping[str, str] = field(default_factory=dict)

    @property
    def settings(self) -> Mapping[str, str]:
        """The topic's own config, and what it inherits from the cluster where it has no own."""
        return {**self.inherited, **self.config} if self.inherited else self.config

    def with_partitions(self, changed: Mapping[int, PartitionState]) -> TopicState:
        """Give the topic with some partitions replaced or, past the end, added."""
        count = max([len(self.partitions), *(index + 1 for index in changed)])
        partitions = tuple(changed[i] if i in changed else self.partitions[i] for i in range(count))
        return replace(self, partitions=partitions)


class ClusterState(Struct, frozen=True, dict=True):
    """Everything that the coordination store says about the cluster, at one moment.

    `deleted_topics` maps the id of a deleted topic to its name, until every broker that held a
    replica has confirmed the deletion. Only an id in here allows a broker to delete data.
    `acknowledged` maps a broker id to the `epoch_version` of the last registration that the
    controller has acted on; while it differs from the live one the broker counts as restarted.
    `config` is what all brokers were given at run time, `broker_configs` what single ones were.
    A value that did not change between two states is the same object in both.
    """

    cluster_id: str = ""
    controller_id: int = NO_CONTROLLER
    controller_epoch: int = -1
    brokers: Mapping[int, BrokerRegistration] = field(default_factory=dict)
    topics: Mapping[str, TopicState] = field(default_factory=dict)
    config: Mapping[str, str] = field(default_factory=dict)
    broker_configs: Mapping[int, Mapping[str, str]] = field(default_factory=dict)
    deleted_topics: Mapping[bytes, str] = field(default_factory=dict)
    acknowledged: Mapping[int, int] = field(default_factory=dict)

    @cached_property
    def topic_names(self) -> Mapping[bytes, str]:
        """The names of the live topics by topic id."""
        return {topic.topic_id: name for name, topic in self.topics.items()}

    def topic_of_id(self, topic_id: bytes) -> TopicState | None:
        """Look up a topic by its id; None where it is unknown."""
        name = self.topic_names.get(topic_id)
        return None if name is None else self.topics[name]

    def partition(self, topic: str, index: int) -> PartitionState | None:
        """Look up a partition; None where topic or index is unknown."""
        state = self.topics.get(topic)
        if state is None or not 0 <= index < len(state.partitions):
            return None
        return state.partitions[index]

    def with_topic(self, topic: TopicState) -> ClusterState:
        """Give the cluster with one topic added or replaced."""
        return replace(self, topics={**self.topics, topic.name: topic})

    def without_broker(self, broker_id: int) -> ClusterState:
        """Give the cluster with one broker gone."""
        return replace(self, brokers={i: b for i, b in self.brokers.items() if i != broker_id})
