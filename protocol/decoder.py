"""The generator of decoders: one flat function per (message, version).

Must never know: which messages there are, framing.
"""

from __future__ import annotations

import struct

from protocol.codegen import STRING_BYTES_MAX, Compiled, Source, size_bytes_min
from protocol.message import Array, Blob, Field, Fixed, Layout, Nested, Text, WireType, layout_of
from protocol.varint import Malformed, read_uvarint


def compile_decoder(cls: type, version: int) -> Compiled:
    """Generate `decode(buffer: memoryview, end) -> cls`, of the bytes `[0, end)`.

    The function raises Malformed, struct.error, IndexError or UnicodeDecodeError, nothing else.
    Every count and length is held against the bytes that remain before anything is made of it.
    """
    return DecoderSource(layout_of(cls), version).compile_for(cls)


class DecoderSource(Source):
    """The source of one decoder: `p` is the position in `buffer`, `q` the end of what is read."""

    def __init__(self, layout: Layout, version: int) -> None:
        """Begin a decoder of one version."""
        super().__init__("def decode(buffer, end):", layout, version)
        self.globals |= {
            "Malformed": Malformed,
            "new": object.__new__,
            "read_uvarint": read_uvarint,
            "skip_tagged_fields": skip_tagged_fields,
            "unpack_from": struct.unpack_from,
        }

    def compile_for(self, cls: type) -> Compiled:
        """Write the body and compile it."""
        self.line("p = 0")
        message = self.read_struct(cls)
        with self.block("if p != end:"):
            self.line('raise Malformed(f"{end - p} bytes left over")')
        self.line(f"return {message}")
        return self.compile()

    def flush(self) -> None:
        """Read the run of fixed-width values that waits, in one call."""
        codes, targets, size = self.take_pending()
        if codes == "B":
            self.line(f"{targets} = buffer[p]")
            self.line("p += 1")
        elif codes:
            unpack_from = self.struct_method(codes, "unpack_from")
            self.line(f"{targets}, = {unpack_from}(buffer, p)")
            self.line(f"p += {size}")

    def read_struct(self, cls: type) -> str:
        """Read a struct's fields and make it; give the variable that holds it."""
        layout = layout_of(cls)
        ordered, tagged = self.fields_in_version(layout)
        values = {declared.name: self.read_field(declared) for declared in ordered}
        if self.flexible:
            values |= self.read_tagged_fields(tagged)
        self.flush()
        made = self.name()
        self.line(f"{made} = new({self.constant(cls)})")
        for declared in layout.fields:
            value = values.get(declared.name) or self.default(declared)
            self.line(f"{made}.{declared.name} = {value}")
        return made

    def default(self, declared: Field) -> str:
        """Spell the default of a field, a new one each time where it can be changed."""
        if isinstance(declared.type, Nested) and declared.default is not None:
            return f"{self.constant(declared.type.struct)}()"
        return repr(declared.default)

    def read_field(self, declared: Field) -> str:
        """Read a field's value; give the variable that holds it."""
        with self.entered(declared):
            return self.read(declared.type, nullable=declared.nullable_in(self.version))

    def read(self, wire_type: WireType, *, nullable: bool = False) -> str:
        """Read a value; give the variable that holds it."""
        match wire_type:
            case Fixed():
                return self.pend(wire_type.code, self.name())
            case Text():
                return self.read_bytes(wire_type, "h", 'str(buffer[p:q], "utf-8")', nullable)
            case Blob():
                value = "buffer[p:q]" if wire_type.records else "bytes(buffer[p:q])"
                return self.read_bytes(wire_type, "i", value, nullable)
            case Array():
                return self.read_array(wire_type, nullable=nullable)
            case Nested():
                if nullable:
                    return self.read_nullable_struct(wire_type)
                return self.read_struct(wire_type.struct)

    def read_length(self, code: str, *, nullable: bool) -> tuple[str, str]:
        """Read a length or count, null being -1.

        Gives its variable, and the condition under which it is null. Nothing waits afterwards.
        """
        length = self.pend("B" if self.flexible else code, self.name())
        self.flush()
        if self.flexible:
            with self.block(f"if {length} > 127:"):
                self.line(f"{length}, p = read_uvarint(buffer, p - 1)")
            self.line(f"{length} -= 1")
        allowed = -1 if nullable else 0
        with self.block(f"if {length} < {allowed}:"):
            what = f"length {{{length}}}" if nullable else f"null or negative length {{{length}}}"
            self.line(f'raise Malformed(f"{what}")')
        return length, f"{length} < 0"

    def read_bytes(self, wire_type: Text | Blob, code: str, value: str, nullable: bool) -> str:
        """Read text or bytes: `value` makes them of `buffer[p:q]`."""
        length, is_null = self.read_length(code, nullable=nullable)
        result = self.name()
        if isinstance(wire_type, Text) and self.flexible:
            with self.block(f"if {length} > {STRING_BYTES_MAX}:"):
                self.line(f'raise Malformed(f"string of {{{length}}} bytes")')
        if nullable:
            with self.block(f"if {is_null}:"):
                self.line(f"{result} = None")
        with self.otherwise(nullable=nullable):
            self.line(f"q = p + {length}")
            with self.block("if q > end:"):
                self.line(f'raise Malformed(f"{{{length}}} bytes announced, {{end - p}} left")')
            self.line(f"{result} = {value}")
            self.line("p = q")
        return result

    def read_array(self, wire_type: Array, *, nullable: bool) -> str:
        """Read a count, hold it against what remains, and read the elements."""
        count, is_null = self.read_length("i", nullable=nullable)
        size = size_bytes_min(wire_type.element, self.version, flexible=self.flexible)
        with self.block(f"if {count} > (end - p) // {size}:"):
            self.line(f'raise Malformed(f"{{{count}}} elements announced, {{end - p}} bytes left")')
        result = self.name()
        if nullable:
            with self.block(f"if {is_null}:"):
                self.line(f"{result} = None")
        with self.otherwise(nullable=nullable):
            self.read_elements(wire_type.element, count, result)
        return result

    def read_elements(self, element: WireType, count: str, result: str) -> None:
        """Read `count` elements into a list named `result`."""
        if isinstance(element, Fixed) and element.code != "16s":
            self.line(f'{result} = list(unpack_from(f">{{{count}}}{element.code}", buffer, p))')
            self.line(f"p += {count} * {element.size_bytes}")
            return
        self.line(f"{result} = []")
        append = self.name()
        self.line(f"{append} = {result}.append")
        with self.block(f"for _ in range({count}):"):
            value = self.read(element)
            self.flush()
            self.line(f"{append}({value})")

    def read_nullable_struct(self, wire_type: Nested) -> str:
        """Read the byte that says whether a struct follows, and the struct."""
        sign = self.pend("b", self.name())
        self.flush()
        result = self.name()
        with self.block(f"if {sign} < 0:"):
            self.line(f"{result} = None")
        with self.block("else:"):
            made = self.read_struct(wire_type.struct)
            self.line(f"{result} = {made}")
        return result

    def read_tagged_fields(self, tagged: list[Field]) -> dict[str, str]:
        """Read the tagged fields that are known and skip the others; give their variables."""
        count = self.pend("B", self.name())
        self.flush()
        if not tagged:
            with self.block(f"if {count}:"):
                self.line("p = skip_tagged_fields(buffer, p - 1, end)")
            return {}
        results = {declared.name: self.name() for declared in tagged}
        for declared in tagged:
            self.line(f"{results[declared.name]} = {self.default(declared)}")
        with self.block(f"if {count}:"):
            self.line(f"{count}, p = read_uvarint(buffer, p - 1)")
            with self.block(f"if {count} > (end - p) // 2:"):
                announced = f"{{{count}}} tagged fields announced, {{end - p}} bytes left"
                self.line(f'raise Malformed(f"{announced}")')
            with self.block(f"for _ in range({count}):"):
                self.read_tagged_field(tagged, results)
        return results

    def read_tagged_field(self, tagged: list[Field], results: dict[str, str]) -> None:
        """Read one tag, its size, and the field if it is known."""
        tag, field_end = self.name(), self.name()
        self.line(f"{tag}, p = read_uvarint(buffer, p)")
        self.line(f"{field_end}, p = read_uvarint(buffer, p)")
        with self.block(f"if {field_end} > end - p:"):
            announced = f"tag {{{tag}}} of {{{field_end}}} bytes announced, {{end - p}} left"
            self.line(f'raise Malformed(f"{announced}")')
        self.line(f"{field_end} += p")
        for index, declared in enumerate(tagged):
            with self.block(f"{'el' if index else ''}if {tag} == {declared.tag}:"):
                value = self.read_field(declared)
                self.flush()
                self.line(f"{results[declared.name]} = {value}")
                with self.entered(declared), self.block(f"if p != {field_end}:"):
                    self.line('raise Malformed("tagged field of another size than announced")')
        with self.block("else:"):
            self.line(f"p = {field_end}")


def skip_tagged_fields(buffer: memoryview, position: int, end: int) -> int:
    """Step over a section of tagged fields that nobody knows.

    Returns: the position after it. Raises: Malformed, IndexError.
    """
    count, position = read_uvarint(buffer, position)
    for _ in range(count):
        _, position = read_uvarint(buffer, position)
        size, position = read_uvarint(buffer, position)
        if size > end - position:
            raise Malformed(f"tagged field of {size} bytes announced, {end - position} left")
        position += size
    return position
