"""`ottla consume`: read records of a topic, alone or in a group, from where and as long as asked.

Must never know: how records are fetched, how they are written out (commands/reading.py).
"""

from __future__ import annotations

import signal
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any, Final, Literal

import click
import trio
from msgspec import Struct

from client.background import background_tasks
from client.consumer import Consumer, ConsumerConfig
from client.errors import OffsetOutOfRange, UnknownTopic
from client.records import TopicPartition
from commands.columns import shorten
from commands.failure import CommandFailed
from commands.options import (
    INT32_MAX,
    INT64_MAX,
    TIME_HELP,
    GroupName,
    Seconds,
    Timestamp,
    TopicName,
    cluster_options,
)
from commands.patience import Patience
from commands.reading import Output, Reading, Stop, require_stdout
from commands.record_format import FORMATS, Shown, formatter
from commands.registry_options import registry_of_cluster, registry_option
from commands.session import interrupt_when_told, run_client

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from contextlib import AbstractAsyncContextManager

    from commands.reading import Decode

CLIENT_ID: Final = "ottla-consume"
LOOKUP_S: Final = 60.0
"""How long is looked for partitions, leaders and offsets where no --timeout says more."""
NAMED_MAX: Final = 3


class Start(Struct, frozen=True):
    """Where to begin in each partition; the end where nothing is said."""

    from_beginning: bool = False
    offset: int | None = None
    timestamp_ms: int | None = None

    @property
    def is_a_place(self) -> bool:
        """Say whether an offset or a time was named."""
        return self.offset is not None or self.timestamp_ms is not None

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


@click.command()
@click.argument("topic", type=TopicName())
@click.option("--from-beginning", is_flag=True, help="Begin with the oldest record.")
@click.option(
    "--offset",
    type=click.IntRange(-INT64_MAX, INT64_MAX),
    metavar="N",
    help="Begin at this offset; -N is N offsets before the end.",
)
@click.option("--timestamp", type=Timestamp(), help=f"Begin at this time: {TIME_HELP}.")
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
    type=Seconds(),
    metavar="SECONDS",
    help="Stop when no record has come for so long, the search for the cluster included.",
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
@click.option(
    "--group",
    type=GroupName(),
    help="Read as a member of this group: go on where it left off, share with its others.",
)
@click.option("--schema", is_flag=True, help="Values are Avro of the registry: show them as JSON.")
@registry_option
@cluster_options
def consume(topic: str, *, bootstrap: str, **options: Any) -> None:
    """Read records of TOPIC, by default those to come; Ctrl-C ends.

    The text format puts tabs between what it shows and writes null where there is no key or
    value. With --timeout the exit status is 1 where fewer records than --count came, or where the
    cluster could not even be asked in time.

    With --group what was written out is committed, and the next run goes on there. Where the group
    has committed nothing it begins with what is to come, or --from-beginning.

    \b
    Examples:
      $ ottla consume orders --from-beginning --exit-at-end --keys
      $ ottla consume orders --timestamp 2026-05-01T12:00:00Z --count 10 --format json
      $ ottla consume orders --partition 2 --offset -5 --count 5
      $ ottla consume orders --group billing --from-beginning
      $ ottla consume users --schema --from-beginning
    """
    start = Start(options["from_beginning"], options["offset"], options["timestamp"])
    stop = Stop(options["count"], options["exit_at_end"], options["timeout"])
    shown = Shown(options["keys"], options["headers"], options["positions"])
    write = formatter(options["format_name"], shown)
    require_stdout()
    reader: _Alone | _Member = _Alone(topic, options["partitions"], start)
    if options["group"] is not None:
        reader = _member(topic, start, options)

    async def main() -> None:
        async with _decoder(options) as decode:
            await reader.run(bootstrap, stop, Output(write, decode))

    run_client(main)


def _decoder(options: Mapping[str, Any]) -> AbstractAsyncContextManager[Decode | None]:
    if not options["schema"]:
        return nullcontext()
    from commands.schema_values import decoder

    return decoder(registry_of_cluster(options["registry"]), group_id=options["group"])


