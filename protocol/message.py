"""How a message is declared: wire types, fields with versions, requests, responses, structs.

One class stands for a message in all its versions. Annotations are wire types, `wire()` says
what they cannot: since and until which version a field exists, whether it is tagged, when it may be
null. A plain default (`leader_id: Int32 = -1`) is a field of all versions.
Must never know: bytes, how a message is encoded, which messages there are.
"""

from __future__ import annotations

import struct as struct_format
import sys
from collections.abc import Callable
from functools import cache
from types import CodeType, UnionType
from typing import (
    Annotated,
    Any,
    Final,
    TypeVar,
    Union,
    cast,
    dataclass_transform,
    get_args,
    get_origin,
)

from msgspec import UNSET, Struct, defstruct, field

T = TypeVar("T")

_OF_THE_CLASS_ITSELF: Final = frozenset({"__annotations__", "__dict__", "__weakref__"})
"""What a class body does not hand on to the class that is made of it."""

VERSION_MAX: Final = 32767
"""Stands for "and later": versions are int16 on the wire."""


class Fixed(Struct, frozen=True):
    """A value of fixed width; `code` is its letter in the struct module (big-endian)."""

    code: str

    @property
    def size_bytes(self) -> int:
        """Give the width on the wire."""
        return struct_format.calcsize(">" + self.code)

    @property
    def zero(self) -> Any:
        """Give the value that a field has where nothing else is declared."""
        return struct_format.unpack(">" + self.code, bytes(self.size_bytes))[0]


class Text(Struct, frozen=True):
    """UTF-8 of at most 32,767 bytes, length first."""


class Blob(Struct, frozen=True):
    """Bytes, length first; `records` are passed through as views and slices, never copied."""

    records: bool = False


class Array(Struct, frozen=True):
    """A count, and so many elements."""

    element: WireType


class Nested(Struct, frozen=True):
    """A struct within a message."""

    struct: type


WireType = Fixed | Text | Blob | Array | Nested

Int8 = Annotated[int, Fixed("b")]
Int16 = Annotated[int, Fixed("h")]
Int32 = Annotated[int, Fixed("i")]
Int64 = Annotated[int, Fixed("q")]
UInt16 = Annotated[int, Fixed("H")]
UInt32 = Annotated[int, Fixed("I")]
Float64 = Annotated[float, Fixed("d")]
Bool = Annotated[bool, Fixed("?")]
Uuid = Annotated[bytes, Fixed("16s")]
String = Annotated[str, Text()]
Bytes = Annotated[bytes, Blob()]
Records = Annotated[Any, Blob(records=True)]
"""Decoded: a memoryview into the frame. To encode: bytes-like, or anything with `__len__`."""


class Field(Struct, frozen=True):
    """One field of a message or struct, in all versions.

    It exists in versions `[since, until]`, may be null from `nullable_since` on, and is tagged in
    all its versions where `tag` is not None. Where a version lacks it, a value other than `default`
    is dropped silently if `ignorable`, and refused otherwise.
    """

    name: str
    type: WireType
    default: Any
    since: int = 0
    until: int = VERSION_MAX
    nullable_since: int = VERSION_MAX
    tag: int | None = None
    ignorable: bool = False

    def exists_in(self, version: int) -> bool:
        """Say whether the version has this field."""
        return self.since <= version <= self.until

    def nullable_in(self, version: int) -> bool:
        """Say whether null may be sent in the version."""
        return version >= self.nullable_since


class Layout(Struct, frozen=True):
    """What a declared class looks like on the wire.

    `key`, `versions` (both ends included) and `flexible_since` belong to messages; a struct has the
    versions of the message that holds it. `rest_ignored` says that bytes may follow the last field.
    """

    name: str
    fields: tuple[Field, ...]
    key: int | None = None
    versions: tuple[int, int] = (0, VERSION_MAX)
    flexible_since: int = VERSION_MAX
    rest_ignored: bool = False


class Wire(Struct, frozen=True, kw_only=True):
    """What `wire()` was told about a field; the class decorators turn it into a `Field`."""

    since: int
    until: int
    tag: int | None
    default: Any
    nullable_since: int
    ignorable: bool


def wire(
    *,
    since: int = 0,
    until: int = VERSION_MAX,
    tag: int | None = None,
    default: Any = UNSET,
    nullable_since: int = 0,
    ignorable: bool = False,
) -> Any:
    """Declare a field that a plain default cannot.

    `default` is 0, "", an empty list or None (records, tagged and nullable structs) if left out.
    `nullable_since` counts for fields annotated `| None`. Returns Any, so that a type checker takes
    it for the field's value.
    """
    return Wire(
        since=since,
        until=until,
        tag=tag,
        default=default,
        nullable_since=nullable_since,
        ignorable=ignorable,
    )


