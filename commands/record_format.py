"""How `ottla consume` writes records: text, JSON lines, MessagePack or raw values.

JSON cannot hold any bytes: a key or value that is not UTF-8 is null there, and stands in base64
under `key_base64` or `value_base64`; the same goes for headers. Must never know: consumers.
"""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

import msgpack
from msgspec import Struct

if TYPE_CHECKING:
    from client.records import ConsumerRecord
    from protocol.records import Record

_SEPARATOR: Final = b"\t"
_NULL: Final = b"null"

FORMATS: Final = ("text", "json", "msgpack", "raw")

Formatter = Callable[["ConsumerRecord"], bytes]
"""Writes one record, with what must follow it."""


class Shown(Struct, frozen=True):
    """What the text format shows besides the value."""

    keys: bool = False
    headers: bool = False
    positions: bool = False


def formatter(name: str, shown: Shown) -> Formatter:
    """Choose one of FORMATS by its name."""
    return {"text": _text(shown), "json": _json, "msgpack": _msgpack, "raw": _raw}[name]


def _text(shown: Shown) -> Formatter:
    """Fields between tabs, a record to a line; null where there is no key or value."""

    def write(record: ConsumerRecord) -> bytes:
        fields = []
        if shown.positions:
            where = record.topic_partition, record.offset, record.timestamp_ms
            fields += [str(fact).encode() for fact in where]
        if shown.headers:
            fields.append(b",".join(_header(name, value) for name, value in record.headers))
        if shown.keys:
            fields.append(_NULL if record.key is None else bytes(record.key))
        fields.append(_NULL if record.value is None else bytes(record.value))
        return _SEPARATOR.join(fields) + b"\n"

    return write


def _header(name: str, value: bytes | None) -> bytes:
    return name.encode() + b"=" + (_NULL if value is None else bytes(value))


def describe_record(record: Record | ConsumerRecord) -> dict[str, Any]:
    """Give a record as plain values that JSON can hold."""
    return {
        "offset": record.offset,
        "timestamp": record.timestamp_ms,
        **_as_text("key", record.key),
        **_as_text("value", record.value),
        "headers": [{"name": n, **_as_text("value", value)} for n, value in record.headers],
    }


def _json(record: ConsumerRecord) -> bytes:
    place = {"topic": record.topic, "partition": record.partition}
    facts = place | describe_record(record)
    return json.dumps(facts, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"


def _as_text(name: str, value: bytes | None) -> dict[str, str | None]:
    if value is None:
        return {name: None}
    try:
        return {name: bytes(value).decode()}
    except UnicodeDecodeError:
        return {name: None, f"{name}_base64": b64encode(value).decode()}


def _msgpack(record: ConsumerRecord) -> bytes:
    packed: bytes = msgpack.packb(
        {
            "topic": record.topic,
            "partition": record.partition,
            "offset": record.offset,
            "timestamp": record.timestamp_ms,
            "key": record.key,
            "value": record.value,
            "headers": [list(header) for header in record.headers],
        }
    )
    return packed


def _raw(record: ConsumerRecord) -> bytes:
    """The value's bytes and nothing else; a null value is nothing at all."""
    return b"" if record.value is None else bytes(record.value)
