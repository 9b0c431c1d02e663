"""Hand-written histories: the operations of one partition in few words, and pairs to judge."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from chaos.history import (
    Committed,
    Dated,
    Outcome,
    Partition,
    Polled,
    Positioned,
    Replica,
    SeenEnd,
    Sent,
    Told,
    Trimmed,
)

if TYPE_CHECKING:
    from chaos.checker import Promises
    from chaos.history import Operation

P = Partition("t", 0)
OTHER = Partition("t", 1)
A, B, C, D = b"a", b"b", b"c", b"d"


J, K, L = b"j", b"k", b"l"
"""Keys."""


def sent(value, offset=None, outcome=Outcome.OK, *, by="p", to=P, key=None, tombstone=False):
    return Sent(by, to, value, 0.0, 1.0, outcome, offset=offset, key=key, tombstone=tombstone)


def upsert(value, key, offset=None, outcome=Outcome.OK):
    return sent(value, offset, outcome, key=key)


def tombstone(value, key, offset=None, outcome=Outcome.OK):
    return sent(value, offset, outcome, key=key, tombstone=True)


def acknowledged(*values, by="p"):
    return [sent(value, offset, by=by) for offset, value in enumerate(values)]


def polled(*records, by="c", of=P):
    return Polled(by, of, tuple(records), 2.0, 3.0)


def read(*values, by="c", first=0):
    return polled(*enumerate(values, first), by=by)


def at(offset, *, by="c", when=1.5):
    return Positioned(by, P, offset, when)


def joined(*, by="c", group="g"):
    return Positioned(by, P, None, 1.5, group)


def committed(offset, began_at, ended_at, outcome=Outcome.OK):
    return Committed("m", "g", P, offset, began_at, ended_at, outcome)


def told(offset, began_at, ended_at):
    return Told("n", "g", P, offset, began_at, ended_at)


def seen_end(offset, *, by="e"):
    return SeenEnd(by, P, offset, 1.0, 2.0)


def dated(asked_ms, timestamp_ms):
    return Dated("e", P, asked_ms, 0, timestamp_ms)


def trimmed(offset, began_at, ended_at, outcome=Outcome.OK):
    """Give a deletion of what is below an offset."""
    return Trimmed("t", P, offset, offset, began_at, ended_at, outcome)


def replica(broker_id, *values, start=0, committed=None):
    end = start + len(values) if committed is None else committed
    return Replica(P, broker_id, start, end, tuple(enumerate(values, start)))


def held(broker_id, *records, committed):
    """Give a replica with gaps."""
    return Replica(P, broker_id, 0, committed, tuple(records))


@dataclass
class Pair:
    """What must be flagged, and what is almost the same and right."""

    name: str
    wrong: list[Operation]
    right: list[Operation]
    promises: Promises | None = None

    def __str__(self) -> str:
        return self.name
