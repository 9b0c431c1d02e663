"""Spreading a topic's replicas evenly over brokers and racks, moving as little as that takes. Pure.

Must never know: the cluster, how replicas are moved.
"""

from __future__ import annotations

from collections import Counter, deque
from typing import TYPE_CHECKING

from coordinator.assign import assign

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

Placement = dict[int, list[int]]
"""The replicas of each partition, the preferred leader first."""


def spread_over_racks(
    current: Mapping[int, Sequence[int]], racks: Mapping[int, str | None], *, replicas: int
) -> dict[int, tuple[int, ...]]:
    """Place `replicas` of each partition on the brokers in `racks`, no two in a rack if possible.

    As `spread` where that keeps racks apart, or where a broker names none; else as a new topic
    would be placed, which may move more.
    """
    placed = spread(current, list(racks), replicas=replicas)
    apart = 1 if None in racks.values() else min(replicas, len(set(racks.values())))
    if all(len({racks[broker] for broker in at}) >= apart for at in placed.values()):
        return placed
    anew = assign(racks, partition_count=len(placed), replication_factor=replicas, start=0)
    return dict(zip(sorted(placed), anew, strict=True))


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
    leaders = _even_out_leaders(placed, brokers)
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


def _even_out_leaders(placed: Placement, brokers: Sequence[int]) -> dict[int, int]:
    """Choose leaders: the first replicas at first, then hand on what makes the numbers even."""
    led: dict[int, dict[int, None]] = {broker: {} for broker in brokers}
    for partition, at in placed.items():
        led[at[0]][partition] = None
    while links := _first_chain(led, placed):
        for partition, giver, taker in links:
            del led[giver][partition]
            led[taker][partition] = None
    return {partition: broker for broker, those in led.items() for partition in those}


def _first_chain(
    led: Mapping[int, Mapping[int, None]], placed: Placement
) -> list[tuple[int, int, int]]:
    """Find a chain from the broker that leads most, or from one that leads less; empty: none."""
    by_most = sorted(led, key=lambda broker: -len(led[broker]))
    chains = (_chain(broker, led, placed) for broker in by_most)
    return next(filter(None, chains), [])


def _chain(
    start: int, led: Mapping[int, Mapping[int, None]], placed: Placement
) -> list[tuple[int, int, int]]:
    """Find the shortest chain from a broker to one that leads at least two fewer; empty: none.

    Each link hands a partition on from its leader to another of its replicas.
    """
    came_by: dict[int, tuple[int, int]] = {start: (-1, -1)}
    waiting = deque([start])
    while waiting:
        giver = waiting.popleft()
        for partition in led[giver]:
            for taker in placed[partition]:
                if taker in came_by:
                    continue
                came_by[taker] = partition, giver
                if len(led[start]) - len(led[taker]) >= 2:
                    return _links(start, taker, came_by)
                waiting.append(taker)
    return []


def _links(
    start: int, end: int, came_by: Mapping[int, tuple[int, int]]
) -> list[tuple[int, int, int]]:
    links = []
    while end != start:
        partition, giver = came_by[end]
        links.append((partition, giver, end))
        end = giver
    return links


def _count_held(placed: Placement, brokers: Sequence[int]) -> Counter[int]:
    held = Counter(dict.fromkeys(brokers, 0))
    held.update(broker for at in placed.values() for broker in at)
    return held
