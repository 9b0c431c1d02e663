"""Payloads of Protobuf: the indexes in front that say which message, and what is wrong behind.

Must never know: source text, the schema's type or name in the registry.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from google.protobuf import message_factory
from google.protobuf.message import DecodeError

from protocol.varint import Malformed, read_varint
from schemas.schema import InvalidPayload

if TYPE_CHECKING:
    from collections.abc import Sequence

INDEXES_MAX: Final = 100
"""No message is nested deeper, so no path to one is longer."""

GROUPS_NESTED_MAX: Final = 100
"""The decoder follows messages this deep."""

_NAMES_SHOWN_MAX: Final = 5

_VARINT, _FIXED64, _BYTES, _GROUP, _GROUP_END, _FIXED32 = range(6)
_WIRE_TYPES: Final = {
    _VARINT: "a varint",
    _FIXED64: "8 bytes",
    _BYTES: "bytes with their length",
    _GROUP: "a group",
    _GROUP_END: "the end of a group",
    _FIXED32: "4 bytes",
}


def read_indexes(payload: bytes) -> tuple[tuple[int, ...], int]:
    """Read the message indexes that a payload begins with.

    They are zigzag varints: how many, then each; a single 0 stands for the first message.
    Returns: the indexes, and the position behind them.
    Raises: InvalidPayload.
    """
    try:
        count, position = read_varint(payload, 0)
        if not 0 <= count <= INDEXES_MAX:
            raise InvalidPayload(
                f"the payload begins with {count} message indexes, 0 to {INDEXES_MAX} are "
                "possible: it has to be written by a serializer for a schema registry"
            )
        if not count:
            return (0,), position
        indexes = []
        for _ in range(count):
            index, position = read_varint(payload, position)
            indexes.append(index)
    except IndexError:
        raise InvalidPayload(
            f"the payload ends within its message indexes, after {len(payload)} bytes: it is cut, "
            "or was not written by a serializer for a schema registry"
        ) from None
    except Malformed as error:
        raise InvalidPayload(
            f"the payload's message indexes have a {error}: it has to be written by a serializer "
            "for a schema registry"
        ) from None
    return tuple(indexes), position


def find_message(file: Any, indexes: Sequence[int]) -> Any:
    """Find the descriptor of a message by its indexes. Raises: InvalidPayload."""
    found, within = None, "the schema"
    candidates = list(file.message_types_by_name.values())
    for index in indexes:
        if not 0 <= index < len(candidates):
            names = ", ".join(message.name for message in candidates[:_NAMES_SHOWN_MAX])
            raise InvalidPayload(
                f"message index {index} in {list(indexes)}: {within} has {len(candidates)} "
                f"messages{f' ({names})' if names else ''}, counted from 0"
            )
        found = candidates[index]
        within, candidates = found.full_name, list(found.nested_types)
    return found


def check_message(described: Any, data: bytes) -> None:
    """Decode a message and look for what its schema does not have so. Raises: InvalidPayload.

    Fields that the schema does not know at all are fine: Protobuf keeps them.
    """
    message = message_factory.GetMessageClass(described)()
    try:
        message.ParseFromString(data)
    except DecodeError:
        # Text comes last, as only some strings have to be UTF-8.
        fault = _first_fault(described, data) or _first_fault(described, data, texts=True)
        raise InvalidPayload(fault or _undecodable(described)) from None
    missing = message.FindInitializationErrors()
    if missing:
        shown = ", ".join(missing[:_NAMES_SHOWN_MAX])
        raise InvalidPayload(
            f"{described.full_name} lacks what it requires: {shown}: it was written with another "
            "schema, or by a serializer that does not check"
        )
    # Only where the decoder has put something aside can a field have the wrong wire type.
    size = len(message.SerializePartialToString())
    message.DiscardUnknownFields()
    if len(message.SerializePartialToString()) != size:
        fault = _first_fault(described, data)
        if fault:
            raise InvalidPayload(fault)


def _undecodable(described: Any) -> str:
    return (
        f"the bytes of {described.full_name} cannot be decoded: they are damaged, or were written "
        "with another schema"
    )


class _Fault(Exception):
    """What is wrong in the bytes of a message."""


def _first_fault(described: Any, data: bytes, *, texts: bool = False) -> str | None:
    """Read a message by hand, to say where the first thing is wrong."""
    try:
        _Walk(data, texts=texts).message(described, len(data), described.full_name, depth=0)
    except _Fault as fault:
        return str(fault)
    return None


class _Walk:
    """One pass over the bytes of a message and of those within it."""

    def __init__(self, data: bytes, *, texts: bool) -> None:
        self._data = data
        self._texts = texts
        self._position = 0
        self._extensions: dict[str, dict[int, Any]] = {}

    def message(
        self, described: Any, end: int, path: str, *, depth: int, group: int | None = None
    ) -> None:
        """Read fields until `end`, or until the end of the group of that number."""
        if depth > GROUPS_NESTED_MAX:
            raise _Fault(f"{path} is nested more than {GROUPS_NESTED_MAX} deep")
        while self._position < end:
            tag = self._varint(end, path)
            number, wire = tag >> 3, tag & 7
            if wire not in _WIRE_TYPES or not 0 < number < 1 << 29:
                raise _Fault(
                    f"{path}: byte {self._position - 1} begins no field (number {number}, wire "
                    f"type {wire}): the message is damaged, or was written with another schema"
                )
            if wire == _GROUP_END:
                if number != group:
                    raise _Fault(f"{path}: group {number} ends, but did not begin")
                return
            field = self._field(described, number)
            if field is not None:
                self._check_wire_type(field, wire, path)
            self._value(field, (number, wire), end, path, depth)
        if group is not None:
            raise _Fault(f"{path} is cut: group {group} has no end")

    def _field(self, described: Any, number: int) -> Any:
        if described is None:
            return None
        field = described.fields_by_number.get(number)
        if field is not None or not described.is_extendable:
            return field
        if described.full_name not in self._extensions:
            extensions = described.file.pool.FindAllExtensions(described)
            self._extensions[described.full_name] = {each.number: each for each in extensions}
        return self._extensions[described.full_name].get(number)

    def _check_wire_type(self, field: Any, wire: int, path: str) -> None:
        expected = _wire_type(field)
        packed = field.is_repeated and wire == _BYTES and expected != _GROUP
        if wire != expected and not packed:
            raise _Fault(
                f"{path}.{field.name} ({field.number}): {_WIRE_TYPES[wire]} where the schema has "
                f"{_WIRE_TYPES[expected]}: it was written with another schema"
            )

    def _value(self, field: Any, tag: tuple[int, int], end: int, path: str, depth: int) -> None:
        number, wire = tag
        inner = field.message_type if field is not None else None
        path = f"{path}.{field.name if field is not None else number}"
        if wire == _VARINT:
            self._varint(end, path)
        elif wire == _GROUP:
            self.message(inner, end, path, depth=depth + 1, group=number)
        elif wire == _BYTES:
            size = self._varint(end, path)
            inner_end = self._skipped(size, end, path)
            if inner is not None:
                self.message(inner, inner_end, path, depth=depth + 1)
            elif field is not None and _wire_type(field) != _BYTES:
                self._check_packed(_wire_type(field), inner_end, path)
            elif field is not None and field.type == field.TYPE_STRING and self._texts:
                self._check_text(inner_end, path)
            self._position = inner_end
        else:
            self._position = self._skipped(8 if wire == _FIXED64 else 4, end, path)

    def _skipped(self, size: int, end: int, path: str) -> int:
        if self._position + size > end:
            raise _Fault(
                f"{path} is cut: {size} bytes from byte {self._position}, but only "
                f"{end - self._position} are left"
            )
        return self._position + size

    def _check_packed(self, wire: int, end: int, path: str) -> None:
        while self._position < end:
            if wire == _VARINT:
                self._varint(end, path)
            else:
                self._position = self._skipped(8 if wire == _FIXED64 else 4, end, path)

    def _check_text(self, end: int, path: str) -> None:
        try:
            self._data[self._position : end].decode()
        except UnicodeDecodeError as error:
            raise _Fault(
                f"{path} is a string, but no UTF-8 from byte {self._position + error.start}: "
                "declare it as bytes, or write text"
            ) from None

    def _varint(self, end: int, path: str) -> int:
        value = shift = 0
        for position in range(self._position, min(end, self._position + 10)):
            byte = self._data[position]
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                self._position = position + 1
                return value & 0xFFFF_FFFF_FFFF_FFFF
        what = "is cut within" if end - self._position < 10 else "has more than 10 bytes in"
        raise _Fault(f"{path} {what} the number at byte {self._position}")


def _wire_type(field: Any) -> int:
    if field.type == field.TYPE_GROUP:
        return _GROUP
    if field.type in {field.TYPE_STRING, field.TYPE_BYTES, field.TYPE_MESSAGE}:
        return _BYTES
    if field.type in {field.TYPE_FIXED64, field.TYPE_SFIXED64, field.TYPE_DOUBLE}:
        return _FIXED64
    if field.type in {field.TYPE_FIXED32, field.TYPE_SFIXED32, field.TYPE_FLOAT}:
        return _FIXED32
    return _VARINT
