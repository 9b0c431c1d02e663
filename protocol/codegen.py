"""Python source under construction: what the generators of decoders and encoders share.

Fixed-width values wait until something of variable width ends their run, and become one call of a
precompiled struct. Every line knows the field that it serves, so that a failure can be named at no
cost while all goes well. The only place of the project that executes generated code.
Must never know: which messages there are, framing.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

from msgspec import Struct

from protocol.message import Array, Blob, Field, Fixed, Layout, Nested, Text, WireType, layout_of

STRING_BYTES_MAX: Final = 0x7FFF


class Compiled(Struct, frozen=True):
    """A generated function; `fields[n]` is the field that line n + 1 of the source serves."""

    function: Callable[..., Any]
    source: str
    file_name: str
    fields: tuple[str, ...]

    def field_of(self, error: BaseException) -> str:
        """Find the field that was being served when the function raised `error`."""
        trace = error.__traceback__
        while trace is not None:
            if trace.tb_frame.f_code.co_filename == self.file_name:
                return self.fields[trace.tb_lineno - 1]
            trace = trace.tb_next
        return ""


def size_bytes_min(wire_type: WireType, version: int, *, flexible: bool) -> int:
    """Give the fewest bytes that a value can take: what bounds the count of an array."""
    match wire_type:
        case Fixed():
            return wire_type.size_bytes
        case Text():
            return 1 if flexible else 2
        case Blob() | Array():
            return 1 if flexible else 4
        case Nested():
            sizes = (
                1
                if isinstance(declared.type, Nested) and declared.nullable_in(version)
                else size_bytes_min(declared.type, version, flexible=flexible)
                for declared in layout_of(wire_type.struct).fields
                if declared.tag is None and declared.exists_in(version)
            )
            return max(1, sum(sizes) + flexible)


class Source:
    """The lines of one function for one version of a message."""

    def __init__(self, head: str, layout: Layout, version: int) -> None:
        """Begin the function `head`, such as `def decode(buffer):`."""
        self.layout = layout
        self.version = version
        self.flexible = version >= layout.flexible_since
        self.globals: dict[str, Any] = {}
        self._function = head.removeprefix("def ").split("(")[0]
        self._lines = [head]
        self._fields = [""]
        self._path: list[str] = []
        self._depth = 1
        self._names = 0
        self._pending: list[tuple[str, str]] = []

    def line(self, text: str) -> None:
        """Add a line, for the field that was entered last."""
        self._lines.append("    " * self._depth + text)
        self._fields.append(".".join(self._path))

    @contextmanager
    def block(self, text: str) -> Iterator[None]:
        """Add a line that opens an indented block."""
        self.line(text)
        self._depth += 1
        yield
        self._depth -= 1

    @contextmanager
    def otherwise(self, *, nullable: bool) -> Iterator[None]:
        """Open the `else` of a test for null; where nothing can be null there was no test."""
        if not nullable:
            yield
            return
        with self.block("else:"):
            yield

    @contextmanager
    def entered(self, field: Field) -> Iterator[None]:
        """Note that the lines serve this field."""
        self._path.append(field.name)
        yield
        self._path.pop()

    def name(self) -> str:
        """Make a new name of a local variable."""
        self._names += 1
        return f"v{self._names}"

    def constant(self, value: object) -> str:
        """Make a value that the source cannot spell a global."""
        name = f"c{len(self.globals)}"
        self.globals[name] = value
        return name

    def struct_method(self, codes: str, method: str) -> str:
        """Make a method of a precompiled big-endian struct a global."""
        name = f"{method}_{codes.replace('?', 'Z')}"
        self.globals[name] = getattr(struct.Struct(">" + codes), method)
        return name

    def pend(self, code: str, expression: str) -> str:
        """Let a fixed-width value wait for its neighbours; give the expression back."""
        self._pending.append((code, expression))
        return expression

    def take_pending(self) -> tuple[str, str, int]:
        """Take the run that waits: its struct codes, expressions with commas, and width."""
        codes = "".join(code for code, _ in self._pending)
        expressions = ", ".join(expression for _, expression in self._pending)
        self._pending.clear()
        return codes, expressions, struct.calcsize(">" + codes)

    def fields_in_version(self, layout: Layout) -> tuple[list[Field], list[Field]]:
        """Give the fields that the version has: those in order, and those tagged, by tag."""
        present = [declared for declared in layout.fields if declared.exists_in(self.version)]
        tagged = [declared for declared in present if declared.tag is not None]
        ordered = [declared for declared in present if declared.tag is None]
        return ordered, sorted(tagged, key=lambda declared: declared.tag or 0)

    def compile(self) -> Compiled:
        """Compile the lines and give the function."""
        source = "\n".join(self._lines) + "\n"
        file_name = f"<{self._function} {self.layout.name} version {self.version}>"
        exec(compile(source, file_name, "exec"), self.globals)  # noqa: S102 - source of our own
        return Compiled(self.globals[self._function], source, file_name, tuple(self._fields))
