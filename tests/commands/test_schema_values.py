"""Values by schema on the command line, by a registry that is a few lines long."""

from __future__ import annotations

import pytest

from client.avro import DEPTH_MAX, AvroDeserializer
from client.records import ConsumerRecord
from client.schema_registry import (
    RegisteredSchema,
    RegistrySchema,
    SchemaReference,
    SchemaRegistryError,
)
from commands.failure import CommandFailed
from commands.schema_values import AvroToJson, latest_avro

LIST = '{"type":"record","name":"L","fields":[{"name":"n","type":["null","L"]}]}'


class Registered:
    """A registry that has one schema, under the id 1, and a subject for each type."""

    async def version(self, subject):
        reference = SchemaReference("User", "users-value", 1)
        return RegisteredSchema(subject, 1, 2, RegistrySchema("text", subject, (reference,)))

    async def schema(self, schema_id):
        if schema_id != 1:
            raise SchemaRegistryError(40403, f"Schema {schema_id} not found")
        return RegistrySchema(LIST)


def record(value: bytes | None) -> ConsumerRecord:
    return ConsumerRecord("orders", 3, 41, 0, None, value, (), 0)


def decoder(group_id: str | None = None) -> AvroToJson:
    return AvroToJson(AvroDeserializer(Registered()), group_id)


async def test_a_value_is_shown_as_json_however_deep_it_is():
    shown = await decoder().decode(record(b"\0\0\0\0\1" + b"\2" * (DEPTH_MAX - 1) + b"\0"))

    assert shown.value == b'{"n":' * DEPTH_MAX + b"null" + b"}" * DEPTH_MAX
    assert await decoder().decode(record(None)) == record(None)


@pytest.mark.parametrize(
    "value",
    [b"hello", b"\0\0\0\0\1\4", b"\0\0\0\0\1" + b"\2" * 4_000 + b"\0", b"\0\0\0\0\2\0"],
    ids=["no id", "a wrong branch", "too deep", "an unknown id"],
)
async def test_a_record_that_cannot_be_decoded_is_named_with_the_way_past_it(value):
    with pytest.raises(CommandFailed) as failed:
        await decoder().decode(record(value))

    assert failed.value.cause.startswith("orders-3@41: ")
    assert "--partition 3 --offset 42" in failed.value.next_step
    assert "without --schema" in failed.value.next_step


async def test_the_latest_schema_comes_with_what_it_refers_to_and_has_to_be_avro():
    found = await latest_avro(Registered(), "AVRO")
    assert [each.name for each in found.references] == ["User"]

    for kind in ("JSON", "PROTOBUF"):
        with pytest.raises(CommandFailed, match=f"is of type {kind}, and --schema writes Avro"):
            await latest_avro(Registered(), kind)


async def test_a_group_gets_past_a_record_by_a_reset():
    with pytest.raises(CommandFailed, match="ottla group reset billing") as failed:
        await decoder("billing").decode(record(b"hello"))

    assert "--topic orders:3 --to-offset 42" in failed.value.next_step
