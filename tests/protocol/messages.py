"""All declared messages, one that has all that declarations can say, and strategies for them."""

from __future__ import annotations

import struct
from typing import Any

from hypothesis import strategies as st

from protocol.api import API
from protocol.message import (
    Array,
    Blob,
    Bool,
    Bytes,
    Fixed,
    Float64,
    Int8,
    Int16,
    Int32,
    Int64,
    Nested,
    Records,
    String,
    Text,
    UInt16,
    UInt32,
    Uuid,
    WireType,
    layout_of,
    request,
    wire,
)
from protocol.message import struct as declared_struct


@declared_struct
class Inner:
    number: Int64 = 7
    text: String | None = None
    late: Int16 = wire(since=2, default=-1)
    numbers: list[Int32] | None = wire(nullable_since=1)
    tag: Bool = wire(since=3, tag=5)


@request(key=9999, versions=(0, 4), flexible_since=3)
class Everything:
    """Every wire type, nullable and not, in order and tagged, come and gone with versions."""

    small: Int8 = 0
    port: UInt16 = 0
    size: UInt32 = 0
    ratio: Float64 = 0.0
    early: Int32 = wire(until=1, default=5)
    gone: String = wire(until=2, ignorable=True)
    inner: Inner = wire()
    maybe: Inner | None = wire(since=1, nullable_since=1, ignorable=True)
    ids: list[Uuid] = wire()
    flags: list[Bool] = wire()
    texts: list[String] = wire()
    blobs: list[Bytes] | None = wire(nullable_since=2)
    nested: list[Inner] | None = wire(since=1, default=None, nullable_since=1, ignorable=True)
    payload: Bytes | None = wire(nullable_since=1)
    records: Records | None = wire(nullable_since=0)
    tagged_text: String | None = wire(since=3, tag=3, default=None)
    tagged_number: Int32 = wire(since=3, tag=0, default=-1)
    tagged_list: list[Inner] = wire(since=3, tag=1, ignorable=True)
    tagged_inner: Inner | None = wire(since=4, tag=200)
    tagged_id: Uuid = wire(since=3, tag=2, ignorable=True)


DECLARED = [cls for api in API.values() for cls in (api.request, api.response)]
MESSAGES = [*DECLARED, Everything]


def versions(cls: type) -> range:
    """Give all versions of a message."""
    first, last = layout_of(cls).versions
    return range(first, last + 1)


MESSAGE_VERSIONS = [(cls, version) for cls in MESSAGES for version in versions(cls)]

_TEXTS = st.text(max_size=8) | st.sampled_from(["x" * 126, "x" * 127, "x" * 128, "é" * 200])
_BLOBS = st.binary(max_size=8) | st.sampled_from([b"\0" * 126, b"\1" * 127, b"\2" * 20_000])


def fixed_values(code: str) -> st.SearchStrategy[Any]:
    """Draw a value of a fixed-width type, its limits included."""
    if code == "16s":
        return st.binary(min_size=16, max_size=16)
    if code == "?":
        return st.booleans()
    if code == "d":
        return st.floats(allow_nan=False)
    bits = 8 * struct.calcsize(">" + code)
    if code.isupper():
        return st.integers(0, 2**bits - 1)
    return st.integers(-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)


def values(wire_type: WireType, version: int) -> st.SearchStrategy[Any]:
    """Draw a value of a wire type."""
    match wire_type:
        case Fixed(code):
            return fixed_values(code)
        case Text():
            return _TEXTS
        case Blob():
            return _BLOBS
        case Array(Fixed() as element):
            few = st.lists(values(element, version), max_size=4)
            return few | few.map(lambda items: items * 40)
        case Array(element):
            return st.lists(values(element, version), max_size=3)
        case Nested(cls):
            return messages(cls, version)


def messages(cls: type, version: int) -> st.SearchStrategy[Any]:
    """Draw a message or struct as the version can say it, with defaults for all else."""
    fields = {}
    for field in layout_of(cls).fields:
        if not field.exists_in(version):
            continue
        drawn = values(field.type, version)
        if field.nullable_in(version) or (field.tag is not None and field.default is None):
            drawn = st.none() | drawn
        fields[field.name] = drawn
    return st.builds(cls, **fields)


def any_message() -> st.SearchStrategy[tuple[Any, int]]:
    """Draw a message of any class, with a version that can say it."""
    return st.sampled_from(MESSAGE_VERSIONS).flatmap(
        lambda pair: st.tuples(messages(*pair), st.just(pair[1]))
    )


def plain(value: Any) -> Any:
    """Give a value in a form that compares by content: views as bytes, structs as tuples."""
    if isinstance(value, memoryview | bytearray):
        return bytes(value)
    if isinstance(value, list):
        return [plain(item) for item in value]
    if isinstance(value, float):
        return struct.pack(">d", value)
    if hasattr(value, "__layout__"):
        fields = layout_of(type(value)).fields
        return (type(value).__name__, *(plain(getattr(value, field.name)) for field in fields))
    return value
