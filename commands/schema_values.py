"""Records' values as JSON texts on the command line, as Avro of the registry in the topic.

JSON cannot hold any bytes: Avro's bytes and fixed are texts of characters up to 255, as in Avro's
own JSON. Must never know: producers, consumers, where the registry is.
"""

from __future__ import annotations

import json
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from msgspec.structs import replace

from client.avro import AvroDeserializer, AvroSerializer
from client.schema_registry import SchemaRegistry
from commands.schema_options import explained, read_text

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from client.records import ConsumerRecord
    from commands.reading import Decode

    Encode = Callable[[bytes], Awaitable[bytes]]

LATEST: Final = "latest"


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
    """Decodes what records hold, one value after the other."""

    def __init__(self, deserialize: AvroDeserializer) -> None:
        self._deserialize = deserialize

    async def decode(self, records: list[ConsumerRecord]) -> list[ConsumerRecord]:
        """Give records whose values are JSON texts. Raises: CommandFailed."""
        return [await self._decoded(record) for record in records]

    async def _decoded(self, record: ConsumerRecord) -> ConsumerRecord:
        if record.value is None:
            return record
        with explained():
            value = await self._deserialize(record.topic, record.value)
        text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), default=_text)
        return replace(record, value=text.encode())


@asynccontextmanager
async def encoder(registry: str, topic: str, schema: str) -> AsyncIterator[Encode]:
    """Open what encodes values for a topic with the schema in a file, or with its latest one."""
    async with SchemaRegistry(registry) as opened:
        if schema == LATEST:
            with explained():
                text = (await opened.version(f"{topic}-value")).schema.text
        else:
            text = read_text(Path(schema))
        registers = schema != LATEST
        yield JsonToAvro(topic, AvroSerializer(opened, text, auto_register=registers)).encode


@asynccontextmanager
async def decoder(registry: str) -> AsyncIterator[Decode]:
    """Open what decodes values of any topic."""
    async with SchemaRegistry(registry) as opened:
        yield AvroToJson(AvroDeserializer(opened)).decode


def _text(value: Any) -> str:
    return value.decode("latin-1") if isinstance(value, bytes) else str(value)
