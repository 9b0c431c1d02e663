"""The controller's decisions about topics: creation, deletion, more partitions, configs.

Pure, like all decisions. Must never know: the store, time, chance.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from msgspec.structs import replace

from coordinator import elect
from coordinator.assign import assign, check_manual
from coordinator.cluster import PartitionState, TopicState
from coordinator.errors import (
    InvalidConfig,
    InvalidPartitions,
    InvalidReplicaAssignment,
    InvalidTopicName,
    TopicExists,
    UnknownTopic,
)
from coordinator.events import DEFAULT, Changes, ConfigOperation
from coordinator.topic_config import (
    CLEANUP_POLICY,
    INHERITED_KEYS,
    LISTS,
    ElectionRules,
    check_config,
    check_name,
)
from protocol.errors import ErrorCode, RequestError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from coordinator.cluster import ClusterState
    from coordinator.events import (
        AlterConfigs,
        ConfigEdit,
        CreatePartitions,
        CreateTopics,
        DeleteTopics,
        NewTopic,
        TopicGrowth,
    )

PARTITIONS_PER_TOPIC_MAX: Final = 10_000
REPLICAS_PER_TOPIC_MAX: Final = 30_000
"""A topic is one znode: this many replicas take about half of what one may hold, and with large ids
that are all on their way elsewhere, beside the largest config, they still fit."""

NOT_WRITTEN: Final = -1
"""The version of a topic that is decided but has no znode yet."""

_DEFAULT_PARTITIONS: Final = "num.partitions"
_DEFAULT_REPLICATION_FACTOR: Final = "default.replication.factor"


def rules_of(topic: TopicState, partition: PartitionState) -> ElectionRules:
    """Read what a topic's config says about the elections of one of its partitions."""
    return ElectionRules.of(topic.settings, replication_factor=partition.replication_factor)


def inherited_by_topics(state: ClusterState) -> dict[str, str]:
    """Give what every topic has of the cluster's defaults where it does not say otherwise."""
    return {key: state.config[key] for key in INHERITED_KEYS if key in state.config}


def create_topics(state: ClusterState, event: CreateTopics) -> Changes:
    """Decide on new topics: names, replicas, first leaders."""
    created: dict[str, TopicState] = {}
    refused: dict[int, RequestError] = {}
    taken = _Names(state.topics)
    for number, new in enumerate(event.items):
        try:
            check_name(new.name)
            taken.check_unused(new.name)
            check_config(new.config)
            event.check(new.config)
            created[new.name] = _new_topic(state, new)
            taken.add(new.name)
        except RequestError as error:
            refused[number] = error
    return Changes(topics=created, refused=refused)


def delete_topics(state: ClusterState, event: DeleteTopics) -> Changes:
    """Decide on deletions; brokers drop the data when they see the topic id among the deleted."""
    names: dict[str, None] = {}
    refused: dict[int, RequestError] = {}
    for number, name in enumerate(event.items):
        topic, wanted_id = state.topics.get(name), event.topic_ids.get(name)
        if wanted_id is not None and (topic is None or topic.topic_id != wanted_id):
            refused[number] = RequestError.of(
                ErrorCode.UNKNOWN_TOPIC_ID, f"there is no topic with the id {wanted_id.hex()}"
            )
        elif topic is None:
            refused[number] = UnknownTopic(f"there is no topic {name}")
        else:
            names[name] = None
    return Changes(deleted=tuple(names), refused=refused)


def create_partitions(state: ClusterState, event: CreatePartitions) -> Changes:
    """Decide on partitions to add to existing topics."""
    grown: dict[str, TopicState] = {}
    refused: dict[int, RequestError] = {}
    for number, growth in enumerate(event.items):
        topic = grown.get(growth.name) or state.topics.get(growth.name)
        try:
            if topic is None:
                raise UnknownTopic(f"there is no topic {growth.name}")
            grown[growth.name] = _grown(state, topic, growth)
        except RequestError as error:
            refused[number] = error
    return Changes(topics=grown, refused=refused)


