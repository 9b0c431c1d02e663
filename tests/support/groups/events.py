"""What members of a group report, and what was done to them, in the order of each member's life.

Times are wall milliseconds, floored: all processes of a run share one machine and one clock.
Must never know: clients, processes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple


class Partition(NamedTuple):
    """A topic's partition."""

    topic: str
    index: int


@dataclass(frozen=True)
class Assigned:
    """Partitions were added to what the member owns."""

    at_ms: int
    partitions: tuple[Partition, ...]


@dataclass(frozen=True)
class Revoked:
    """The member gives partitions up while it still belongs to the group."""

    at_ms: int
    partitions: tuple[Partition, ...]


@dataclass(frozen=True)
class Lost:
    """The member learned that partitions had been taken from it."""

    at_ms: int
    partitions: tuple[Partition, ...]


@dataclass(frozen=True)
class Consumed:
    """Records [first, last] of a partition, all of them, were processed; their commit follows."""

    at_ms: int
    partition: Partition
    first: int
    last: int


@dataclass(frozen=True)
class Committed:
    """How a commit ended; `error` is None where it was acknowledged."""

    at_ms: int
    offsets: tuple[tuple[Partition, int], ...]
    error: str | None = None


@dataclass(frozen=True)
class Killed:
    """The process was ended by SIGKILL."""

    at_ms: int


@dataclass(frozen=True)
class Paused:
    """The process was stopped; whether it still belongs to the group is unknown from here on."""

    at_ms: int


@dataclass(frozen=True)
class Resumed:
    """The process goes on."""

    at_ms: int


@dataclass(frozen=True)
class Left:
    """The member closed its consumer and ended."""

    at_ms: int


@dataclass(frozen=True)
class Failed:
    """The member met an error that its client does not get over by itself."""

    at_ms: int
    error: str


Event = Assigned | Revoked | Lost | Consumed | Committed | Killed | Paused | Resumed | Left | Failed


class Observed(NamedTuple):
    """A partition's committed offset as an outsider read it; one outsider, one after another."""

    partition: Partition
    offset: int


def owned_now(events: list[Event]) -> frozenset[Partition]:
    """Return what a member owns after these events, as far as it knows."""
    owned: set[Partition] = set()
    for event in events:
        if isinstance(event, Assigned):
            owned.update(event.partitions)
        elif isinstance(event, Revoked | Lost):
            owned.difference_update(event.partitions)
        elif isinstance(event, Killed | Left):
            owned.clear()
    return frozenset(owned)
