"""Avro values in records, with the id of their schema in front: Confluent's wire format.

    serializer = AvroSerializer(registry, schema_text)
    await producer.send("orders", await serializer("orders", {"id": 1}))

    deserializer = AvroDeserializer(registry)
    value = await deserializer("orders", record.value)

Must never know: producers and consumers, how the registry is reached.
Source: Schema Registry documentation, "Wire format".
"""

from __future__ import annotations

import io
import json
from typing import TYPE_CHECKING, Any, Final

import fastavro
from msgspec import Struct

from client.errors import DeserializationFailed, SerializationFailed
from client.schema_registry import RegistrySchema
from schemas.avro import AvroSchema, parse
from schemas.schema import WIRE_HEADER, WIRE_MAGIC, Dependency, InvalidPayload, InvalidSchema

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from client.schema_registry import SchemaReference, SchemaRegistry

DEPTH_MAX: Final = 500
"""How many values may be inside of one another where they are read, counting arrays and maps twice:
more than in any schema that does not refer to itself. fastavro recurses, and at some 3,000 the
process would end without a word; what prints values as JSON gives up at 1,000."""
_UNREADABLE: Final = (
    ValueError,
    TypeError,
    EOFError,
    LookupError,
    ArithmeticError,
    MemoryError,
    RecursionError,
)
_UNPARSABLE: Final = (
    ValueError,
    TypeError,
    KeyError,
    RecursionError,
    fastavro.schema.SchemaParseException,
)


def topic_name(topic: str, _record: str, is_key: bool) -> str:
    """Name the subject for the topic: all its values have one schema. The default."""
    return f"{topic}-{'key' if is_key else 'value'}"


def record_name(_topic: str, record: str, _is_key: bool) -> str:
    """Name the subject for the record type, wherever it is written."""
    return record


def topic_record_name(topic: str, record: str, _is_key: bool) -> str:
    """Name the subject for the topic and the record type: several types in one topic."""
    return f"{topic}-{record}"


class AvroSerializer:
    """Makes bytes of values of one schema."""

    def __init__(
        self,
        registry: SchemaRegistry,
        schema: str,
        *,
        references: tuple[SchemaReference, ...] = (),
        subject_name: Callable[[str, str, bool], str] = topic_name,
        auto_register: bool = True,
        normalize: bool = False,
    ) -> None:
        """Write with a schema, which is registered at its first use unless told otherwise.

        Without `auto_register` it has to be registered already.
        """
        self._registry = registry
        self._schema = RegistrySchema(schema, references=references)
        self._subject_name = subject_name
        self._auto_register = auto_register
        self._normalize = normalize
        self._parsed: Any = None
        self._ids: dict[str, int] = {}

    async def __call__(self, topic: str, value: Any, *, is_key: bool = False) -> bytes:
        """Encode a value for a topic.

        Raises: SerializationFailed, SchemaRegistryError, SchemaRegistryUnreachable.
        """
        if self._parsed is None:
            needed = await _dependencies(self._registry, self._schema, seen=set())
            self._parsed = _parsed(self._schema.text, needed)
        subject = self._subject_name(topic, _name_of(self._parsed), is_key)
        schema_id = self._ids.get(subject)
        if schema_id is None:
            schema_id = self._ids[subject] = await self._id(subject)
        written = io.BytesIO()
        written.write(WIRE_HEADER.pack(WIRE_MAGIC, schema_id))
        try:
            fastavro.schemaless_writer(written, self._parsed, value, strict_allow_default=True)
        except (ValueError, TypeError, AttributeError, KeyError, OverflowError) as error:
            raise SerializationFailed(f"the value does not fit {subject}: {error}") from error
        return written.getvalue()

    async def _id(self, subject: str) -> int:
        if self._auto_register:
            return await self._registry.register(subject, self._schema, normalize=self._normalize)
        found = await self._registry.look_up(subject, self._schema, normalize=self._normalize)
        return found.schema_id


class _Writer(Struct, frozen=True):
    """A schema that values were written with: as fastavro reads by it, and as bytes are checked."""

    parsed: Any
    checked: AvroSchema