def alter_configs(state: ClusterState, event: AlterConfigs) -> Changes:
    """Decide on config changes, and on the elections that they make possible."""
    altered: dict[str, TopicState] = {}
    refused: dict[int, RequestError] = {}
    roll = elect.RollCall.of(state)
    for number, edit in enumerate(event.items):
        topic = altered.get(edit.name) or state.topics.get(edit.name)
        try:
            if topic is None:
                raise UnknownTopic(f"there is no topic {edit.name}")
            config = edited(topic.config, edit, defaults=_list_defaults(state))
            check_config(config)
            event.check(config)
        except RequestError as error:
            refused[number] = error
            continue
        altered[edit.name] = reconsidered(replace(topic, config=config), roll)
    return Changes(topics=altered, refused=refused)


def reconsidered(topic: TopicState, roll: elect.RollCall) -> TopicState:
    """Give a topic whose settings have changed, with what follows from that for its partitions."""
    partitions = tuple(
        elect.reconsider(p, roll.of_partition(topic.topic_id, index), rules_of(topic, p))
        for index, p in enumerate(topic.partitions)
    )
    return replace(topic, partitions=partitions)


class _Names:
    """Topic names that are taken; tools that derive others from them cannot tell some apart."""

    def __init__(self, names: Iterable[str]) -> None:
        self._taken = set(names)
        self._unified = {_unified(name): name for name in self._taken}

    def add(self, name: str) -> None:
        """Take a name."""
        self._taken.add(name)
        self._unified[_unified(name)] = name

    def check_unused(self, name: str) -> None:
        """Refuse a name that is taken, also where it differs in dots and underscores alone.

        Raises: TopicExists, InvalidTopicName. Source: KAFKA-2337.
        """
        if name in self._taken:
            raise TopicExists(f"topic {name} exists already")
        alike = self._unified.get(_unified(name))
        if alike is not None:
            raise InvalidTopicName(
                f"topic {name} and topic {alike}, which exists, differ in dots and underscores"
                " alone: choose another name"
            )


def _unified(name: str) -> str:
    return name.replace(".", "_")


def _new_topic(state: ClusterState, new: NewTopic) -> TopicState:
    if new.assignment is None:
        racks = _racks(state)
        count = _default(state, _DEFAULT_PARTITIONS, new.partition_count, fallback=1)
        _check_partition_count(count)
        spread = assign(
            racks,
            partition_count=count,
            replication_factor=_default(
                state,
                _DEFAULT_REPLICATION_FACTOR,
                new.replication_factor,
                fallback=max(1, min(3, len(_known_brokers(state)))),
            ),
            start=new.start,
        )
    else:
        _check_partition_count(len(new.assignment))
        spread = _check_manual(state, new.assignment, first_partition=0)
    partitions = _new_partitions(state, spread, beside=())
    return TopicState(
        new.name,
        new.topic_id,
        dict(new.config),
        partitions,
        version=NOT_WRITTEN,
        inherited=inherited_by_topics(state),
    )


def _grown(state: ClusterState, topic: TopicState, growth: TopicGrowth) -> TopicState:
    present = len(topic.partitions)
    if growth.partition_count <= present:
        raise InvalidPartitions(
            f"topic {topic.name} has {present} partitions: ask for more than that, "
            "partitions are never taken away"
        )
    _check_partition_count(growth.partition_count)
    added = growth.partition_count - present
    if growth.assignment is None:
        spread = assign(
            _racks(state),
            partition_count=added,
            replication_factor=topic.partitions[0].replication_factor,
            start=growth.start,
            first_partition=present,
        )
    else:
        if len(growth.assignment) != added:
            raise InvalidReplicaAssignment(
                f"{added} partitions are added, {len(growth.assignment)} are assigned"
            )
        factor = topic.partitions[0].replication_factor
        if any(len(replicas) != factor for replicas in growth.assignment):
            raise InvalidReplicaAssignment(
                f"partitions of topic {topic.name} have {factor} replicas: assign as many to each"
                " that is added"
            )
        by_index = dict(enumerate(growth.assignment, start=present))
        spread = _check_manual(state, by_index, first_partition=present)
    added_partitions = _new_partitions(state, spread, beside=topic.partitions)
    return replace(topic, partitions=topic.partitions + added_partitions)


