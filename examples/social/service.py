"""The loop of a service: read, decide, say what follows, remember how far it came.

A service's state and the offsets that it stands for are one file. After a crash it goes on exactly
there: what it had read since is read again, into the state of before, and what it says again is the
same as before. So nothing is counted twice. The group's committed offsets follow; they show how
far behind it is (`ottla group describe social-feed`).
Must never know: what is decided.
"""

from __future__ import annotations

from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Protocol

import structlog
import trio

from client import Consumer, ConsumerConfig, Producer, TopicPartition
from client.avro import AvroDeserializer, AvroSerializer
from client.errors import DeserializationFailed
from client.schema_registry import SCHEMA_NOT_FOUND, SchemaRegistry, SchemaRegistryError

from .contracts import EVENTS, RESULTS, Event, Result, event_schema, schema_text
from .state_file import StateFile

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable
    from pathlib import Path

    from client import ConsumerRecord

    from .stage import Stage

log_events = structlog.get_logger()

BATCH_RECORDS_MAX: Final = 500
POLL_S: Final = 1.0
BREATH_S: Final = 0.1
"""Between batches, so that more comes together in each."""


@dataclass(frozen=True, slots=True)
class Settings:
    """Where everything is; `directory` is the service's own."""

    bootstrap: str
    registry: str
    directory: Path


class Logic(Protocol):
    """What a service makes of events."""

    def apply(self, event: Event, partition: int, /) -> list[Result]:
        """Take an event in, and give what follows from it."""
        ...

    def summaries(self) -> list[Result]:
        """Give what is said once for all events of a batch."""
        ...

    def plain(self) -> Any:
        """Give the state as plain values."""
        ...


class Progress:
    """How far each partition was read, and what was made of it."""

    def __init__(self, plain: Any = None) -> None:
        told = plain or {"offsets": [], "state": None, "records": 0}
        self.offsets = {TopicPartition(topic, p): at for topic, p, at in told["offsets"]}
        self.state = told["state"]
        self.records: int = told["records"]

    def note(self, record: ConsumerRecord) -> bool:
        """Note a record. Returns: False where the state has it already."""
        place = record.topic_partition
        if record.offset < self.offsets.get(place, 0):
            return False
        self.offsets[place] = record.offset + 1
        self.records += 1
        return True

    def plain(self, state: Any) -> Any:
        """Give what is saved."""
        offsets = [[*place, offset] for place, offset in self.offsets.items()]
        return {"offsets": offsets, "state": state, "records": self.records}


class Reading:
    """Reads topics in a group of its own, from where the state file says."""

    def __init__(self, consumer: Consumer, file: StateFile, progress: Progress) -> None:
        self.progress = progress
        self._consumer = consumer
        self._file = file

    def subscribe(self, topics: Iterable[str]) -> None:
        """Read topics; what the file says counts for more than what the group has committed."""

        def go_on(places: tuple[TopicPartition, ...]) -> None:
            for place in places:
                if place in self.progress.offsets:
                    self._consumer.seek(place, self.progress.offsets[place])

        self._consumer.subscribe(topics, on_assigned=go_on)

    async def batch(self) -> list[ConsumerRecord]:
        """Wait for records that the state does not have; none after a second without any."""
        records = await self._consumer.poll(max_records=BATCH_RECORDS_MAX, timeout_s=POLL_S)
        return [record for record in records if self.progress.note(record)]

    async def keep(self, state: Any) -> None:
        """Save the state together with the offsets, then commit those."""
        await self._file.save(self.progress.plain(state))
        assigned = self._consumer.assignment
        await self._consumer.commit(
            {place: at for place, at in self.progress.offsets.items() if place in assigned}
        )


def state_file(settings: Settings) -> StateFile:
    """Give the file of a service's state and offsets."""
    return StateFile(settings.directory / "state.msgpack")


async def load_progress(file: StateFile) -> Progress:
    """Read how far a service came, and what it made of it."""
    return Progress(await trio.to_thread.run_sync(file.load))


@asynccontextmanager
async def open_reading(settings: Settings, name: str) -> AsyncIterator[Reading]:
    """Open what a service reads by. Nobody waits for its last process: the member is static."""
    file = state_file(settings)
    progress = await load_progress(file)
    config = ConsumerConfig(
        client_id=f"social-{name}",
        group_id=f"social-{name}",
        group_instance_id=name,
        auto_offset_reset="earliest",
        enable_auto_commit=False,
    )
    async with Consumer(settings.bootstrap, config) as consumer:
        yield Reading(consumer, file, progress)


class Voice:
    """Says results: each to its topic, in Avro, acknowledged by all replicas in sync."""

    def __init__(self, producer: Producer, registry: SchemaRegistry) -> None:
        self._producer = producer
        self._serializers = {
            topic: AvroSerializer(registry, schema_text(topic), auto_register=False)
            for topic in RESULTS
        }

    async def say(self, results: Iterable[Result]) -> None:
        """Say all of it; returns once it is acknowledged."""
        deliveries = []
        for result in results:
            value = await self._serializers[result.topic](result.topic, result.value)
            key = result.key.encode()
            deliveries.append(await self._producer.enqueue(result.topic, value, key=key))
        for delivery in deliveries:
            await delivery.wait()


async def run_service(
    settings: Settings, name: str, make: Callable[[Any], Logic], stage: Stage, *, version: int
) -> None:
    """Run a service that reads events, by a version of their schema, until it is cancelled."""
    reader = event_schema(2 if version == 2 else 1)
    async with (
        SchemaRegistry(settings.registry) as registry,
        Producer(settings.bootstrap) as producer,
        open_reading(settings, name) as reading,
    ):
        logic = make(reading.progress.state)
        decode, voice = AvroDeserializer(registry, reader), Voice(producer, registry)
        reading.subscribe([EVENTS])
        log_events.info("service_begins", service=name, records=reading.progress.records)
        while True:
            results = []
            records = await reading.batch()
            for record in records:
                event = await read_event(decode, record)
                if event is not None:
                    results += logic.apply(event, record.partition)
            if records:
                await voice.say([*results, *logic.summaries()])
                await reading.keep(logic.plain())
            await stage.tell(records=reading.progress.records)
            await trio.sleep(BREATH_S)


def first_cause(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """Give the first error within a group."""
    first: BaseException = group
    while isinstance(first, BaseExceptionGroup):
        first = first.exceptions[0]
    return first


async def read_event(decode: AvroDeserializer, record: ConsumerRecord) -> Event | None:
    """Decode an event; None where somebody has written something else."""
    fields = await read_value(decode, record)
    return Event.of(fields) if fields is not None else None


async def read_value(decode: AvroDeserializer, record: ConsumerRecord) -> dict[str, Any] | None:
    """Decode a record by a reader's schema, so that it has all the fields that this one has.

    Returns: None, after a line in the log, where somebody has written something else: who failed
    would read the same record again, for ever.
    """
    try:
        fields: dict[str, Any] | None = await decode(record.topic, record.value)
    except (DeserializationFailed, SchemaRegistryError) as error:
        if isinstance(error, SchemaRegistryError) and error.code != SCHEMA_NOT_FOUND:
            raise
        place, offset = str(record.topic_partition), record.offset
        log_events.warning("record_skipped", partition=place, offset=offset, why=str(error))
        return None
    return fields
