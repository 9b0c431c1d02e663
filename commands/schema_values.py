"""Records' values as JSON texts on the command line, as Avro of the registry in the topic.

JSON cannot hold any bytes: Avro's bytes and fixed are texts of characters up to 255, as in Avro's
own JSON. Must never know: producers, consumers, where the registry is.
"""

from __future__ import annotations

import json
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from client.avro import AvroDeserializer, AvroSerializer, topic_name
from client.errors import DeserializationFailed
from client.schema_registry import LATEST, RegistrySchema, SchemaRegistry, SchemaRegistryError
from commands.failure import CommandFailed
from commands.schema_options import explained, read_text

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from client.records import ConsumerRecord
    from commands.reading import Decode

    Encode = Callable[[bytes], Awaitable[bytes]]


class JsonToAvro:
    """Encodes lines that hold a JSON value each."""

    def __init__(self, topic: str, serialize: AvroSerializer) -> None:
        self._topic = topic
        self._serialize = serialize

    async def encode(self, line: bytes) -> bytes:
        """Encode one value. Raises: ValueError where it is no JSON, SerializationFailed."""
        try:
            value = json.loads(line)
        except RecursionError as error:
            raise ValueError("the JSON is nested too deep") from error
        return await self._serialize(self._topic, value)


class AvroToJson:
    """Decodes what records hold, one value after the other; for a member of a group or not."""

    def __init__(self, deserialize: AvroDeserializer, group_id: str | None = None) -> None:
        self._deserialize = deserialize
        self._group_id = group_id

    async def decode(self, record: ConsumerRecord) -> ConsumerRecord:
        """Give the record with a JSON text as its value.

        Raises: CommandFailed, which says where the record is and how to read on behind it.
        """
        if record.value is None:
            return record
        with explained():
            try:
                value = await self._deserialize(record.topic, record.value)
            except (DeserializationFailed, SchemaRegistryError) as error:
                raise CommandFailed(
                    f"{record.topic_partition}@{record.offset}: {error}",
                    next_step=self._way_past(record),
                ) from error
        text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), default=_text)
        return replace(record, value=text.encode())

    def _way_past(self, record: ConsumerRecord) -> str:
        behind = record.offset + 1
        if self._group_id is None:
            return (
                f"read on behind it with --partition {record.partition} --offset {behind}, "
                "or without --schema"
            )
        return (
            f"read on without --schema; 'ottla group reset {self._group_id}' with --topic "
            f"{record.topic}:{record.partition} --to-offset {behind} has the group go on behind it"
        )


@asynccontextmanager
async def encoder(registry: str, topic: str, schema: str) -> AsyncIterator[Encode]:
    """Open what encodes values for a topic with the schema in a file, or with its latest one.

    Raises: CommandFailed where the topic's values are of another type than Avro.
    """
    async with SchemaRegistry(registry) as opened:
        if schema == LATEST:
            wanted = await latest_avro(opened, topic_name(topic, "", False))
        else:
            wanted = RegistrySchema(read_text(Path(schema)))
        serialize = AvroSerializer(
            opened,
            wanted.text,
            references=wanted.references,
            auto_register=schema != LATEST,
        )
        yield JsonToAvro(topic, serialize).encode


async def latest_avro(registry: SchemaRegistry, subject: str) -> RegistrySchema:
    """Give the latest schema of a subject, which has to be Avro. Raises: CommandFailed."""
    with explained():
        found = (await registry.version(subject)).schema
    if found.type != "AVRO":
        raise CommandFailed(
            f"the latest schema of {subject} is of type {found.type}, and --schema writes Avro",
            next_step=f"write with a client's serializer for {found.type}, or to another topic",
        )
    return found


@asynccontextmanager
async def decoder(registry: str, *, group_id: str | None = None) -> AsyncIterator[Decode]:
    """Open what decodes values of any topic, for a member of a group or not."""
    async with SchemaRegistry(registry) as opened:
        yield AvroToJson(AvroDeserializer(opened), group_id).decode


def _text(value: Any) -> str:
    return value.decode("latin-1") if isinstance(value, bytes) else str(value)