class AvroDeserializer:
    """Makes values of bytes, whatever schema of the registry they were written with.

    The bytes may be anybody's. So they are walked through before fastavro sees them, which trusts
    them: a value that is nested deep would end the process.
    """

    def __init__(self, registry: SchemaRegistry, reader_schema: str | None = None) -> None:
        """Give values as the writer's schema has them, or as `reader_schema` wants them."""
        self._registry = registry
        self._reader_text = reader_schema
        self._reader: Any = None
        self._writers: dict[int, _Writer] = {}

    async def __call__(self, topic: str, data: bytes | None) -> Any:
        """Decode a value of a topic; None, a tombstone, stays None.

        Raises: DeserializationFailed, SchemaRegistryError, SchemaRegistryUnreachable.
        """
        if data is None:
            return None
        if len(data) < WIRE_HEADER.size or data[0] != WIRE_MAGIC:
            raise DeserializationFailed(
                f"a value of {topic} begins with {data[:5].hex() or 'nothing'}, not with a zero "
                "byte and a schema's id: it was not written by a serializer of a schema registry"
            )
        _, schema_id = WIRE_HEADER.unpack_from(data)
        if self._reader is None and self._reader_text is not None:
            self._reader = _parsed(self._reader_text, (), failure=DeserializationFailed)
        writer = self._writers.get(schema_id)
        if writer is None:
            writer = self._writers[schema_id] = await self._writer(topic, schema_id)
        try:
            writer.checked.check_payload(memoryview(data)[WIRE_HEADER.size :], depth_max=DEPTH_MAX)
        except InvalidPayload as error:
            raise DeserializationFailed(
                f"a value of {topic} cannot be read with schema {schema_id}: {error}"
            ) from error
        payload = io.BytesIO(data)
        payload.seek(WIRE_HEADER.size)
        try:
            value = fastavro.schemaless_reader(payload, writer.parsed, self._reader)
        except _UNREADABLE as error:
            raise DeserializationFailed(
                f"a value of {topic} cannot be read with schema {schema_id}: {error!r}"
            ) from error
        except fastavro.read.SchemaResolutionError as error:
            raise DeserializationFailed(
                f"a value of {topic} with schema {schema_id} is not what the reader's schema "
                f"wants: {error}"
            ) from error
        return value

    async def _writer(self, topic: str, schema_id: int) -> _Writer:
        schema = await self._registry.schema(schema_id)
        if schema.type != "AVRO":
            raise DeserializationFailed(
                f"schema {schema_id} of {topic} is of type {schema.type}, not AVRO"
            )
        try:
            needed = await _dependencies(self._registry, schema, seen=set())
            checked = parse(schema.text, needed)
        except (InvalidSchema, ValueError) as error:  # it may refer to an impossible version
            raise DeserializationFailed(
                f"schema {schema_id} of {topic} cannot be parsed: {error}"
            ) from error
        return _Writer(_parsed(schema.text, needed, failure=DeserializationFailed), checked)


async def _dependencies(
    registry: SchemaRegistry, schema: RegistrySchema, *, seen: set[tuple[str, int]]
) -> list[Dependency]:
    """Fetch all that a schema refers to, each after what it refers to itself.

    Raises: SchemaRegistryError, SchemaRegistryUnreachable.
    """
    found: list[Dependency] = []
    for reference in schema.references:
        if (reference.subject, reference.version) in seen:
            continue
        seen.add((reference.subject, reference.version))
        version = await registry.version(reference.subject, reference.version)
        found += await _dependencies(registry, version.schema, seen=seen)
        found.append(Dependency(reference.name, version.schema.text))
    return found


def _parsed(
    text: str,
    needed: Sequence[Dependency],
    *,
    failure: type[SerializationFailed | DeserializationFailed] = SerializationFailed,
) -> Any:
    """Parse a schema as fastavro wants it. Raises: `failure`."""
    named: dict[str, Any] = {}
    try:
        for dependency in needed:
            fastavro.parse_schema(json.loads(dependency.text), named_schemas=named)
        return fastavro.parse_schema(json.loads(text), named_schemas=named)
    except _UNPARSABLE as error:
        raise failure(f"the schema cannot be parsed: {error!r}") from error


def _name_of(parsed: Any) -> str:
    name = parsed.get("name") if isinstance(parsed, dict) else None
    return str(name or (parsed["type"] if isinstance(parsed, dict) else parsed))
