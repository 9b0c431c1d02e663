"""Avro types as values: what a parsed schema consists of, and how it is told to people.

A named type stands where it is defined; wherever else it is used there is a `Reference`. So a model
has no cycles, and whoever follows references has to count on meeting the same name again.
Must never know: JSON texts, what two schemas have to do with one another.
Source: Apache Avro 1.12 specification, "Schema Declaration" and "Names".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, TypeAlias

from msgspec import Struct

PRIMITIVES: Final = frozenset(
    {"null", "boolean", "int", "long", "float", "double", "bytes", "string"}
)

INT_MIN, INT_MAX = -(1 << 31), (1 << 31) - 1
LONG_MIN, LONG_MAX = -(1 << 63), (1 << 63) - 1

Properties: TypeAlias = Mapping[str, Any]
"""What a schema says beyond the specification, `logicalType` among it."""

SHOWN_MAX = 8
"""Longer lists are cut in sentences."""
_SHOWN_DEPTH = 3
"""What is inside of so many arrays, maps and unions is not told any more."""


class Absent:
    """The type of `ABSENT`."""

    __slots__ = ()


ABSENT: Final = Absent()
"""Stands for a default that is not there: null is a default too."""


class Primitive(Struct, frozen=True, eq=False):
    """A type without parts."""

    kind: str
    properties: Properties


class Array(Struct, frozen=True, eq=False):
    """Many values of one type."""

    items: Node
    properties: Properties


class Map(Struct, frozen=True, eq=False):
    """Many values of one type, by strings."""

    values: Node
    properties: Properties


class Union(Struct, frozen=True, eq=False):
    """One of several types; never a union again."""

    branches: tuple[Node, ...]


class Reference(Struct, frozen=True, eq=False):
    """A named type, used after its definition. The name is full."""

    name: str


class Fixed(Struct, frozen=True, eq=False):
    """Always so many bytes. Here, as in every named type, name and aliases are full."""

    name: str
    size: int
    doc: str | None
    aliases: tuple[str, ...]
    properties: Properties


class Enum(Struct, frozen=True, eq=False):
    """One of several symbols."""

    name: str
    symbols: tuple[str, ...]
    default: str | None
    doc: str | None
    aliases: tuple[str, ...]
    properties: Properties


class Field(Struct, frozen=True, eq=False):
    """A part of a record. `default` is as the text has it, or ABSENT."""

    name: str
    type: Node
    doc: str | None
    default: Any
    order: str
    aliases: tuple[str, ...]
    properties: Properties


class Record(Struct, frozen=True, eq=False):
    """Values of several types, one after the other."""

    name: str
    fields: tuple[Field, ...]
    is_error: bool
    doc: str | None
    aliases: tuple[str, ...]
    properties: Properties


NamedType: TypeAlias = Fixed | Enum | Record
Type: TypeAlias = Primitive | Array | Map | Union | NamedType
Node: TypeAlias = Type | Reference


class Model(Struct, frozen=True, eq=False):
    """A schema: its outermost type, and all named types that it knows.

    `types` has every type after those that were complete before it; `external` are the names
    that its dependencies define.
    """

    root: Node
    types: Mapping[str, NamedType]
    external: frozenset[str]

    def resolve(self, node: Node) -> Type:
        """Follow a reference."""
        return self.types[node.name] if isinstance(node, Reference) else node

    def describe(self, node: Node, depth: int = 0) -> str:
        """Tell a type in words: record "a.B", array of int, union of null and string."""
        found = self.resolve(node)
        if isinstance(found, Fixed | Enum | Record):
            return f'{kind_of(found)} "{found.name}"'
        if isinstance(found, Primitive) or depth == _SHOWN_DEPTH:
            return kind_of(found)
        if isinstance(found, Array):
            return f"array of {self.describe(found.items, depth + 1)}"
        if isinstance(found, Map):
            return f"map of {self.describe(found.values, depth + 1)}"
        shown = [self.describe(b, depth + 1) for b in found.branches[:SHOWN_MAX]]
        return f"union of {listed(shown, left_out=len(found.branches) - len(shown))}"


def kind_of(found: Type) -> str:
    """Name the kind of a type as Avro does."""
    return found.kind if isinstance(found, Primitive) else _KINDS[type(found)]


_KINDS: Final[Mapping[type, str]] = {
    Array: "array",
    Map: "map",
    Union: "union",
    Fixed: "fixed",
    Enum: "enum",
    Record: "record",
}


def namespace_of(full_name: str) -> str:
    """Take the namespace out of a full name; "" is the null namespace."""
    return full_name.rpartition(".")[0]


def simple_name(full_name: str) -> str:
    """Take the namespace off a full name."""
    return full_name.rpartition(".")[2]


def listed(words: Sequence[str], *, link: str = "and", left_out: int = 0) -> str:
    """Put words into a sentence: "a, b and c". Long lists are cut, after `left_out` words were."""
    left_out += max(0, len(words) - SHOWN_MAX)
    shown = [*words[:SHOWN_MAX], *([f"{left_out:,} more"] if left_out else [])]
    if len(shown) < 2:
        return shown[0] if shown else "nothing"
    return f"{', '.join(shown[:-1])} {link} {shown[-1]}"