def _new_partitions(
    state: ClusterState,
    spread: tuple[tuple[int, ...], ...],
    *,
    beside: tuple[PartitionState, ...],
) -> tuple[PartitionState, ...]:
    replica_count = sum(len(p.replicas) for p in beside) + sum(len(each) for each in spread)
    if replica_count > REPLICAS_PER_TOPIC_MAX:
        raise InvalidPartitions(
            f"{replica_count} replicas in all: a topic has at most {REPLICAS_PER_TOPIC_MAX}"
        )
    live = frozenset(_racks(state))
    return tuple(_new_partition(state, replicas, live) for replicas in spread)


def _new_partition(
    state: ClusterState, replicas: tuple[int, ...], live: frozenset[int]
) -> PartitionState:
    """Start a partition: every live replica is in sync with what is empty, the first one leads."""
    isr = tuple(r for r in replicas if r in live)
    return PartitionState(
        replicas=replicas,
        leader_id=isr[0],
        leader_epoch=0,
        isr=isr,
        leader_broker_epoch=state.brokers[isr[0]].broker_epoch,
    )


def _known_brokers(state: ClusterState) -> frozenset[int]:
    """Name the brokers that are there or ever were: one that is down is expected back.

    So a topic that is made meanwhile does not get fewer replicas for good, it is refused.
    """
    return frozenset({*state.brokers, *state.acknowledged})


def _racks(state: ClusterState) -> dict[int, str | None]:
    """Say where the brokers are that may get replicas: the live ones that are not leaving."""
    return {b.broker_id: b.rack for b in state.brokers.values() if not b.shutting_down}


def _check_manual(
    state: ClusterState, assignment: Mapping[int, tuple[int, ...]], *, first_partition: int
) -> tuple[tuple[int, ...], ...]:
    return check_manual(
        assignment,
        first_partition=first_partition,
        known_brokers=_known_brokers(state),
        live_brokers=frozenset(_racks(state)),
    )


def _check_partition_count(count: int) -> None:
    if not 1 <= count <= PARTITIONS_PER_TOPIC_MAX:
        raise InvalidPartitions(
            f"{count} partitions asked: a topic has 1 to {PARTITIONS_PER_TOPIC_MAX}"
        )


def _default(state: ClusterState, key: str, asked: int, *, fallback: int) -> int:
    if asked != DEFAULT:
        return asked
    return int(state.config.get(key, fallback))


def _list_defaults(state: ClusterState) -> Mapping[str, str]:
    """Give what lists of a topic are where it has not set them."""
    policy = state.config.get(f"log.{CLEANUP_POLICY}", LISTS[CLEANUP_POLICY])
    return {**LISTS, CLEANUP_POLICY: policy}


def edited(
    config: Mapping[str, str], edit: ConfigEdit, *, defaults: Mapping[str, str] = LISTS
) -> dict[str, str]:
    """Apply edits to a config. Raises: InvalidConfig where what is edited is no list."""
    edited = {} if edit.from_scratch else dict(config)
    for key, operation, value in edit.changes:
        if operation in (ConfigOperation.APPEND, ConfigOperation.SUBTRACT) and key not in defaults:
            raise InvalidConfig(f"{key} is no list: set it instead")
        whole = edited.get(key, defaults.get(key, ""))
        listed = [part.strip() for part in whole.split(",") if part.strip()]
        match operation:
            case ConfigOperation.SET:
                edited[key] = value
            case ConfigOperation.DELETE:
                edited.pop(key, None)
            case ConfigOperation.APPEND:
                edited[key] = ",".join([*listed, *(p for p in value.split(",") if p not in listed)])
            case ConfigOperation.SUBTRACT:
                gone = value.split(",")
                edited[key] = ",".join(part for part in listed if part not in gone)
    return edited
