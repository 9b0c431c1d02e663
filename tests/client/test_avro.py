"""Avro values by schemas of a registry that is a dictionary: what is written, read and refused."""

from __future__ import annotations

import json

import pytest

from client.avro import DEPTH_MAX, AvroDeserializer, AvroSerializer
from client.errors import DeserializationFailed
from client.schema_registry import RegisteredSchema, RegistrySchema, SchemaReference
from schemas.avro.parser import NESTING_MAX

LIST = '{"type":"record","name":"L","fields":[{"name":"n","type":["null","L"]}]}'
USER = '{"type":"record","name":"shop.User","fields":[{"name":"id","type":"long"}]}'
ORDER = '{"type":"record","name":"Order","fields":[{"name":"by","type":"shop.User"}]}'
HEADER = b"\0\0\0\0\1"


class Registered:
    """A registry that has one schema, under the id 1, and what it refers to, by its subject."""

    def __init__(self, schema: RegistrySchema, **others: RegistrySchema) -> None:
        self._schema = schema
        self._others = others

    async def register(self, subject, schema, *, normalize=False):
        assert schema == self._schema
        return 1

    async def schema(self, schema_id):
        assert schema_id == 1
        return self._schema

    async def version(self, subject, version):
        return RegisteredSchema(subject, version, 2, self._others[subject])


def nested_arrays(levels: int) -> str:
    return '{"type":"array","items":' * levels + '"int"' + "}" * levels


async def decoded(text: str, payload: bytes):
    return await AvroDeserializer(Registered(RegistrySchema(text)))("orders", HEADER + payload)


@pytest.mark.parametrize("levels", [DEPTH_MAX, 4_000, 19_000, 20_000, 1_000_000])
async def test_a_value_that_would_overflow_a_decoder_s_stack_is_refused(levels):
    with pytest.raises(DeserializationFailed, match="values inside of one another"):
        await decoded(LIST, b"\2" * levels + b"\0")


async def test_values_are_read_as_deep_as_a_schema_can_be():
    value = await decoded(
        nested_arrays(NESTING_MAX), b"\2" * (NESTING_MAX + 1) + b"\0" * NESTING_MAX
    )

    assert json.dumps(value) == "[" * NESTING_MAX + "1" + "]" * NESTING_MAX


async def test_a_list_is_read_up_to_the_depth_that_is_taken():
    value = await decoded(LIST, b"\2" * (DEPTH_MAX - 1) + b"\0")

    assert json.dumps(value).count('"n"') == DEPTH_MAX


@pytest.mark.parametrize(
    ("text", "payload"),
    [
        ('"string"', b"\2"),
        ('"string"', b"\2a\0"),
        ('{"type":"array","items":"null"}', b"\xfe" + b"\xff" * 8 + b"\x01\0"),
        ('{"type":"int","logicalType":"date"}', b"\xff\xff\xff\xff\x0f"),
    ],
)
async def test_bytes_that_are_no_value_of_their_schema_are_refused(text, payload):
    with pytest.raises(
        DeserializationFailed, match="a value of orders cannot be read with schema 1"
    ):
        await decoded(text, payload)


@pytest.mark.parametrize(
    "text", ["no json", '{"type":"record","name":"L"}', "[" * 2_000, "1" * 5_000]
)
async def test_a_registered_text_that_is_no_schema_is_refused(text):
    with pytest.raises(DeserializationFailed, match="schema 1 of orders cannot be parsed"):
        await decoded(text, b"")


async def test_a_schema_that_refers_to_others_is_written_and_read():
    reference = SchemaReference("shop.User", "users", 1)
    schema = RegistrySchema(ORDER, references=(reference,))
    registry = Registered(schema, users=RegistrySchema(USER))

    serialize = AvroSerializer(registry, ORDER, references=(reference,))
    written = await serialize("orders", {"by": {"id": 7}})

    assert written == HEADER + b"\x0e"
    assert await AvroDeserializer(registry)("orders", written) == {"by": {"id": 7}}