@dataclass_transform()
def struct(cls: type[T]) -> type[T]:
    """Declare a part of messages: its fields all have defaults."""
    return _declared(cls)


@dataclass_transform()
def request(
    *, key: int, versions: tuple[int, int], flexible_since: int
) -> Callable[[type[T]], type[T]]:
    """Declare a request of API `key`, for `versions` (both ends included)."""
    return lambda cls: _declared(
        cls, key=key, versions=versions, flexible_since=flexible_since, rest_ignored=True
    )


@dataclass_transform()
def response(
    *, key: int, versions: tuple[int, int], flexible_since: int
) -> Callable[[type[T]], type[T]]:
    """Declare a response of API `key`, for `versions` (both ends included)."""
    return lambda cls: _declared(cls, key=key, versions=versions, flexible_since=flexible_since)


@dataclass_transform()
def embedded(*, versions: tuple[int, int]) -> Callable[[type[T]], type[T]]:
    """Declare what clients write into a bytes field, for `versions` (both ends included).

    Brokers carry it unread. A newer version begins like the newest known one, so bytes may follow.
    """
    return lambda cls: _declared(cls, versions=versions, rest_ignored=True)


def layout_of(cls: type) -> Layout:
    """Look up how a declared class is laid out. Raises: TypeError for any other class."""
    layout = getattr(cls, "__layout__", None)
    if layout is None:
        raise TypeError(f"{cls.__name__} is not declared as a message or as part of one")
    return cast("Layout", layout)


def _declared(cls: type[T], **message: Any) -> type[T]:
    known = vars(sys.modules[cls.__module__])
    fields = tuple(
        _field(name, eval(_compiled(text), known), vars(cls)[name])  # noqa: S307 - our own source
        for name, text in cls.__annotations__.items()
    )
    body = {name: value for name, value in vars(cls).items() if name not in _OF_THE_CLASS_ITSELF}
    body |= {"__layout__": Layout(cls.__name__, fields, **message)}
    made = [(declared.name, Any, _struct_default(declared)) for declared in fields]
    for name, _, _ in made:
        del body[name]
    return cast("type[T]", defstruct(cls.__name__, made, namespace=body, module=cls.__module__))


@cache
def _compiled(annotation: str) -> CodeType:
    """Compile an annotation. The same few stand before hundreds of fields."""
    return compile(annotation, "<annotation>", "eval")


def _field(name: str, hint: Any, value: Any) -> Field:
    told = value if isinstance(value, Wire) else cast("Wire", wire(default=value))
    wire_type, may_be_null = _wire_type(hint)
    default = told.default
    if default is UNSET:
        default = _zero(wire_type, absent_is_none=may_be_null)
    # A tagged struct that was not sent is None; on the wire its null does not exist.
    nullable = may_be_null and not (told.tag is not None and isinstance(wire_type, Nested))
    return Field(
        name=name,
        type=wire_type,
        default=default,
        since=told.since,
        until=told.until,
        nullable_since=told.nullable_since if nullable else VERSION_MAX,
        tag=told.tag,
        ignorable=told.ignorable,
    )


def _wire_type(hint: Any) -> tuple[WireType, bool]:
    if get_origin(hint) in (Union, UnionType):
        (inner,) = (part for part in get_args(hint) if part is not type(None))
        return _wire_type(inner)[0], True
    if get_origin(hint) is Annotated:
        return cast("WireType", hint.__metadata__[0]), False
    if get_origin(hint) is list:
        return Array(_wire_type(get_args(hint)[0])[0]), False
    layout_of(hint)
    return Nested(hint), False


def _zero(wire_type: WireType, *, absent_is_none: bool) -> Any:
    match wire_type:
        case Fixed():
            return wire_type.zero
        case Text():
            return ""
        case Blob():
            return None if wire_type.records else b""
        case Array():
            return []
        case Nested():
            return None if absent_is_none else wire_type.struct()


def _struct_default(declared: Field) -> Any:
    if isinstance(declared.type, Array) and declared.default is not None:
        return field(default_factory=list)
    if isinstance(declared.type, Nested) and declared.default is not None:
        return field(default_factory=declared.type.struct)
    return declared.default
