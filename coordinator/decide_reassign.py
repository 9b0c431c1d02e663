"""The controller's decisions about where replicas are to be: reassignments begun and called off.

They are carried on, and finished, by whatever changes a partition afterwards: see `advanced`.
Pure, like all decisions. Must never know: the store, time, chance.
Source: KIP-455.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec.structs import replace

from coordinator import reassign
from coordinator.decide_topics import REPLICAS_PER_TOPIC_MAX, rules_of
from coordinator.edits import Edits
from coordinator.elect import RollCall
from coordinator.errors import InvalidReplicaAssignment, NoReassignment
from coordinator.events import Changes
from protocol.errors import RequestError

if TYPE_CHECKING:
    from collections.abc import Collection

    from coordinator.cluster import ClusterState, PartitionState, TopicState
    from coordinator.events import AlterReassignments, Reassignment


def alter_reassignments(state: ClusterState, event: AlterReassignments) -> Changes:
    """Decide on partitions to send to other replicas, or back to those that they had."""
    edits = Edits(state)
    everybody = RollCall.of(state)
    refused: dict[int, RequestError] = {}
    replica_counts: dict[str, int] = {}
    for number, item in enumerate(event.items):
        try:
            before = edits.partition(item.name, item.partition)
            topic = edits.topic(item.name)
            roll = everybody.of_partition(topic.topic_id, item.partition)
            begun = _begin(before, item, live=state.brokers.keys())
            after = advanced(topic, before, begun, roll)
            if item.name not in replica_counts:
                replica_counts[item.name] = sum(len(p.replicas) for p in topic.partitions)
            count = replica_counts[item.name] + len(after.replicas) - len(before.replicas)
            _check_count(count)
        except RequestError as error:
            refused[number] = error
            continue
        replica_counts[item.name] = count
        edits.put(item.name, item.partition, after)
    return Changes(topics=edits.topics, refused=refused)


def advanced(
    topic: TopicState, before: PartitionState, after: PartitionState, roll: RollCall
) -> PartitionState:
    """Carry on a partition's reassignment after a decision that made `before` into `after`."""
    if not reassign.is_under_way(after):
        return after
    arrived = replace(after, replicas=reassign.target_of(after), adding=(), removing=())
    return reassign.advance(before, after, roll, rules_of(topic, arrived))


def _begin(
    partition: PartitionState, item: Reassignment, *, live: Collection[int]
) -> PartitionState:
    """Turn a partition towards what is wanted. Raises: NoReassignment, InvalidReplicaAssignment."""
    if item.replicas is None:
        if not reassign.is_under_way(partition):
            raise NoReassignment(f"no reassignment of {item.name}-{item.partition} is under way")
        return reassign.cancel(partition)
    if not item.replicas or len(set(item.replicas)) != len(item.replicas):
        raise InvalidReplicaAssignment(
            f"{item.name}-{item.partition} on {list(item.replicas)}: "
            "at least one broker is needed, none twice"
        )
    unknown = [r for r in item.replicas if r not in live]
    if unknown:
        raise InvalidReplicaAssignment(
            f"{item.name}-{item.partition}: there is no live broker {unknown[0]}: "
            "start it first, or choose another one"
        )
    return reassign.begin(partition, item.replicas)


def _check_count(replica_count: int) -> None:
    if replica_count > REPLICAS_PER_TOPIC_MAX:
        raise InvalidReplicaAssignment(
            f"{replica_count} replicas while it is under way: a topic has at most "
            f"{REPLICAS_PER_TOPIC_MAX}, move fewer partitions at once"
        )
