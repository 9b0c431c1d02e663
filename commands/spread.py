"""Spreading a topic's replicas evenly over brokers, moving as little as that takes. Pure.

Must never know: the cluster, how replicas are moved.
"""

from __future__ import annotations

from collections import Counter, deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

Placement = dict[int, list[int]]
"""The replicas of each partition, the preferred leader first."""


def spread(
    current: Mapping[int, Sequence[int]], brokers: Sequence[int], *, replicas: int
) -> dict[int, tuple[int, ...]]:
    """Place `replicas` of each partition on `brokers`, in [1, number of brokers].

    No two brokers differ by more than one in what they hold, nor in what they prefer to lead. What
    is even already stays as it is.
    """
    assert 1 <= replicas <= len(set(brokers)), "a broker holds one replica of a partition at most"
    placed = _resize(current, brokers, replicas)
    _even_out_replicas(placed, brokers)
    leaders = {partition: at[0] for partition, at in placed.items()}
    _even_out_leaders(leaders, placed, brokers)
    return {
        partition: (leaders[partition], *(b for b in at if b != leaders[partition]))
        for partition, at in placed.items()
    }


def _resize(
    current: Mapping[int, Sequence[int]], brokers: Sequence[int], replicas: int
) -> Placement:
    """Leave out other brokers and replicas too many, then fill up where least is held."""
    placed = {
        partition: [broker for broker in at if broker in brokers][:replicas]
        for partition, at in sorted(current.items())
    }
    held = _count_held(placed, brokers)
    for at in placed.values():
        while len(at) < replicas:
            chosen = min((b for b in brokers if b not in at), key=lambda broker: held[broker])
            at.append(chosen)
            held[chosen] += 1
    return placed


def _even_out_replicas(placed: Placement, brokers: Sequence[int]) -> None:
    """Move replicas from who holds most to who holds least, until they differ by one at most.

    Who holds more has a partition that the other has not, so there is always one to move.
    """
    held = _count_held(placed, brokers)
    while True:
        most = max(brokers, key=lambda broker: held[broker])
        least = min(brokers, key=lambda broker: held[broker])
        if held[most] - held[least] <= 1:
            return
        at = next(at for at in placed.values() if most in at and least not in at)
        at[at.index(most)] = least
        held[most] -= 1
        held[least] += 1


def _even_out_leaders(leaders: dict[int, int], placed: Placement, brokers: Sequence[int]) -> None:
    """Hand leaderships on, along chains of brokers that share partitions, until they are even."""
    while True:
        led = Counter(dict.fromkeys(brokers, 0))
        led.update(leaders.values())
        chains = (_chain(broker, led, leaders, placed) for broker in brokers)
        chain = next((found for found in chains if found), None)
        if chain is None:
            return
        leaders.update(chain)


def _chain(
    start: int, led: Counter[int], leaders: dict[int, int], placed: Placement
) -> list[tuple[int, int]]:
    """Find the shortest chain from a broker to one that leads at least two fewer; empty: none.

    Each link hands a partition on to another of its replicas.
    """
    came_by: dict[int, tuple[int, int]] = {start: (-1, -1)}
    waiting = deque([start])
    while waiting:
        broker = waiting.popleft()
        if led[start] - led[broker] >= 2:
            chain = []
            while broker != start:
                partition, giver = came_by[broker]
                chain.append((partition, broker))
                broker = giver
            return chain
        for partition, leader in leaders.items():
            if leader == broker:
                for successor in placed[partition]:
                    if successor not in came_by:
                        came_by[successor] = partition, broker
                        waiting.append(successor)
    return []


def _count_held(placed: Placement, brokers: Sequence[int]) -> Counter[int]:
    held = Counter(dict.fromkeys(brokers, 0))
    held.update(broker for at in placed.values() for broker in at)
    return held
