"""What the controller is told or asked, and what it answers: inputs and output of `decide`.

Must never know: how events arrive, how changes are written.
"""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING, Protocol, TypeAlias

from msgspec import Struct, field
from msgspec.structs import replace

from coordinator.cluster import ClusterState

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from coordinator.cluster import BrokerRegistration, TopicState
    from protocol.errors import RequestError

DEFAULT = -1
"""Asks for the cluster's default number of partitions or replicas."""

ConfigCheck: TypeAlias = "Callable[[Mapping[str, str]], None]"
"""Raises RequestError where a topic's config is not valid. Must be pure."""


class BrokerConfigCheck(Protocol):
    """Refuses what brokers cannot be given at run time. Must be pure."""

    def __call__(self, config: Mapping[str, str], /, *, per_broker: bool) -> None:
        """Check a single broker's config, or that of all. Raises: RequestError."""


def accept_config(_config: Mapping[str, str], **_facts: bool) -> None:
    """Accept every config: what only the log depends on is not checked."""


class ConfigChecks(Struct, frozen=True):
    """The checks of whoever knows what the settings mean."""

    topic: ConfigCheck = accept_config
    broker: BrokerConfigCheck = accept_config


class NewTopic(Struct, frozen=True):
    """A topic to create; `assignment` by partition index replaces the two counts.

    `topic_id` and `start` (where the spread of replicas begins) are random and are filled in by
    the controller.
    """

    name: str
    partition_count: int = DEFAULT
    replication_factor: int = DEFAULT
    assignment: Mapping[int, tuple[int, ...]] | None = None
    config: Mapping[str, str] = field(default_factory=dict)
    topic_id: bytes = b""
    start: int = 0


class TopicGrowth(Struct, frozen=True):
    """Partitions to add to a topic until it has `partition_count`.

    `assignment` names the replicas of each added partition, in order.
    """

    name: str
    partition_count: int
    assignment: tuple[tuple[int, ...], ...] | None = None
    start: int = 0


class ConfigOperation(IntEnum):
    """What to do with a config value; the numbers are those of IncrementalAlterConfigs."""

    SET = 0
    DELETE = 1
    APPEND = 2
    SUBTRACT = 3


class ConfigEdit(Struct, frozen=True):
    """Changes to the config of a topic, or of brokers: (key, operation, value) in order.

    With `from_scratch` what is not set by them is dropped (the older AlterConfigs).
    """

    name: str
    changes: tuple[tuple[str, ConfigOperation, str], ...]
    from_scratch: bool = False


class IsrChange(Struct, frozen=True):
    """An ISR that a leader proposes for a partition: broker ids with their broker epochs.

    A broker epoch of -1 is not checked where the replica is in the ISR already.
    """

    topic_id: bytes
    partition: int
    leader_epoch: int
    partition_epoch: int
    isr: Mapping[int, int]


class BrokersChanged(Struct, frozen=True):
    """Brokers came, went or came back; `topics` limits the look to those that are new to us."""

    topics: tuple[str, ...] | None = None


class CreateTopics(Struct, frozen=True):
    """A client wants topics."""

    items: tuple[NewTopic, ...]
    check: ConfigCheck = accept_config


class DeleteTopics(Struct, frozen=True):
    """A client wants topics gone, by name; `topic_ids` are those that some of them must have."""

    items: tuple[str, ...]
    topic_ids: Mapping[str, bytes] = field(default_factory=dict)


class CreatePartitions(Struct, frozen=True):
    """A client wants topics to have more partitions."""

    items: tuple[TopicGrowth, ...]


class AlterConfigs(Struct, frozen=True):
    """A client wants topics configured differently."""

    items: tuple[ConfigEdit, ...]
    check: ConfigCheck = accept_config


class AlterBrokerConfigs(Struct, frozen=True):
    """A client wants brokers configured differently; an edit without a name is about all of them.

    Of a single broker the name is its id.
    """

    items: tuple[ConfigEdit, ...]
    check: BrokerConfigCheck = accept_config


class DefaultsChanged(Struct, frozen=True):
    """What all brokers are given was changed: topics may inherit something else."""


class AlterPartitions(Struct, frozen=True):
    """A leader proposes in-sync replicas (KIP-497)."""

    broker_id: int
    broker_epoch: int
    items: tuple[IsrChange, ...]


class ElectLeaders(Struct, frozen=True):
    """Leaders are wanted for these (topic, partition): the preferred ones.

    With `unclean` any leader where there is none, and one that may lack records if it must be so.
    """

    items: tuple[tuple[str, int], ...]
    unclean: bool = False


class Reassignment(Struct, frozen=True):
    """The replicas that a partition is to have, the preferred leader first.

    None ends the reassignment that is under way, and brings back the replicas there were.
    """

    name: str
    partition: int
    replicas: tuple[int, ...] | None


class AlterReassignments(Struct, frozen=True):
    """Partitions are wanted on other replicas (KIP-455)."""

    items: tuple[Reassignment, ...]


class Rebalance(Struct, frozen=True):
    """Preferred leaders are due again, for at most `limit` partitions at once."""

    limit: int


class ShutDownBroker(Struct, frozen=True):
    """A broker wants to leave: its leaderships go to others first."""

    broker_id: int
    broker_epoch: int


Event: TypeAlias = (
    BrokersChanged
    | CreateTopics
    | DeleteTopics
    | CreatePartitions
    | AlterConfigs
    | AlterBrokerConfigs
    | DefaultsChanged
    | AlterPartitions
    | AlterReassignments
    | ElectLeaders
    | Rebalance
    | ShutDownBroker
)


class Changes(Struct, frozen=True):
    """What a decision changes: topics created or replaced, topics deleted, notes on brokers.

    `config` and `broker_configs` replace what brokers are given at run time, None leaves it.
    `refused` says by the index of an item why it changes nothing, `refusal` why the whole event
    does not.
    """

    topics: Mapping[str, TopicState] = field(default_factory=dict)
    deleted: tuple[str, ...] = ()
    brokers: Mapping[int, BrokerRegistration] = field(default_factory=dict)
    acknowledged: Mapping[int, int] = field(default_factory=dict)
    config: Mapping[str, str] | None = None
    broker_configs: Mapping[int, Mapping[str, str]] | None = None
    refused: Mapping[int, RequestError] = field(default_factory=dict)
    refusal: RequestError | None = None

    def apply_to(self, state: ClusterState) -> ClusterState:
        """Give the cluster as it is once the changes are written."""
        if self.topics or self.deleted:
            topics = {**state.topics, **self.topics}
            tombs = {topics[name].topic_id: name for name in self.deleted}
            for name in self.deleted:
                del topics[name]
            deleted_topics = {**state.deleted_topics, **tombs}
            state = replace(state, topics=topics, deleted_topics=deleted_topics)
        if self.brokers:
            state = replace(state, brokers={**state.brokers, **self.brokers})
        if self.acknowledged:
            state = replace(state, acknowledged={**state.acknowledged, **self.acknowledged})
        if self.config is not None and self.config != state.config:
            state = replace(state, config=self.config)
        if self.broker_configs is not None and self.broker_configs != state.broker_configs:
            state = replace(state, broker_configs=self.broker_configs)
        return state
