"""Planned moves of leadership: nothing that the old leader has acknowledged is left behind.

A move takes two steps. The controller names a successor; the leader sees that, appends nothing
more until the successor has all that it has, and resigns; then the successor is elected. So not
even a record sent with acks=1 is lost. Whoever dies meanwhile, an election settles it.
Every function takes a partition and gives the partition as it should be, the same object where
nothing changes. Must never know: topics, the store, how a leader hands over.
Source: KAFKA-20554 (records lost by planned moves).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec.structs import replace

from coordinator import elect
from coordinator.cluster import NO_LEADER

if TYPE_CHECKING:
    from coordinator.cluster import PartitionState
    from coordinator.elect import RollCall


def name_successor(
    partition: PartitionState, candidates: tuple[int, ...], roll: RollCall
) -> PartitionState:
    """Have the leader hand over to the first of the candidates that is in sync and there."""
    ready = roll.steady.intersection(candidates).intersection(partition.isr)
    successor_id = elect.first(partition, ready, roll)
    if successor_id in {NO_LEADER, partition.leader_id, partition.successor_id}:
        return partition
    if not is_led(partition, roll):
        return partition
    return elect.next_epoch(partition, replace(partition, successor_id=successor_id))


def prefer(partition: PartitionState, roll: RollCall) -> PartitionState:
    """Have leadership go to the first replica of the assignment, if it is in sync and there."""
    return name_successor(partition, partition.replicas[:1], roll)


def resign(partition: PartitionState, roll: RollCall) -> PartitionState:
    """Elect the successor, who has all that the leader has; the leader stays in sync.

    Where the successor cannot lead any more the leader goes on.
    """
    successor_id = elect.first(partition, roll.steady & {partition.successor_id}, roll)
    if successor_id == NO_LEADER:
        return elect.next_epoch(partition, replace(partition, successor_id=NO_LEADER))
    return elect.next_epoch(partition, elect.led_by(partition, successor_id, roll))


def is_led(partition: PartitionState, roll: RollCall) -> bool:
    """Say whether the leader is there, in the incarnation that was elected."""
    epoch = roll.epochs.get(partition.leader_id)
    return epoch is not None and epoch == partition.leader_broker_epoch
