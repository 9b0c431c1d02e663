"""What a schema is, whatever its type: the port that `avro`, `json_schema` and `protobuf` fill.

Must never know: how any type is parsed, where schemas are kept, what a subject is.
"""

from __future__ import annotations

import struct
from enum import StrEnum
from typing import TYPE_CHECKING, Final, Protocol

from msgspec import Struct

from protocol.errors import OttlaError

if TYPE_CHECKING:
    from collections.abc import Sequence

SCHEMA_CHARACTERS_MAX = 1 << 20
"""Longer texts are refused before they are parsed; a record of `_schemas` has to hold one."""


WIRE_MAGIC: Final = 0
WIRE_HEADER: Final = struct.Struct(">bI")
"""In front of a payload in a record: a zero byte, then the schema's id in 32 bits, big end first.

Source: Schema Registry documentation, "Wire format".
"""


class SchemaType(StrEnum):
    """The types of schemas, by the names of the Schema Registry API."""

    AVRO = "AVRO"
    JSON = "JSON"
    PROTOBUF = "PROTOBUF"


class InvalidSchema(OttlaError):
    """A text is no schema of its type. The message says where, and what would be one."""


class InvalidPayload(OttlaError):
    """Bytes were not written with a schema. The message names the field and what is wrong."""


class Dependency(Struct, frozen=True):
    """A schema that another one refers to.

    `name` is how the referring text calls it: a full name in Avro, a URI in JSON Schema, an
    import path in Protobuf. Its own dependencies are in `dependencies`.
    """

    name: str
    text: str
    dependencies: tuple[Dependency, ...] = ()


class Incompatibility(Struct, frozen=True):
    """One reason why a reader's schema cannot read what was written with a writer's.

    `rule` is a constant in the field's own terms (READER_FIELD_MISSING_DEFAULT_VALUE). `path` leads
    to the place in the reader's schema, or in the writer's where the reader has none, as a JSON
    pointer ("/fields/2/type"). `reader` and `writer` show what either has there, "" for nothing.
    `why` is one sentence that names the field and both types; `remedy` one that says what would
    make it pass.
    """

    rule: str
    path: str
    reader: str
    writer: str
    why: str
    remedy: str


class Schema(Protocol):
    """A parsed schema of any type; immutable."""

    @property
    def type(self) -> SchemaType:
        """Its type."""
        ...

    @property
    def text(self) -> str:
        """The schema as it is stored and given out: its own text, without what means nothing.

        Two texts that differ only in layout (white space) have the same one.
        """
        ...

    @property
    def normalized(self) -> str:
        """The text in a normal form: alike for schemas that differ in spelling only."""
        ...

    def incompatibilities(self, writer: Schema) -> list[Incompatibility]:
        """Tell all that keeps this schema from reading what was written with another.

        Both have the same type. An empty list says that everything can be read.
        """
        ...

    def check_payload(self, payload: bytes | memoryview) -> None:
        """Decode a payload, without the header that names the schema.

        Raises: InvalidPayload, which names the field.
        """
        ...


class Parse(Protocol):
    """How each type's module makes a schema of a text."""

    def __call__(self, text: str, dependencies: Sequence[Dependency] = ()) -> Schema:
        """Parse a schema. Raises: InvalidSchema."""
        ...
