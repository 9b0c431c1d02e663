"""`ottla consume`: read records of a topic, from where and as long as is asked.

Must never know: how records are fetched.
"""

from __future__ import annotations

import select
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import click
import trio

from client.consumer import Consumer, ConsumerConfig
from client.errors import OffsetOutOfRange, UnknownTopic
from client.records import TopicPartition
from commands.columns import count_of
from commands.failure import CommandFailed
from commands.options import INT32_MAX, INT64_MAX, Timestamp, cluster_options
from commands.record_format import FORMATS, Shown, formatter
from commands.session import run_client

if TYPE_CHECKING:
    from collections.abc import Mapping

    from client.records import ConsumerRecord
    from commands.record_format import Formatter

POLL_RECORDS: Final = 5_000
POLL_TIMEOUT_S: Final = 0.1
"""How often it is looked at whether the end has been reached, where no records come."""
_STDOUT: Final = 1


@dataclass(frozen=True, slots=True)
class Start:
    """Where to begin in each partition; the end where nothing is said."""

    from_beginning: bool = False
    offset: int | None = None
    timestamp_ms: int | None = None

    def __post_init__(self) -> None:
        said = self.from_beginning, self.offset is not None, self.timestamp_ms is not None
        if sum(said) > 1:
            raise click.UsageError("--from-beginning, --offset and --timestamp exclude each other")

    async def find(
        self, consumer: Consumer, ends: Mapping[TopicPartition, int]
    ) -> dict[TopicPartition, int]:
        """Give the first offset to read in each of the partitions whose ends are given.

        Raises: OffsetOutOfRange where a partition ends before it.
        """
        if self.from_beginning:
            return await consumer.beginning_offsets(*ends)
        if self.timestamp_ms is not None:
            found = await consumer.offsets_for_times(dict.fromkeys(ends, self.timestamp_ms))
            return {
                place: at.offset if (at := found.get(place)) else end for place, end in ends.items()
            }
        if self.offset is None:
            return dict(ends)
        if self.offset >= 0:
            for place, end in ends.items():
                if self.offset > end:
                    raise OffsetOutOfRange(place.topic, place.partition, offset=self.offset)
            return dict.fromkeys(ends, self.offset)
        first = await consumer.beginning_offsets(*ends)
        return {place: max(first[place], end + self.offset) for place, end in ends.items()}


@dataclass(frozen=True, slots=True)
class Stop:
    """When to stop: at a count, at the end, after silence. Never where nothing is said."""

    count: int | None = None
    at_end: bool = False
    timeout_s: float | None = None

    def is_overdue(self, quiet_s: float) -> bool:
        """Say whether the silence has lasted too long."""
        return self.timeout_s is not None and quiet_s >= self.timeout_s


@click.command()
@click.argument("topic")
@click.option("--from-beginning", is_flag=True, help="Begin with the oldest record.")
@click.option(
    "--offset",
    type=click.IntRange(-INT64_MAX, INT64_MAX),
    metavar="N",
    help="Begin at this offset; -N is N before the end.",
)
@click.option(
    "--timestamp", type=Timestamp(), help="Begin at this time: ISO 8601, or ms since 1970."
)
@click.option(
    "--partition",
    "partitions",
    type=click.IntRange(0, INT32_MAX),
    multiple=True,
    help="Read this partition only; can be repeated.",
)
@click.option("--count", type=click.IntRange(min=1), help="Stop after so many records.")
@click.option("--exit-at-end", is_flag=True, help="Stop at what is the end now.")
@click.option(
    "--timeout",
    type=click.FloatRange(min=0, min_open=True),
    metavar="SECONDS",
    help="Stop when no record has come for so long.",
)
@click.option(
    "--format",
    "format_name",
    type=click.Choice(FORMATS),
    default="text",
    show_default=True,
    help="text: a line each; json: an object a line; msgpack: a map each; raw: values alone.",
)
@click.option("--keys", is_flag=True, help="text: show keys.")
@click.option("--headers", is_flag=True, help="text: show headers.")
@click.option("--positions", is_flag=True, help="text: show partition, offset and timestamp.")
@cluster_options
def consume(topic: str, *, bootstrap: str, **options: Any) -> None:
    """Read records of TOPIC, by default those to come; Ctrl-C ends.

    The text format puts tabs between what it shows and writes null where there is no key or
    value. With --count and --timeout the exit status is 1 where fewer records came.

    \b
    Examples:
      $ ottla consume orders --from-beginning --exit-at-end --keys
      $ ottla consume orders --timestamp 2026-05-01T12:00:00Z --count 10 --format json
      $ ottla consume orders --partition 2 --offset -5 --count 5
    """
    start = Start(options["from_beginning"], options["offset"], options["timestamp"])
    stop = Stop(options["count"], options["exit_at_end"], options["timeout"])
    shown = Shown(options["keys"], options["headers"], options["positions"])
    write = formatter(options["format_name"], shown)
    reading = _Reading(topic, options["partitions"], start=start, stop=stop, write=write)
    run_client(lambda: reading.run(bootstrap))


