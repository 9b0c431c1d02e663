"""The controller's decisions about leaders and in-sync replicas: `decide(state, event) -> changes`.

Pure and total: the same state and event always give the same changes, and an event that cannot be
granted gives a refusal. What topics there are is decided in `decide_topics`.
Must never know: the store, time, chance.
Source: KIP-497, KIP-841 and KIP-903 (AlterPartition), KIP-966 (eligible leader replicas).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from coordinator import elect
from coordinator.cluster import ClusterState
from coordinator.decide_configs import alter_broker_configs, pass_on_defaults
from coordinator.decide_topics import (
    alter_configs,
    create_partitions,
    create_topics,
    delete_topics,
    rules_of,
)
from coordinator.errors import StaleBrokerEpoch, UnknownTopic
from coordinator.events import (
    AlterBrokerConfigs,
    AlterConfigs,
    AlterPartitions,
    BrokersChanged,
    Changes,
    CreatePartitions,
    CreateTopics,
    DefaultsChanged,
    DeleteTopics,
    ElectPreferred,
    Event,
    IsrChange,
    Rebalance,
    ShutDownBroker,
)
from protocol.errors import ErrorCode, RequestError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from coordinator.cluster import PartitionState, TopicState
    from coordinator.topic_config import ElectionRules


def decide(state: ClusterState, event: Event) -> Changes:
    """Decide what an event changes in the cluster."""
    return _DECISIONS[type(event)](state, event)


def partitions_led(state: ClusterState, broker_id: int) -> tuple[tuple[str, int], ...]:
    """List the replicated partitions that a broker leads, by topic and index.

    Partitions without other replicas are left out: nobody could take them over.
    """
    return tuple(
        (topic.name, index)
        for topic in state.topics.values()
        for index, partition in enumerate(topic.partitions)
        if partition.leader_id == broker_id and len(partition.replicas) > 1
    )


def _settle_brokers(state: ClusterState, event: BrokersChanged) -> Changes:
    """Bring partitions in line with the brokers that are there, and acknowledge these."""
    roll = elect.RollCall.of(state)
    everything = event.topics is None
    names = state.topics if event.topics is None else event.topics
    topics = _changed_topics(
        (state.topics[name] for name in names if name in state.topics),
        lambda partition, rules: elect.settle(partition, roll, rules),
    )
    fresh = roll.fresh if everything else ()
    return Changes(
        topics=topics, acknowledged={b: state.brokers[b].epoch_version for b in sorted(fresh)}
    )


def _shut_down(state: ClusterState, event: ShutDownBroker) -> Changes:
    """Take a broker out of leadership and in-sync replicas wherever others can go on."""
    registration = state.brokers.get(event.broker_id)
    if registration is None or registration.broker_epoch != event.broker_epoch:
        return Changes(refusal=_stale(event.broker_id, event.broker_epoch))
    brokers = (
        {}
        if registration.shutting_down
        else {event.broker_id: replace(registration, shutting_down=True)}
    )
    roll = elect.RollCall.of(Changes(brokers=brokers).apply_to(state))
    topics = _changed_topics(
        state.topics.values(),
        lambda partition, rules: elect.hand_over(partition, event.broker_id, roll, rules),
    )
    return Changes(topics=topics, brokers=brokers)


def _changed_topics(
    topics: Iterable[TopicState],
    change: Callable[[PartitionState, ElectionRules], PartitionState],
) -> dict[str, TopicState]:
    """Put every partition through `change` and collect the topics in which one is different."""
    changed = {}
    for topic in topics:
        indexes = {}
        for index, partition in enumerate(topic.partitions):
            after = change(partition, rules_of(topic, partition))
            if after is not partition:
                indexes[index] = after
        if indexes:
            changed[topic.name] = topic.with_partitions(indexes)
    return changed


# ISR proposals.


def _alter_partitions(state: ClusterState, event: AlterPartitions) -> Changes:
    """Accept the proposals of a leader that are current and name only eligible replicas."""
    registration = state.brokers.get(event.broker_id)
    if registration is None or registration.broker_epoch != event.broker_epoch:
        return Changes(refusal=_stale(event.broker_id, event.broker_epoch))
    changed: dict[str, dict[int, PartitionState]] = {}
    refused: dict[int, RequestError] = {}
    for number, proposal in enumerate(event.items):
        topic = state.topic_of_id(proposal.topic_id)
        try:
            if topic is None:
                raise RequestError.of(
                    ErrorCode.UNKNOWN_TOPIC_ID, f"there is no topic {proposal.topic_id.hex()}"
                )
            pending = changed.setdefault(topic.name, {})
            partition = pending.get(proposal.partition) or _partition_of(topic, proposal.partition)
            _check_current(partition, proposal, leader_id=event.broker_id)
            _check_eligible(state, partition, proposal)
        except RequestError as error:
            refused[number] = error
            continue
        rules = rules_of(topic, partition)
        pending[proposal.partition] = elect.change_isr(partition, tuple(proposal.isr), rules)
    topics = {n: state.topics[n].with_partitions(indexes) for n, indexes in changed.items()}
    return Changes(
        topics={n: topic for n, topic in topics.items() if topic != state.topics[n]},
        refused=refused,
    )


def _partition_of(topic: TopicState, index: int) -> PartitionState:
    if not 0 <= index < len(topic.partitions):
        raise UnknownTopic(f"topic {topic.name} has no partition {index}")
    return topic.partitions[index]


def _check_current(partition: PartitionState, proposal: IsrChange, *, leader_id: int) -> None:
    """Refuse a proposal that was made on an older or newer state, or by somebody else."""
    if (
        proposal.leader_epoch > partition.leader_epoch
        or proposal.partition_epoch > partition.partition_epoch
    ):
        raise RequestError.of(
            ErrorCode.NOT_CONTROLLER, "the proposal knows more than this controller: ask again"
        )
    if proposal.leader_epoch < partition.leader_epoch:
        raise RequestError.of(
            ErrorCode.FENCED_LEADER_EPOCH,
            f"leader epoch {proposal.leader_epoch} is over, it is {partition.leader_epoch} now",
        )
    if partition.leader_id != leader_id:
        raise RequestError.of(
            ErrorCode.INVALID_REQUEST,
            f"broker {leader_id} proposes, but broker {partition.leader_id} leads",
        )
    if proposal.partition_epoch < partition.partition_epoch:
        raise RequestError.of(
            ErrorCode.INVALID_UPDATE_VERSION,
            f"partition epoch {proposal.partition_epoch} is over, "
            f"it is {partition.partition_epoch} now: propose again on that",
        )


def _check_eligible(state: ClusterState, partition: PartitionState, proposal: IsrChange) -> None:
    """Refuse an ISR without its leader, with strangers, or with a replica that may not join."""
    if partition.leader_id not in proposal.isr or not proposal.isr.keys() <= {*partition.replicas}:
        raise RequestError.of(
            ErrorCode.INVALID_REQUEST,
            f"ISR {sorted(proposal.isr)} must hold leader {partition.leader_id} "
            f"and only replicas of {list(partition.replicas)}",
        )
    for broker_id, broker_epoch in proposal.isr.items():
        registration = state.brokers.get(broker_id)
        live = registration is not None and (
            broker_epoch == registration.broker_epoch
            or (broker_epoch == elect.NO_BROKER_EPOCH and broker_id in partition.isr)
        )
        joins = broker_id not in partition.isr
        if not live or (joins and registration is not None and registration.shutting_down):
            raise RequestError.of(
                ErrorCode.INELIGIBLE_REPLICA,
                f"broker {broker_id} with epoch {broker_epoch} is not live or is shutting down",
            )


# Preferred leaders.


def _elect_preferred(state: ClusterState, event: ElectPreferred) -> Changes:
    """Elect the preferred leaders that were asked for."""
    roll = elect.RollCall.of(state)
    changed: dict[str, dict[int, PartitionState]] = {}
    refused: dict[int, RequestError] = {}
    for number, (name, index) in enumerate(event.items):
        try:
            if name not in state.topics:
                raise UnknownTopic(f"there is no topic {name}")
            partition = _partition_of(state.topics[name], index)
            after = elect.elect_preferred(partition, roll)
            if after is partition:
                raise _not_elected(partition)
        except RequestError as error:
            refused[number] = error
            continue
        changed.setdefault(name, {})[index] = after
    topics = {n: state.topics[n].with_partitions(indexes) for n, indexes in changed.items()}
    return Changes(topics=topics, refused=refused)


def _not_elected(partition: PartitionState) -> RequestError:
    preferred = partition.replicas[0]
    if partition.leader_id == preferred:
        return RequestError.of(ErrorCode.ELECTION_NOT_NEEDED, f"broker {preferred} leads already")
    return RequestError.of(
        ErrorCode.PREFERRED_LEADER_NOT_AVAILABLE,
        f"broker {preferred} is not live and in sync: wait until it is",
    )


def _rebalance(state: ClusterState, event: Rebalance) -> Changes:
    """Elect preferred leaders wherever they are ready, not too many at once."""
    roll = elect.RollCall.of(state)
    left = event.limit

    def prefer(partition: PartitionState, _rules: ElectionRules) -> PartitionState:
        nonlocal left
        after = elect.elect_preferred(partition, roll) if left > 0 else partition
        left -= after is not partition
        return after

    return Changes(topics=_changed_topics(state.topics.values(), prefer))


def _stale(broker_id: int, broker_epoch: int) -> RequestError:
    return StaleBrokerEpoch(broker_id=broker_id, broker_epoch=broker_epoch)


_DECISIONS: Final[Mapping[type, Callable[[ClusterState, Any], Changes]]] = {
    BrokersChanged: _settle_brokers,
    ShutDownBroker: _shut_down,
    AlterPartitions: _alter_partitions,
    ElectPreferred: _elect_preferred,
    Rebalance: _rebalance,
    CreateTopics: create_topics,
    DeleteTopics: delete_topics,
    CreatePartitions: create_partitions,
    AlterConfigs: alter_configs,
    AlterBrokerConfigs: alter_broker_configs,
    DefaultsChanged: pass_on_defaults,
}
