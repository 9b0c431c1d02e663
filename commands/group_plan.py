"""What a reset of a group would do: from which offset to which, and where that is out of reach.

Must never know: how offsets are found out, how they are committed, tables. Pure.
"""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING

from msgspec import Struct

from commands.failure import CommandFailed

if TYPE_CHECKING:
    from collections.abc import Mapping

    from client.records import TopicPartition
    from commands.group_lag import PartitionLag


class Aim(Enum):
    """Where a group is to go on; all but the ends of the log come with a number."""

    EARLIEST = "earliest"
    LATEST = "latest"
    OFFSET = "offset"
    TIMESTAMP = "timestamp"
    SHIFT = "shift"


class Target(Struct, frozen=True):
    """An aim and its number: an offset, milliseconds since 1970, or how far to shift."""

    aim: Aim
    number: int = 0


class Move(Struct, frozen=True):
    """One partition's part; `wanted` is out of the log's [start, end] where `after` is another.

    `beyond` says where the time that was asked for is, if outside of all records' times.
    """

    place: TopicPartition
    before: int | None
    wanted: int
    after: int
    beyond: str | None = None

    @property
    def is_clamped(self) -> bool:
        """Say whether the log does not reach to what was wanted."""
        return self.wanted != self.after


def plan_moves(
    target: Target,
    lags: tuple[PartitionLag, ...],
    at_time: Mapping[TopicPartition, int | None],
) -> tuple[Move, ...]:
    """Decide where each partition goes on, within `[log start, high watermark]`.

    `at_time` holds the first offsets at or after the target's time, None where there is no such
    record (the group goes on at the end). Raises: CommandFailed naming the partitions whose log
    has no leader to say where it ends, or that have no committed offset to shift.
    """
    unknown = [lag.place for lag in lags if None in (lag.ends.start, lag.ends.high_watermark)]
    if unknown:
        raise CommandFailed(
            f"where {_named(unknown)} begins and ends is unknown",
            next_step="see what is wrong with 'ottla status', or leave it out with --topic",
        )
    if target.aim is Aim.SHIFT:
        without = [lag.place for lag in lags if lag.committed is None]
        if without:
            raise CommandFailed(
                f"nothing is committed in {_named(without)} that could be shifted",
                next_step="leave it out with --topic, or choose another target such as --to-latest",
            )
    return tuple(_move(target, lag, at_time) for lag in lags)


def _move(target: Target, lag: PartitionLag, at_time: Mapping[TopicPartition, int | None]) -> Move:
    start, end = lag.ends.start, lag.ends.high_watermark
    assert start is not None
    assert end is not None
    before = lag.committed.offset if lag.committed else None
    match target.aim:
        case Aim.EARLIEST:
            wanted = start
        case Aim.LATEST:
            wanted = end
        case Aim.OFFSET:
            wanted = target.number
        case Aim.TIMESTAMP:
            found = at_time.get(lag.place)
            wanted = end if found is None else found
        case Aim.SHIFT:
            assert before is not None
            wanted = before + target.number
    beyond: str | None = None
    if target.aim is Aim.TIMESTAMP and start < end:
        if wanted == start:
            beyond = "at or before the oldest record"
        elif wanted == end:
            beyond = "after the newest record"
    return Move(lag.place, before, wanted, min(max(wanted, start), end), beyond)


def _named(places: list[TopicPartition]) -> str:
    return ", ".join(map(str, places))
