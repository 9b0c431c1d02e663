"""Reassignments: one partition on its way from the replicas that it has to others.

While it is under way the replicas are those wanted and those that leave; all of them fetch, and
nobody leaves the ISR for it. Once all that are wanted are in sync, and one of them leads, the
others go, in one step. Every function takes a partition and gives the partition as it should be,
the same object where nothing changes.
The minimum of in-sync replicas is that of the replicas there were before, until the step is taken:
a higher promise is made when it can be kept, a lower one when it was arrived at.
Must never know: topics, the store, who asks.
Source: KIP-455.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec.structs import replace

from coordinator import elect, succession

if TYPE_CHECKING:
    from coordinator.cluster import PartitionState
    from coordinator.elect import RollCall
    from coordinator.topic_config import ElectionRules


def is_under_way(partition: PartitionState) -> bool:
    """Say whether replicas come or go."""
    return bool(partition.adding or partition.removing)


def target_of(partition: PartitionState) -> tuple[int, ...]:
    """Give the replicas that a partition is to have, the preferred leader first."""
    return tuple(r for r in partition.replicas if r not in partition.removing)


def begin(partition: PartitionState, target: tuple[int, ...]) -> PartitionState:
    """Send a partition to other replicas; a reassignment under way changes its direction.

    Those that it was adding may be in sync by now: where they are not wanted any more they leave
    like the others, in the last step.
    """
    original = _original_of(partition)
    called_off = tuple(r for r in partition.adding if r not in target)
    leaving = (*(r for r in original if r not in target), *called_off)
    replicas = (*target, *leaving)
    after = replace(
        partition,
        replicas=replicas,
        isr=tuple(r for r in replicas if r in partition.isr),
        elr=tuple(r for r in replicas if r in partition.elr),
        adding=(*(r for r in target if r not in original), *called_off),
        removing=leaving,
    )
    return elect.next_epoch(partition, after)


def cancel(partition: PartitionState) -> PartitionState:
    """Send a partition back to the replicas that it had."""
    return begin(partition, _original_of(partition))


def advance(
    before: PartitionState, after: PartitionState, roll: RollCall, rules: ElectionRules
) -> PartitionState:
    """Take the next step of a reassignment, if `after`, which follows `before`, allows one.

    `rules` are those of the topic for as many replicas as are wanted. Whoever leaves may come back
    without its log, so a new leader epoch begins: what the leader knows of it ends with the old one
    (as in Kafka).
    """
    if not is_under_way(after) or not succession.is_led(after, roll):
        return after
    target = target_of(after)
    in_sync = tuple(r for r in target if r in after.isr)
    is_called_off = set(after.adding) == set(after.removing)
    if in_sync != target and not (is_called_off and in_sync):
        return after
    if after.leader_id not in target:
        named = succession.name_successor(after, in_sync, roll)
        return _following(before, named) if named is not after else after
    arrived = replace(after, replicas=target, adding=(), removing=())
    if after.removing and after.leader_epoch == before.leader_epoch:
        arrived = elect.led_by(arrived, arrived.leader_id, roll)
    elr = tuple(r for r in after.elr if r in target)
    settled = elect.with_isr(replace(arrived, elr=elr), in_sync, rules)
    return _following(before, settled)


def _original_of(partition: PartitionState) -> tuple[int, ...]:
    return tuple(r for r in partition.replicas if r not in partition.adding)


def _following(before: PartitionState, after: PartitionState) -> PartitionState:
    """Count the two changes of one decision, `before` to `after`, as one."""
    return elect.next_epoch(before, replace(after, partition_epoch=before.partition_epoch))