class _Reading:
    """One run of the command: records in, bytes out."""

    def __init__(
        self,
        topic: str,
        partitions: tuple[int, ...],
        *,
        start: Start,
        stop: Stop,
        write: Formatter,
    ) -> None:
        self._topic = topic
        self._partitions = partitions
        self._start = start
        self._stop = stop
        self._write = write
        self._shown = 0

    async def run(self, bootstrap: str) -> None:
        """Read until it is time to stop. Raises: OttlaError, BrokenPipeError."""
        config = ConsumerConfig(auto_offset_reset="none")
        async with Consumer(bootstrap, config) as consumer:
            ends = await consumer.end_offsets(*await self._places(consumer))
            try:
                await consumer.assign(await self._start.find(consumer, ends))
                await self._read(consumer, ends)
            except OffsetOutOfRange as error:
                raise await _explain(error, consumer) from error

    async def _read(self, consumer: Consumer, ends: Mapping[TopicPartition, int]) -> None:
        quiet_since = trio.current_time()
        while not self._is_done(consumer, ends):
            records = await self._poll(consumer)
            self._show(records)
            if records:
                quiet_since = trio.current_time()
            elif _reader_has_gone():
                raise BrokenPipeError
            elif self._stop.is_overdue(trio.current_time() - quiet_since):
                self._require_count()
                return

    async def _places(self, consumer: Consumer) -> list[TopicPartition]:
        known = await consumer.partitions_of(self._topic)
        chosen = [TopicPartition(self._topic, p) for p in self._partitions] or list(known)
        for place in chosen:
            if place not in known:
                raise UnknownTopic(*place)
        return chosen

    async def _poll(self, consumer: Consumer) -> list[ConsumerRecord]:
        wanted = POLL_RECORDS
        if self._stop.count is not None:
            wanted = min(wanted, self._stop.count - self._shown)
        return await consumer.poll(max_records=wanted, timeout_s=POLL_TIMEOUT_S)

    def _show(self, records: list[ConsumerRecord]) -> None:
        if records:
            sys.stdout.buffer.write(b"".join(map(self._write, records)))
            sys.stdout.buffer.flush()
            self._shown += len(records)

    def _is_done(self, consumer: Consumer, ends: Mapping[TopicPartition, int]) -> bool:
        if self._shown == self._stop.count:
            return True
        return self._stop.at_end and all(
            (consumer.position(place) or 0) >= end for place, end in ends.items()
        )

    def _require_count(self) -> None:
        if self._stop.count is not None:
            raise CommandFailed(
                f"only {count_of(self._shown, 'record')} of {self._stop.count} came in time"
            )


async def _explain(error: OffsetOutOfRange, consumer: Consumer) -> CommandFailed:
    """Say which offsets there are instead."""
    place = TopicPartition(error.topic, error.partition)
    first = (await consumer.beginning_offsets(place))[place]
    end = (await consumer.end_offsets(place))[place]
    return CommandFailed(
        f"{place} does not hold offset {error.offset}",
        next_step=f"its oldest is {first}, its next will be {end}; see also --from-beginning",
    )


def _reader_has_gone() -> bool:
    """Say whether nobody can read our output any more: `ottla consume t | head -1` must end."""
    output = select.poll()
    output.register(_STDOUT, 0)  # errors are always told
    return any(events & (select.POLLERR | select.POLLHUP) for _, events in output.poll(0))