def _member(topic: str, start: Start, options: Mapping[str, Any]) -> _Member:
    if start.is_a_place or options["partitions"]:
        raise click.UsageError(
            "with --group the group decides what is read from where: leave out --partition,"
            " --offset and --timestamp; 'ottla group reset' has a group go on elsewhere"
        )
    return _Member(topic, options["group"], from_beginning=start.from_beginning)


class _Alone:
    """Reads partitions of its own choice, from where it is told."""

    def __init__(self, topic: str, partitions: tuple[int, ...], start: Start) -> None:
        self._topic = topic
        self._partitions = partitions
        self._start = start

    async def run(self, bootstrap: str, stop: Stop, output: Output) -> None:
        """Read until it is time to stop. Raises: OttlaError, BrokenPipeError."""
        patience = Patience(stop.timeout_s)
        config = ConsumerConfig(auto_offset_reset="none", metadata_timeout_s=_lookup_s(stop))
        async with patience.bounding(), Consumer(bootstrap, config) as consumer:
            patience.lacking = f"no broker says which partitions {self._topic} has"
            places = await self._places(consumer)
            patience.lacking = _no_leader_tells(places)
            ends = await consumer.end_offsets(*places)
            try:
                await consumer.assign(await self._start.find(consumer, ends))
                patience.begin()
                await Reading(consumer, ends, stop=stop, patience=patience, output=output).run()
            except OffsetOutOfRange as error:
                raise await _explain(error, consumer) from error

    async def _places(self, consumer: Consumer) -> list[TopicPartition]:
        known = await consumer.partitions_of(self._topic)
        chosen = [TopicPartition(self._topic, p) for p in self._partitions] or list(known)
        for place in chosen:
            if place not in known:
                raise UnknownTopic(*place)
        return chosen


class _Member:
    """Reads what its group gives it, and has what was written out committed."""

    def __init__(self, topic: str, group_id: str, *, from_beginning: bool) -> None:
        self._topic = topic
        self._group_id = group_id
        self._reset: Literal["earliest", "latest"] = "earliest" if from_beginning else "latest"

    async def run(self, bootstrap: str, stop: Stop, output: Output) -> None:
        """Read until it is time to stop or SIGTERM comes, then leave.

        Raises: OttlaError, BrokenPipeError, KeyboardInterrupt.

        Auto commit is exact here: all that a poll returns has been written when the next one
        begins, or when the consumer is left in peace.
        """
        patience = Patience(stop.timeout_s)
        config = ConsumerConfig(
            client_id=CLIENT_ID,
            group_id=self._group_id,
            auto_offset_reset=self._reset,
            metadata_timeout_s=_lookup_s(stop),
        )
        with trio.open_signal_receiver(signal.SIGTERM) as signals:
            async with (
                background_tasks() as nursery,
                patience.bounding(),
                Consumer(bootstrap, config) as consumer,
            ):
                nursery.start_soon(interrupt_when_told, signals)
                patience.lacking = f"no broker says which partitions {self._topic} has"
                places = await consumer.partitions_of(self._topic)
                patience.lacking = _no_leader_tells(places)
                ends = await consumer.end_offsets(*places)
                patience.lacking = f"group {self._group_id!r} has not said yet who reads what"
                consumer.subscribe([self._topic], on_assigned=lambda _: patience.begin())
                await Reading(consumer, ends, stop=stop, patience=patience, output=output).run()


def _lookup_s(stop: Stop) -> float:
    """Give how long the consumer looks for what it needs: not shorter than the user waits."""
    return max(LOOKUP_S, stop.timeout_s or 0.0)


def _no_leader_tells(places: Sequence[TopicPartition]) -> str:
    return f"no leader tells the end of {shorten(places, shown_max=NAMED_MAX)}"


async def _explain(error: OffsetOutOfRange, consumer: Consumer) -> CommandFailed:
    """Say which offsets there are instead."""
    place = TopicPartition(error.topic, error.partition)
    first = (await consumer.beginning_offsets(place))[place]
    end = (await consumer.end_offsets(place))[place]
    return CommandFailed(
        f"{place} does not hold offset {error.offset}",
        next_step=f"its oldest is {first}, its next will be {end}; see also --from-beginning",
    )
