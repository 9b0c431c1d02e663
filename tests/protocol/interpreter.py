"""A slow reader and writer of the same declarations, field by field: the codec's oracle.

It is written to be obviously right, never to be quick, and shares nothing with the code generator
but the declarations.
"""

from __future__ import annotations

import struct
from typing import Any

from protocol.message import Array, Blob, Field, Fixed, Layout, Nested, Text, WireType, layout_of


class Refused(Exception):
    """What cannot be read or written."""


class Writer:
    def __init__(self, version: int, *, flexible: bool) -> None:
        self.version = version
        self.flexible = flexible
        self.out = bytearray()

    def uvarint(self, value: int) -> None:
        while value > 127:
            self.out.append(value & 127 | 128)
            value >>= 7
        self.out.append(value)

    def length(self, value: int, code: str) -> None:
        if self.flexible:
            self.uvarint(value + 1)
        else:
            self.out += struct.pack(">" + code, value)

    def value(self, wire_type: WireType, value: Any, *, nullable: bool) -> None:
        if value is None and not nullable:
            raise Refused("null")
        match wire_type:
            case Fixed("16s"):
                if len(value) != 16:
                    raise Refused("uuid")
                self.out += value
            case Fixed(code):
                try:
                    self.out += struct.pack(">" + code, value)
                except struct.error as error:
                    raise Refused(str(error)) from error
            case Text():
                encoded = None if value is None else value.encode()
                if encoded is not None and len(encoded) > 32767:
                    raise Refused("long string")
                self.length(-1 if encoded is None else len(encoded), "h")
                self.out += encoded or b""
            case Blob():
                self.length(-1 if value is None else len(value), "i")
                self.out += value or b""
            case Array(element):
                self.length(-1 if value is None else len(value), "i")
                for item in value or ():
                    self.value(element, item, nullable=False)
            case Nested(cls):
                if nullable:
                    self.out += b"\xff" if value is None else b"\x01"
                if value is not None:
                    self.struct(layout_of(cls), value)

    def struct(self, layout: Layout, value: Any) -> None:
        tagged: list[Field] = []
        for field in layout.fields:
            item = getattr(value, field.name)
            if not field.exists_in(self.version):
                if not field.ignorable and item != field.default:
                    raise Refused(field.name)
            elif field.tag is not None:
                if item != field.default:
                    tagged.append(field)
            else:
                self.value(field.type, item, nullable=field.nullable_in(self.version))
        if self.flexible:
            self.uvarint(len(tagged))
            for field in sorted(tagged, key=lambda field: field.tag or 0):
                inner = Writer(self.version, flexible=True)
                item = getattr(value, field.name)
                inner.value(field.type, item, nullable=field.nullable_in(self.version))
                self.uvarint(field.tag or 0)
                self.uvarint(len(inner.out))
                self.out += inner.out


class Reader:
    def __init__(self, version: int, data: bytes, *, flexible: bool) -> None:
        self.version = version
        self.flexible = flexible
        self.data = data
        self.position = 0

    def take(self, size: int) -> bytes:
        if not 0 <= size <= len(self.data) - self.position:
            raise Refused("short")
        self.position += size
        return self.data[self.position - size : self.position]

    def uvarint(self) -> int:
        value = 0
        for shift in range(0, 35, 7):
            (byte,) = self.take(1)
            value |= (byte & 127) << shift
            if byte < 128:
                if value >= 2**32:
                    break
                return value
        raise Refused("varint")

    def length(self, code: str, *, nullable: bool) -> int:
        if self.flexible:
            value = self.uvarint() - 1
        else:
            (value,) = struct.unpack(">" + code, self.take(struct.calcsize(">" + code)))
        if value < (-1 if nullable else 0):
            raise Refused("null")
        return value

    def value(self, wire_type: WireType, *, nullable: bool) -> Any:
        match wire_type:
            case Fixed(code):
                (value,) = struct.unpack(">" + code, self.take(wire_type.size_bytes))
                return value
            case Text():
                size = self.length("h", nullable=nullable)
                if size > 32767:
                    raise Refused("long string")
                text = None if size < 0 else self.take(size).decode(errors="replace")
                if text is not None and len(text.encode()) > 32767:
                    raise Refused("long string with replacements")
                return text
            case Blob():
                size = self.length("i", nullable=nullable)
                return None if size < 0 else self.take(size)
            case Array(element):
                count = self.length("i", nullable=nullable)
                if count > len(self.data):
                    raise Refused("count")
                if count < 0:
                    return None
                return [self.value(element, nullable=False) for _ in range(count)]
            case Nested(cls):
                if nullable and self.take(1)[0] > 127:
                    return None
                return self.struct(cls)

    def struct(self, cls: type) -> Any:
        values = {}
        tagged = {}
        for field in layout_of(cls).fields:
            if field.exists_in(self.version):
                if field.tag is not None:
                    tagged[field.tag] = field
                else:
                    nullable = field.nullable_in(self.version)
                    values[field.name] = self.value(field.type, nullable=nullable)
        if self.flexible:
            for _ in range(self.uvarint()):
                tag, size = self.uvarint(), self.uvarint()
                if size > len(self.data) - self.position:
                    raise Refused("tag")
                end = self.position + size
                if tag in tagged:
                    field = tagged[tag]
                    nullable = field.nullable_in(self.version)
                    values[field.name] = self.value(field.type, nullable=nullable)
                    if self.position != end:
                        raise Refused("tag")
                self.position = end
        return cls(**values)


def interpret_encode(message: Any, version: int) -> bytes:
    """Encode the slow way. Raises: Refused."""
    layout = layout_of(type(message))
    writer = Writer(version, flexible=version >= layout.flexible_since)
    writer.struct(layout, message)
    return bytes(writer.out)


def interpret_decode(cls: type, version: int, data: bytes) -> Any:
    """Decode the slow way. Raises: Refused."""
    layout = layout_of(cls)
    reader = Reader(version, data, flexible=version >= layout.flexible_since)
    message = reader.struct(cls)
    if reader.position != len(data) and not layout.rest_ignored:
        raise Refused("trailing")
    return message
