"""The controller's decisions about leaders and in-sync replicas: `decide(state, event) -> changes`.

Pure and total: the same state and event always give the same changes, and an event that cannot be
granted gives a refusal. What topics there are is decided in `decide_topics`.
Must never know: the store, time, chance.
Source: KIP-497, KIP-841 and KIP-903 (AlterPartition), KIP-966 (eligible leader replicas), KIP-183
and KIP-460 (leaders that are asked for).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final

from msgspec.structs import replace

from coordinator import elect, succession
from coordinator.cluster import NO_LEADER, ClusterState
from coordinator.decide_configs import alter_broker_configs, pass_on_defaults
from coordinator.decide_reassign import advanced, alter_reassignments
from coordinator.decide_topics import (
    alter_configs,
    create_partitions,
    create_topics,
    delete_topics,
    rules_of,
)
from coordinator.edits import Edits
from coordinator.errors import StaleBrokerEpoch
from coordinator.events import (
    AlterBrokerConfigs,
    AlterConfigs,
    AlterPartitions,
    AlterReassignments,
    BrokersChanged,
    Changes,
    CreatePartitions,
    CreateTopics,
    DefaultsChanged,
    DeleteTopics,
    ElectLeaders,
    Event,
    IsrChange,
    Rebalance,
    ShutDownBroker,
)
from protocol.errors import ErrorCode, RequestError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from coordinator.cluster import PartitionState, TopicState
    from coordinator.elect import RollCall
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
    topics = _changed_topics((state.topics[n] for n in names if n in state.topics), roll, _settle)
    fresh = roll.fresh if everything else ()
    return Changes(
        topics=topics, acknowledged={b: state.brokers[b].epoch_version for b in sorted(fresh)}
    )


def _settle(partition: PartitionState, roll: RollCall, rules: ElectionRules) -> PartitionState:
    return elect.settle(partition, roll, rules)


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
        roll,
        lambda partition, roll, rules: elect.hand_over(partition, event.broker_id, roll, rules),
    )
    return Changes(topics=topics, brokers=brokers)


def _changed_topics(
    topics: Iterable[TopicState],
    roll: RollCall,
    change: Callable[[PartitionState, RollCall, ElectionRules], PartitionState],
) -> dict[str, TopicState]:
    """Put every partition through `change` and collect the topics in which one is different."""
    changed = {}
    for topic in topics:
        indexes = {}
        for index, partition in enumerate(topic.partitions):
            here = roll.of_partition(topic.topic_id, index)
            after = change(partition, here, rules_of(topic, partition))
            after = advanced(topic, partition, after, here)
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
    edits = Edits(state)
    everybody = elect.RollCall.of(state)
    refused: dict[int, RequestError] = {}
    for number, proposal in enumerate(event.items):
        topic = state.topic_of_id(proposal.topic_id)
        try:
            if topic is None:
                raise RequestError.of(
                    ErrorCode.UNKNOWN_TOPIC_ID, f"there is no topic {proposal.topic_id.hex()}"
                )
            before = edits.partition(topic.name, proposal.partition)
            _check_current(before, proposal, leader_id=event.broker_id)
            _check_eligible(state, before, proposal)
        except RequestError as error:
            refused[number] = error
            continue
        roll = everybody.of_partition(topic.topic_id, proposal.partition)
        if before.leader_id in proposal.isr:
            after = elect.change_isr(before, tuple(proposal.isr), rules_of(topic, before))
        else:
            after = succession.resign(before, roll)
        edits.put(topic.name, proposal.partition, advanced(topic, before, after, roll))
    return Changes(topics=edits.topics, refused=refused)


def _check_current(partition: PartitionState, proposal: IsrChange, *, leader_id: int) -> None:
    """Refuse a proposal that was made on an older or newer state, or by somebody else.

    The versions come first: only what is refused after them was not accepted by an earlier try.
    """
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
    if proposal.partition_epoch < partition.partition_epoch:
        raise RequestError.of(
            ErrorCode.INVALID_UPDATE_VERSION,
            f"partition epoch {proposal.partition_epoch} is over, "
            f"it is {partition.partition_epoch} now: propose again on that",
        )
    if partition.leader_id != leader_id:
        raise RequestError.of(
            ErrorCode.INVALID_REQUEST,
            f"broker {leader_id} proposes, but broker {partition.leader_id} leads",
        )


def _check_eligible(state: ClusterState, partition: PartitionState, proposal: IsrChange) -> None:
    """Refuse an ISR with strangers, or with a replica that may not join.

    A leader that leaves itself out resigns, which only one with a successor may do.
    """
    required = {partition.leader_id, partition.successor_id}.difference({NO_LEADER})
    if required.isdisjoint(proposal.isr) or not proposal.isr.keys() <= {*partition.replicas}:
        raise RequestError.of(
            ErrorCode.INVALID_REQUEST,
            f"ISR {sorted(proposal.isr)} must hold leader {partition.leader_id} or its successor, "
            f"and only replicas of {list(partition.replicas)}",
        )
    replica = (proposal.topic_id, proposal.partition)
    for broker_id, broker_epoch in proposal.isr.items():
        registration = state.brokers.get(broker_id)
        is_member = broker_id in partition.isr
        if registration is None or not (
            broker_epoch == registration.broker_epoch
            or (broker_epoch == elect.NO_BROKER_EPOCH and is_member)
        ):
            raise _ineligible(f"broker {broker_id} with epoch {broker_epoch} is not live")
        if registration.shutting_down and not is_member:
            raise _ineligible(f"broker {broker_id} is shutting down")
        if replica in registration.offline:
            raise _ineligible(f"broker {broker_id} has its replica offline")


def _ineligible(why: str) -> RequestError:
    return RequestError.of(ErrorCode.INELIGIBLE_REPLICA, why)


# Leaders that are asked for.


def _elect_leaders(state: ClusterState, event: ElectLeaders) -> Changes:
    """Elect the leaders that were asked for, or have them elected once they are handed over to."""
    everybody = elect.RollCall.of(state)
    edits = Edits(state)
    refused: dict[int, RequestError] = {}
    for number, (name, index) in enumerate(event.items):
        try:
            before = edits.partition(name, index)
            topic = edits.topic(name)
            roll = everybody.of_partition(topic.topic_id, index)
            after = (
                _elected_unclean(before, roll, rules_of(topic, before))
                if event.unclean
                else _elected_preferred(before, roll)
            )
            edits.put(name, index, advanced(topic, before, after, roll))
        except RequestError as error:
            refused[number] = error
    return Changes(topics=edits.topics, refused=refused)


def _elected_preferred(partition: PartitionState, roll: RollCall) -> PartitionState:
    preferred = partition.replicas[0]
    if partition.leader_id == preferred:
        raise RequestError.of(ErrorCode.ELECTION_NOT_NEEDED, f"broker {preferred} leads already")
    after = succession.prefer(partition, roll)
    if after.successor_id != preferred:
        raise RequestError.of(
            ErrorCode.PREFERRED_LEADER_NOT_AVAILABLE,
            f"broker {preferred} is not live and in sync: wait until it is",
        )
    return after


def _elected_unclean(
    partition: PartitionState, roll: RollCall, rules: ElectionRules
) -> PartitionState:
    if partition.leader_id != NO_LEADER:
        raise RequestError.of(
            ErrorCode.ELECTION_NOT_NEEDED, f"broker {partition.leader_id} leads already"
        )
    after = elect.elect_unclean(partition, roll, rules)
    if after is partition:
        raise RequestError.of(
            ErrorCode.ELIGIBLE_LEADERS_NOT_AVAILABLE,
            f"none of {list(partition.replicas)} is live: start one of them",
        )
    return after


def _rebalance(state: ClusterState, event: Rebalance) -> Changes:
    """Have preferred leaders take over wherever they are ready, not too many at once."""
    left = event.limit

    def prefer(partition: PartitionState, roll: RollCall, _rules: ElectionRules) -> PartitionState:
        nonlocal left
        after = succession.prefer(partition, roll) if left > 0 else partition
        left -= after is not partition
        return after

    return Changes(topics=_changed_topics(state.topics.values(), elect.RollCall.of(state), prefer))


def _stale(broker_id: int, broker_epoch: int) -> RequestError:
    return StaleBrokerEpoch(broker_id=broker_id, broker_epoch=broker_epoch)


_DECISIONS: Final[Mapping[type, Callable[[ClusterState, Any], Changes]]] = {
    BrokersChanged: _settle_brokers,
    ShutDownBroker: _shut_down,
    AlterPartitions: _alter_partitions,
    AlterReassignments: alter_reassignments,
    ElectLeaders: _elect_leaders,
    Rebalance: _rebalance,
    CreateTopics: create_topics,
    DeleteTopics: delete_topics,
    CreatePartitions: create_partitions,
    AlterConfigs: alter_configs,
    AlterBrokerConfigs: alter_broker_configs,
    DefaultsChanged: pass_on_defaults,
}
