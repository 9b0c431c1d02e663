"""What was done to a cluster and what it answered: the operations of a run.

A history is a sequence of these in which every process's own come in the order in which it began
them. Times are seconds on one clock that all processes share. An operation that timed out, or
whose process died, is UNKNOWN: it may have happened, and may happen yet.
Must never know: clients, brokers, how a history came about.
"""

from __future__ import annotations

from enum import Enum
from typing import NamedTuple, TypeAlias


class Outcome(Enum):
    """What became of an operation."""

    OK = "ok"
    FAILED = "failed"
    UNKNOWN = "unknown"


class Partition(NamedTuple):
    """A topic's partition."""

    topic: str
    number: int

    def __str__(self) -> str:
        return f"{self.topic}-{self.number}"


class Sent(NamedTuple):
    """A record was handed to a producer; its value is unlike every other's.

    `offset` is where the broker says it is: None where that is not known. `error` is why the
    producer has given it up, if it has. A tombstone was sent without a value; `value` is then the
    name by which it is known (chaos/naming.py).
    """

    process: str
    partition: Partition
    value: bytes
    began_at: float
    ended_at: float
    outcome: Outcome
    offset: int | None = None
    error: str = ""
    key: bytes | None = None
    tombstone: bool = False


class Polled(NamedTuple):
    """A consumer was handed records of a partition: (offset, value) of each."""

    process: str
    partition: Partition
    records: tuple[tuple[int, bytes], ...]
    began_at: float
    ended_at: float


class Positioned(NamedTuple):
    """A consumer goes on elsewhere in a partition: assigned, sought; None: nobody says where.

    A member of a `group` goes on where its group has committed, or at the start: its commits, and
    those of all others of the group, are in the history then.
    """

    process: str
    partition: Partition
    offset: int | None
    at: float
    group: str = ""


class Committed(NamedTuple):
    """An offset of a group was committed. They only grow: a reset begins another history."""

    process: str
    group: str
    partition: Partition
    offset: int
    began_at: float
    ended_at: float
    outcome: Outcome


class Told(NamedTuple):
    """Somebody asked for a group's committed offset; None: there is none."""

    process: str
    group: str
    partition: Partition
    offset: int | None
    began_at: float
    ended_at: float


class SeenEnd(NamedTuple):
    """Somebody asked where a partition ends for consumers."""

    process: str
    partition: Partition
    offset: int
    began_at: float
    ended_at: float


class Dated(NamedTuple):
    """Somebody asked for the first record at or after a time, and was told of one, and its time.

    Times are milliseconds since 1970.
    """

    process: str
    partition: Partition
    asked_ms: int
    offset: int
    timestamp_ms: int


class Trimmed(NamedTuple):
    """Somebody had the records below an `offset` deleted, unless it is UNKNOWN or FAILED.

    Where it is OK, none below `reached` may come back.
    """

    process: str
    partition: Partition
    offset: int
    reached: int
    began_at: float
    ended_at: float
    outcome: Outcome


class Led(NamedTuple):
    """A broker was seen to lead a partition in a leader epoch."""

    partition: Partition
    epoch: int
    broker_id: int
    at: float


class Watermark(NamedTuple):
    """A leader's high watermark was seen."""

    partition: Partition
    epoch: int
    broker_id: int
    offset: int
    at: float


class Replica(NamedTuple):
    """What a replica holds, as (offset, value) in the order of its log, and what is committed."""

    partition: Partition
    broker_id: int
    log_start: int
    high_watermark: int
    records: tuple[tuple[int, bytes], ...]


Operation: TypeAlias = (
    Sent
    | Polled
    | Positioned
    | Committed
    | Told
    | SeenEnd
    | Dated
    | Trimmed
    | Led
    | Watermark
    | Replica
)
