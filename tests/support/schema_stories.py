"""Random stories of a subject: a schema, and what somebody made of it, version after version.

Not every version is a valid schema, and not every step is compatible.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from google.protobuf.descriptor_pb2 import FieldDescriptorProto, FileDescriptorProto
from hypothesis import assume
from hypothesis import strategies as st

from schemas.protobuf.schema import parse
from schemas.schema import InvalidSchema
from tests.schemas.avro.schemas import mutated, schemas, text_of
from tests.schemas.protobuf.files import SCALAR_TYPES, base64_of, files
from tests.support import random_json_schemas

if TYPE_CHECKING:
    from google.protobuf.descriptor_pb2 import DescriptorProto

DRAFT_7 = "http://json-schema.org/draft-07/schema#"
VERSIONS = 3


@st.composite
def avro_stories(draw: Any) -> list[str]:
    """Draw versions of an Avro schema, as texts."""
    versions = [draw(schemas())]
    while len(versions) < VERSIONS:
        versions.append(draw(mutated(versions[-1])))
    return [text_of(each) for each in versions]


@st.composite
def json_stories(draw: Any) -> list[str]:
    """Draw versions of a JSON Schema of draft 7, as texts."""
    random = draw(st.randoms(use_true_random=False))
    versions = [random_json_schemas.document(random)]
    while len(versions) < VERSIONS:
        versions.append(random_json_schemas.near_document(random, versions[-1]))
    return [json.dumps({"$schema": DRAFT_7, **each}) for each in versions]


@st.composite
def protobuf_stories(draw: Any) -> list[str]:
    """Draw versions of a Protobuf file, as sources, in what every registry can parse of them."""
    versions = [_plain(draw(files()))]
    while len(versions) < VERSIONS:
        versions.append(draw(_changed(versions[-1])))
    return [_source(each) for each in versions]


STORIES = {"AVRO": avro_stories, "JSON": json_stories, "PROTOBUF": protobuf_stories}
"""By the name of the type in the registry's API: how a story of it is drawn."""


@st.composite
def _changed(draw: Any, file: FileDescriptorProto) -> FileDescriptorProto:
    """Draw another version of a file; what it refers to may be gone."""
    changed = FileDescriptorProto()
    changed.CopyFrom(file)
    for _ in range(draw(st.integers(1, 3))):
        messages = list(_messages(changed.message_type))
        if not messages:
            changed.message_type.add(name="New")
            continue
        way = draw(st.sampled_from([_add, _add, _drop, _retype, _retype, _renumber, _rename]))
        way(draw, draw(st.sampled_from(messages)))
    return changed


def _plain(file: FileDescriptorProto) -> FileDescriptorProto:
    """Take from its enums what they reserve, of which Karapace can parse nothing."""
    for within in (file, *_messages(file.message_type)):
        for enum in within.enum_type:
            enum.ClearField("reserved_range")
            enum.ClearField("reserved_name")
    return file


def _source(file: FileDescriptorProto) -> str:
    try:
        return parse(base64_of(file)).text
    except InvalidSchema:
        return assume(False)  # what a change left behind cannot be linked


def _messages(within: Any) -> Any:
    for message in within:
        if not message.options.map_entry:
            yield message
            yield from _messages(message.nested_type)


def _add(draw: Any, message: DescriptorProto) -> None:
    numbers = {field.number for field in message.field}
    number = draw(st.integers(1, 900).filter(lambda each: each not in numbers))
    message.field.add(
        name=f"g_{number}",
        number=number,
        type=draw(st.sampled_from(SCALAR_TYPES)),
        label=FieldDescriptorProto.LABEL_OPTIONAL,
    )


def _drop(draw: Any, message: DescriptorProto) -> None:
    if message.field:
        del message.field[draw(st.integers(0, len(message.field) - 1))]


def _retype(draw: Any, message: DescriptorProto) -> None:
    scalars = [field for field in message.field if field.type in SCALAR_TYPES]
    if scalars:
        field = draw(st.sampled_from(scalars))
        field.type = draw(st.sampled_from(SCALAR_TYPES))
        field.ClearField("default_value")


def _renumber(draw: Any, message: DescriptorProto) -> None:
    if message.field:
        draw(st.sampled_from(list(message.field))).number = draw(st.integers(901, 999))


def _rename(draw: Any, message: DescriptorProto) -> None:
    if message.field:
        field = draw(st.sampled_from(list(message.field)))
        field.name, field.json_name = f"{field.name}x", f"{field.name}X"
