"""The generator of decoders: one flat function per (message, version).

Must never know: which messages there are, framing.
"""

from __future__ import annotations

import struct
from typing import Final

from protocol.codegen import STRING_BYTES_MAX, Compiled, Source, size_bytes_min
from protocol.message import Array, Blob, Field, Fixed, Layout, Nested, Text, WireType, layout_of
from protocol.varint import Malformed, read_uvarint

ELEMENTS_MAX: Final = 250_000
"""In all arrays of one request together. An element may take a single byte of a frame, and some
hundred as an object and in the answer; a fetch of 100,000 partitions fits. Answers have no such
bound: those who ask choose whom they ask, and all partitions of a cluster may be in one."""


def compile_decoder(cls: type, version: int) -> Compiled:
    """Generate `decode(buffer: memoryview, end) -> cls`, of the bytes `[0, end)`.

    The function raises Malformed, struct.error or IndexError, nothing else.
    Every count and length is held against the bytes that remain before anything is made of it.
    """
    return DecoderSource(layout_of(cls), version).compile_for(cls)


class DecoderSource(Source):
    """The source of one decoder: `p` is the position in `buffer`, `q` the end of what is read."""

    def __init__(self, layout: Layout, version: int) -> None:
        """Begin a decoder of one version."""
        super().__init__("def decode(buffer, end):", layout, version)
        self.bias = 1 if self.flexible else 0
        self.is_bounded = layout.key is not None and layout.rest_ignored
        self.globals |= {
            "Malformed": Malformed,
            "decode_replacing": decode_replacing,
            "read_uvarint": read_uvarint,
            "skip_tagged_fields": skip_tagged_fields,
            "unpack_from": struct.unpack_from,
        }

    def compile_for(self, cls: type) -> Compiled:
        """Write the body and compile it."""
        self.line("p = 0")
        if self.is_bounded:
            self.line(f"room = {ELEMENTS_MAX}")
        message = self.read_struct(cls)
        if not layout_of(cls).rest_ignored:
            # Kafka's brokers ignore what follows a request, and librdkafka (2.16) sends such bytes:
            # three at the end of Metadata 13 for all topics.
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
        given = [values.get(declared.name) or self.default(declared) for declared in layout.fields]
        self.line(f"{made} = {self.constant(cls)}({', '.join(given)})")
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
            case Text() | Blob():
                return self.read_bytes(wire_type, nullable=nullable)
            case Array():
                return self.read_array(wire_type, nullable=nullable)
            case Nested():
                if nullable:
                    return self.read_nullable_struct(wire_type)
                return self.read_struct(wire_type.struct)

    def read_length(self, code: str, *, limit: int | None = None) -> str:
        """Read a length or count; give its variable. Nothing waits afterwards.

        In flexible versions it is greater by one than what it counts (`self.bias`): zero is null.
        """
        length = self.pend("B" if self.flexible else code, self.name())
        self.flush()
        if self.flexible:
            with self.block(f"if {length} > 127:"):
                self.line(f"{length}, p = read_uvarint(buffer, p - 1)")
                if limit is not None:
                    with self.block(f"if {length} > {limit + self.bias}:"):
                        self.line(f'raise Malformed(f"string of {{{length} - 1}} bytes")')
        return length

    def read_null(self, length: str, result: str, *, nullable: bool) -> None:
        """Take the length that says null for None, and refuse what says nothing."""
        if nullable:
            with self.block(f"elif {length} == {self.bias - 1}:"):
                self.line(f"{result} = None")
        with self.block(f"elif {length} < {self.bias}:"):
            self.line(f'raise Malformed(f"null or negative length {{{length} - {self.bias}}}")')

    def read_bytes(self, wire_type: Text | Blob, *, nullable: bool) -> str:
        """Read text or bytes."""
        is_text = isinstance(wire_type, Text)
        length = self.read_length(
            "h" if is_text else "i", limit=STRING_BYTES_MAX if is_text else None
        )
        result = self.name()
        with self.block(f"if {length} > {self.bias}:"):
            self.line(f"q = p + {length} - {self.bias}" if self.bias else f"q = p + {length}")
            with self.block("if q > end:"):
                self.line('raise Malformed(f"{q - p} bytes announced, {end - p} left")')
            if isinstance(wire_type, Text):
                self.read_text(result)
            else:
                self.line(f"{result} = {self.spelled(wire_type)}")
            self.line("p = q")
        self.read_null(length, result, nullable=nullable)
        with self.block("else:"):
            nothing = '""' if isinstance(wire_type, Text) else self.spelled(wire_type, empty=True)
            self.line(f"{result} = {nothing}")
        return result

    def read_text(self, result: str) -> None:
        """Read text of the bytes `[p, q)`; what is UTF-8 costs nothing more."""
        with self.block("try:"):
            self.line(f'{result} = str(buffer[p:q], "utf-8")')
        with self.block("except UnicodeDecodeError:"):
            self.line(f"{result} = decode_replacing(buffer[p:q])")

    def spelled(self, wire_type: Blob, *, empty: bool = False) -> str:
        """Spell the bytes `[p, q)`, or none."""
        view = "buffer[p:p]" if empty else "buffer[p:q]"
        return view if wire_type.records else f"bytes({view})"

    def read_array(self, wire_type: Array, *, nullable: bool) -> str:
        """Read a count, hold it against what remains, and read the elements."""
        count = self.read_length("i")
        size = size_bytes_min(wire_type.element, self.version, flexible=self.flexible)
        result = self.name()
        self.line(f"{result} = []")
        with self.block(f"if {count} > {self.bias}:"):
            if self.bias:
                self.line(f"{count} -= {self.bias}")
            with self.block(f"if {count} > (end - p) // {size}:"):
                announced = f"{{{count}}} elements announced, {{end - p}} bytes left"
                self.line(f'raise Malformed(f"{announced}")')
            if self.is_bounded:
                self.line(f"room -= {count}")
                with self.block("if room < 0:"):
                    self.line(f'raise Malformed("more than {ELEMENTS_MAX} elements in a request")')
            self.read_elements(wire_type.element, count, result)
        self.read_null(count, result, nullable=nullable)
        return result

    def read_elements(self, element: WireType, count: str, result: str) -> None:
        """Read `count` elements into a list named `result`."""
        if isinstance(element, Fixed) and element.code != "16s":
            self.line(f'{result} = list(unpack_from(f">{{{count}}}{element.code}", buffer, p))')
            self.line(f"p += {count} * {element.size_bytes}")
            return
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


def decode_replacing(data: memoryview) -> str:
    """Decode text that is not UTF-8, with U+FFFD where it cannot be read: as Kafka does.

    Raises: Malformed where it is longer so than a string may be; it could not be told again.
    """
    text = str(data, "utf-8", "replace")
    if (size := len(text.encode())) > STRING_BYTES_MAX:
        raise Malformed(f"string of {len(data)} bytes that are no UTF-8, {size} with them replaced")
    return text


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
