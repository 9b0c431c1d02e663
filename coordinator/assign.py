"""Which brokers hold the replicas of a new partition: an even spread over brokers and racks.

Pure: where the spread starts is handed in.
Must never know: the store, elections.
"""

from __future__ import annotations

from itertools import chain, zip_longest
from typing import TYPE_CHECKING

from coordinator.errors import InvalidReplicaAssignment, InvalidReplicationFactor

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


def assign(
    racks: Mapping[int, str | None],
    *,
    partition_count: int,
    replication_factor: int,
    start: int,
    first_partition: int = 0,
) -> tuple[tuple[int, ...], ...]:
    """Spread the replicas of `partition_count` partitions over the brokers in `racks`.

    Leaders go round the brokers from `start` (any integer of 0 or more), so that they are even;
    followers take the next brokers, one step further on after each full round. Each replica goes
    to a rack that has none yet, as long as there is one. Racks count only where every broker
    names its own. `first_partition` carries on with a topic that has partitions already.
    Raises: InvalidReplicationFactor.
    """
    _check_replication_factor(replication_factor, live=len(racks))
    ring = _ring(racks)
    return tuple(
        _choose(
            ring,
            racks,
            replication_factor,
            leader_at=(start + index) % len(ring),
            shift=start // len(ring) + index // len(ring),
        )
        for index in range(first_partition, first_partition + partition_count)
    )


def check_manual(
    assignment: Mapping[int, Sequence[int]],
    *,
    first_partition: int,
    known_brokers: frozenset[int],
    live_brokers: frozenset[int],
) -> tuple[tuple[int, ...], ...]:
    """Check replicas that were chosen by hand, by partition index, and put them in order.

    Raises: InvalidReplicaAssignment.
    """
    indexes = sorted(assignment)
    if indexes != list(range(first_partition, first_partition + len(indexes))) or not indexes:
        raise InvalidReplicaAssignment(
            f"partitions {indexes} are assigned: they must follow each other from {first_partition}"
        )
    factor = len(assignment[first_partition])
    for index in indexes:
        replicas = assignment[index]
        if not replicas or len(set(replicas)) != len(replicas):
            raise InvalidReplicaAssignment(
                f"partition {index} on {list(replicas)}: at least one broker, none twice"
            )
        if len(replicas) != factor:
            raise InvalidReplicaAssignment(
                f"partition {index} has {len(replicas)} replicas, partition {first_partition} has "
                f"{factor}: use the same number for all"
            )
        unknown = sorted(set(replicas) - known_brokers)
        if unknown:
            raise InvalidReplicaAssignment(f"partition {index}: there is no broker {unknown[0]}")
        if live_brokers.isdisjoint(replicas):
            raise InvalidReplicaAssignment(
                f"partition {index}: none of {list(replicas)} is live: start one of them first"
            )
    return tuple(tuple(assignment[index]) for index in indexes)


def _check_replication_factor(replication_factor: int, *, live: int) -> None:
    if replication_factor < 1:
        raise InvalidReplicationFactor(
            f"replication factor {replication_factor} asked: at least 1 is needed"
        )
    if live == 0:
        raise InvalidReplicationFactor("no broker is live: start one first")
    if replication_factor > live:
        are = "broker is" if live == 1 else "brokers are"
        raise InvalidReplicationFactor(
            f"replication factor {replication_factor} asked, {live} {are} live: "
            f"start another broker or ask for {live}"
        )


def _ring(racks: Mapping[int, str | None]) -> tuple[int, ...]:
    """Order the brokers by taking one from each rack in turn."""
    members: dict[str | None, list[int]] = {}
    for broker_id in sorted(racks):
        members.setdefault(racks[broker_id], []).append(broker_id)
    if None in members:
        return tuple(sorted(racks))
    by_rack = [members[rack] for rack in sorted(members, key=str)]
    return tuple(b for b in chain.from_iterable(zip_longest(*by_rack)) if b is not None)


def _choose(
    ring: tuple[int, ...],
    racks: Mapping[int, str | None],
    replication_factor: int,
    *,
    leader_at: int,
    shift: int,
) -> tuple[int, ...]:
    """Choose a leader and followers: the next ones round the ring, `shift` steps further on."""
    size = len(ring)
    replicas = [ring[leader_at]]
    others = [
        ring[(leader_at + 1 + (shift + step) % (size - 1)) % size] for step in range(size - 1)
    ]
    rack_count = 0 if None in racks.values() else len(set(racks.values()))
    used = {racks[replicas[0]]}
    while len(replicas) < replication_factor:
        wants_new_rack = len(used) < rack_count
        chosen = next(b for b in others if not (wants_new_rack and racks[b] in used))
        others.remove(chosen)
        replicas.append(chosen)
        used.add(racks[chosen])
    return tuple(replicas)
