"""The generator of encoders: one flat function per (message, version).

Must never know: which messages there are, framing.
"""

from __future__ import annotations

import struct

from protocol.codegen import STRING_BYTES_MAX, Compiled, Source
from protocol.message import Array, Blob, Field, Fixed, Layout, Nested, Text, WireType, layout_of
from protocol.varint import encode_uvarint


class Unencodable(ValueError):
    """A value that the version has no bytes for."""


def compile_encoder(cls: type, version: int) -> Compiled:
    """Generate `encode(message, w0)`, which hands the encoding's parts to `w0`, in order.

    The function raises Unencodable, struct.error, UnicodeEncodeError, and TypeError or
    AttributeError for values of a wrong type.
    """
    return EncoderSource(layout_of(cls), version).compile_for(cls)


class EncoderSource(Source):
    """The source of one encoder: `w0` takes the message's parts, `w1` those of a tagged field."""

    def __init__(self, layout: Layout, version: int) -> None:
        """Begin an encoder of one version."""
        super().__init__("def encode(message, w0):", layout, version)
        self._writer = 0
        self.globals |= {
            "Unencodable": Unencodable,
            "encode_uvarint": encode_uvarint,
            "pack": struct.pack,
        }

    def compile_for(self, cls: type) -> Compiled:
        """Write the body and compile it."""
        self.write_struct(cls, "message")
        self.flush()
        self.line("return")
        return self.compile()

    def emit(self, part: str) -> None:
        """Hand a part of the encoding on."""
        self.line(f"w{self._writer}({part})")

    def flush(self) -> None:
        """Write the run of fixed-width values that waits, in one call."""
        codes, values, _ = self.take_pending()
        if codes:
            self.emit(f"{self.struct_method(codes, 'pack')}({values})")

    def write_struct(self, cls: type, value: str) -> None:
        """Write the fields of the struct in the variable `value`."""
        layout = layout_of(cls)
        ordered, tagged = self.fields_in_version(layout)
        for declared in layout.fields:
            if not declared.exists_in(self.version) and not declared.ignorable:
                self.refuse_unless_default(declared, f"{value}.{declared.name}")
        for declared in ordered:
            with self.entered(declared):
                nullable = declared.nullable_in(self.version)
                self.write(declared.type, f"{value}.{declared.name}", nullable=nullable)
        if self.flexible:
            self.write_tagged_fields(tagged, value)

    def refuse_unless_default(self, declared: Field, value: str) -> None:
        """Refuse a value that the version has no place for."""
        with self.entered(declared), self.block(f"if {self.differs(declared, value)}:"):
            self.line(f'raise Unencodable(f"version {self.version} cannot say {{{value}!r}}")')

    def differs(self, declared: Field, value: str) -> str:
        """Spell the condition under which a value is not the default."""
        if declared.default is None:
            return f"{value} is not None"
        if isinstance(declared.type, Nested):
            return f"{value} != {self.constant(declared.default)}"
        return f"{value} != {declared.default!r}"

    def write(self, wire_type: WireType, value: str, *, nullable: bool = False) -> None:
        """Write the value of an expression."""
        match wire_type:
            case Fixed():
                self.write_fixed(wire_type, value)
            case Text() | Blob():
                self.write_bytes(wire_type, value, nullable=nullable)
            case Array():
                self.write_array(wire_type, value, nullable=nullable)
            case Nested():
                self.write_nested(wire_type, value, nullable=nullable)

    def write_fixed(self, wire_type: Fixed, value: str) -> None:
        """Let a fixed-width value wait; check those that struct would pad or cut."""
        local = self.name()
        self.line(f"{local} = {value}")
        if wire_type.code == "16s":
            with self.block(f"if len({local}) != 16:"):
                self.line(f'raise Unencodable(f"{{len({local})}} bytes instead of 16")')
        self.pend(wire_type.code, local)

    def write_length(self, length: str, code: str) -> None:
        """Write a length, -1 for null, with the run before it. Nothing waits afterwards."""
        if not self.flexible:
            self.pend(code, length)
            self.flush()
            return
        codes, values, _ = self.take_pending()
        announced = f"{length} + 1"
        with self.block(f"if {length} < 127:"):
            pack = self.struct_method(codes + "B", "pack")
            self.emit(f"{pack}({values}{', ' if values else ''}{announced})")
        with self.block("else:"):
            if codes:
                self.emit(f"{self.struct_method(codes, 'pack')}({values})")
            self.emit(f"encode_uvarint({announced})")

    def write_bytes(self, wire_type: Text | Blob, value: str, *, nullable: bool) -> None:
        """Write text or bytes, length first."""
        local, length = self.name(), self.name()
        self.line(f"{local} = {value}")
        encoded = f"{local}.encode()" if isinstance(wire_type, Text) else local
        if nullable:
            with self.block(f"if {local} is None:"):
                self.line(f'{local} = b""')
                self.line(f"{length} = -1")
        with self.otherwise(nullable=nullable):
            if encoded != local:
                self.line(f"{local} = {encoded}")
            self.line(f"{length} = len({local})")
        if isinstance(wire_type, Text) and self.flexible:
            with self.block(f"if {length} > {STRING_BYTES_MAX}:"):
                self.line(f'raise Unencodable(f"string of {{{length}}} bytes")')
        self.write_length(length, "h" if isinstance(wire_type, Text) else "i")
        self.emit(local)

    def write_array(self, wire_type: Array, value: str, *, nullable: bool) -> None:
        """Write a count and the elements."""
        local, length = self.name(), self.name()
        self.line(f"{local} = {value}")
        if nullable:
            with self.block(f"if {local} is None:"):
                self.line(f"{local} = ()")
                self.line(f"{length} = -1")
        with self.otherwise(nullable=nullable):
            self.line(f"{length} = len({local})")
        self.write_length(length, "i")
        element = wire_type.element
        if isinstance(element, Fixed) and element.code != "16s":
            with self.block(f"if {local}:"):
                self.emit(f'pack(f">{{{length}}}{element.code}", *{local})')
            return
        item = self.name()
        with self.block(f"for {item} in {local}:"):
            self.write(element, item)
            self.flush()

    def write_nested(self, wire_type: Nested, value: str, *, nullable: bool) -> None:
        """Write a struct, after the byte that says whether there is one if it may be null."""
        local = value
        if not value.isidentifier():
            local = self.name()
            self.line(f"{local} = {value}")
        if not nullable:
            self.write_struct(wire_type.struct, local)
            return
        self.flush()
        with self.block(f"if {local} is None:"):
            self.emit('b"\\xff"')
        with self.block("else:"):
            self.pend("b", "1")
            self.write_struct(wire_type.struct, local)
            self.flush()

    def write_tagged_fields(self, tagged: list[Field], value: str) -> None:
        """Write the count of tagged fields that differ from their defaults, and these."""
        if not tagged:
            self.pend("B", "0")
            return
        values = {declared.name: self.name() for declared in tagged}
        for declared in tagged:
            self.line(f"{values[declared.name]} = {value}.{declared.name}")
        told = [f"({self.differs(declared, values[declared.name])})" for declared in tagged]
        count = self.name()
        self.line(f"{count} = {' + '.join(told)}")
        self.pend("B", count)
        self.flush()
        with self.block(f"if {count}:"):
            for declared, is_told in zip(tagged, told, strict=True):
                with self.entered(declared), self.block(f"if {is_told}:"):
                    self.write_tagged_field(declared, values[declared.name])

    def write_tagged_field(self, declared: Field, value: str) -> None:
        """Write one tagged field: tag, size, value."""
        parts, joined = self.name(), self.name()
        self.line(f"{parts} = []")
        self._writer += 1
        self.line(f"w{self._writer} = {parts}.append")
        self.write(declared.type, value, nullable=declared.nullable_in(self.version))
        self.flush()
        self._writer -= 1
        self.line(f'{joined} = b"".join({parts})')
        self.emit(f"encode_uvarint({declared.tag}) + encode_uvarint(len({joined}))")
        self.emit(joined)
