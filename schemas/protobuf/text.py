"""A FileDescriptorProto as .proto source (proto2 and proto3).

What compilers derive is written as what it was derived from: map entries as `map<k, v>`,
synthetic oneofs as `optional`, groups' messages as groups. The order of nested messages is kept,
as payloads name messages by it.
Must never know: where a descriptor came from, the compiler, layout.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any, Final

from google.protobuf.descriptor_pb2 import FieldDescriptorProto as Field
from msgspec import Struct

from schemas.protobuf.literals import escaped, quoted
from schemas.protobuf.names import json_name
from schemas.protobuf.options import OptionsText
from schemas.protobuf.source import lay_out
from schemas.schema import InvalidSchema

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from google.protobuf.descriptor_pb2 import DescriptorProto, FileDescriptorProto
    from google.protobuf.descriptor_pool import DescriptorPool

MESSAGE_NUMBER_END: Final = 1 << 29
"""Behind the last field number; `max` means the one before."""

_ENUM_NUMBER_MAX: Final = (1 << 31) - 1

SCALARS: Final = {
    Field.TYPE_DOUBLE: "double",
    Field.TYPE_FLOAT: "float",
    Field.TYPE_INT64: "int64",
    Field.TYPE_UINT64: "uint64",
    Field.TYPE_INT32: "int32",
    Field.TYPE_FIXED64: "fixed64",
    Field.TYPE_FIXED32: "fixed32",
    Field.TYPE_BOOL: "bool",
    Field.TYPE_STRING: "string",
    Field.TYPE_BYTES: "bytes",
    Field.TYPE_UINT32: "uint32",
    Field.TYPE_SFIXED32: "sfixed32",
    Field.TYPE_SFIXED64: "sfixed64",
    Field.TYPE_SINT32: "sint32",
    Field.TYPE_SINT64: "sint64",
}

_LABELS: Final = {
    Field.LABEL_OPTIONAL: "optional",
    Field.LABEL_REQUIRED: "required",
    Field.LABEL_REPEATED: "repeated",
}


def proto_source(file: FileDescriptorProto, pool: DescriptorPool) -> str:
    """Write a file's descriptor as .proto source, in the layout of `protobuf_source`.

    The pool has google/protobuf/descriptor.proto and whatever declares the file's custom
    options. Raises: InvalidSchema where something cannot be said in proto2 or proto3.
    """
    if file.syntax not in {"", "proto2", "proto3"}:
        raise InvalidSchema(
            f"the descriptor has the syntax {file.syntax!a}: only proto2 and proto3 are "
            "supported, write the schema in one of them"
        )
    return lay_out("\n".join(_Writer(file, OptionsText(pool)).file())).text


class _Unit(Struct, frozen=True):
    """Statements that stay together, and the nested messages that they bring about."""

    lines: tuple[str, ...]
    brings: tuple[str, ...] = ()


class _Writer:
    def __init__(self, file: FileDescriptorProto, options: OptionsText) -> None:
        self._file = file
        self._options = options
        self._proto3 = file.syntax == "proto3"

    def file(self) -> Iterator[str]:
        file = self._file
        yield f'syntax = "{file.syntax or "proto2"}";'
        if file.package:
            yield f"package {file.package};"
        public, weak = set(file.public_dependency), set(file.weak_dependency)
        for index, name in enumerate(file.dependency):
            kind = "public " if index in public else "weak " if index in weak else ""
            yield f"import {kind}{quoted(name)};"
        yield from self._statements(file.options)
        scope = f".{file.package}" if file.package else ""
        extensions = self._extensions(file.extension, _nested(scope, file.message_type))
        yield from self._ordered(extensions, file.message_type, scope)
        for enum in file.enum_type:
            yield from self._enum(enum)
        for service in file.service:
            yield from self._service(service)

    def _ordered(
        self, units: Sequence[_Unit], messages: Sequence[DescriptorProto], scope: str
    ) -> Iterator[str]:
        for part in _in_order(units, messages):
            if isinstance(part, _Unit):
                yield from part.lines
            else:
                yield from self._message(part, scope)

    def _message(self, message: DescriptorProto, scope: str) -> Iterator[str]:
        yield f"message {message.name} {{"
        yield from self._body(message, f"{scope}.{message.name}")
        yield "}"

    def _body(self, message: DescriptorProto, scope: str) -> Iterator[str]:
        """Write what is within a message's braces; `scope` is its own full name."""
        yield from self._statements(message.options)
        nested = _nested(scope, message.nested_type)
        units = [*self._fields(message, nested), *self._extensions(message.extension, nested)]
        yield from self._ordered(units, message.nested_type, scope)
        for enum in message.enum_type:
            yield from self._enum(enum)
        for span in message.extension_range:
            end = "max" if self._reaches_max(message, span.end) else str(span.end - 1)
            options = self._brackets(self._options.of(span.options))
            yield f"extensions {_span(span.start, end)}{options};"
        for span in message.reserved_range:
            end = "max" if span.end == MESSAGE_NUMBER_END else str(span.end - 1)
            yield f"reserved {_span(span.start, end)};"
        for name in message.reserved_name:
            yield f"reserved {quoted(name)};"

    def _reaches_max(self, message: DescriptorProto, end: int) -> bool:
        if message.options.message_set_wire_format:
            return end == _ENUM_NUMBER_MAX
        return end == MESSAGE_NUMBER_END

    def _fields(
        self, message: DescriptorProto, nested: Mapping[str, DescriptorProto]
    ) -> Iterator[_Unit]:
        """Give a unit for each field, or for each oneof at the place of its first member."""
        members: dict[int, list[Field]] = {}
        for field in message.field:
            if in_oneof(field):
                members.setdefault(field.oneof_index, []).append(field)
        for field in message.field:
            if not in_oneof(field):
                yield self._field(field, nested)
            elif fields := members.pop(field.oneof_index, None):
                units = [self._field(member, nested, label="") for member in fields]
                yield self._oneof(message.oneof_decl[field.oneof_index], units)

    def _oneof(self, oneof: Any, members: Sequence[_Unit]) -> _Unit:
        head = (f"oneof {oneof.name} {{", *self._statements(oneof.options))
        return _Unit(
            (*head, *(line for member in members for line in member.lines), "}"),
            tuple(name for member in members for name in member.brings),
        )

    def _field(
        self, field: Field, nested: Mapping[str, DescriptorProto], label: str | None = None
    ) -> _Unit:
        if label is None:
            label = self._label(field)
        options = self._brackets(self._field_options(field))
        inner = nested.get(field.type_name)
        if field.type == Field.TYPE_GROUP:
            if inner is None:
                raise InvalidSchema(
                    f"the group of field {field.name} is declared elsewhere "
                    f"({field.type_name}): .proto source cannot say so, make it a message"
                )
            head = f"{label}group {inner.name} = {field.number}{options} {{"
            return _Unit((head, *self._body(inner, field.type_name), "}"), (inner.name,))
        if inner is not None and inner.options.map_entry and len(inner.field) == 2:
            key, value = sorted(inner.field, key=lambda part: part.number)
            kind = f"map<{type_text(key)}, {type_text(value)}>"
            return _Unit((f"{kind} {field.name} = {field.number}{options};",), (inner.name,))
        return _Unit((f"{label}{type_text(field)} {field.name} = {field.number}{options};",))

    def _label(self, field: Field) -> str:
        if self._proto3 and field.label == Field.LABEL_OPTIONAL and not field.proto3_optional:
            return ""
        return _LABELS[field.label] + " "

    def _field_options(self, field: Field) -> list[str]:
        options = self._options.of(field.options)
        if not field.extendee and field.json_name not in {"", json_name(field.name)}:
            options.insert(0, f"json_name = {quoted(field.json_name)}")
        if field.HasField("default_value"):
            options.insert(0, f"default = {_default(field)}")
        return options

    def _extensions(
        self, fields: Iterable[Field], nested: Mapping[str, DescriptorProto]
    ) -> list[_Unit]:
        """Give a unit for each extension, neighbours of the same message in one block.

        Groups keep to themselves, as other messages may stand between them.
        """
        units: list[_Unit] = []
        for field in fields:
            unit, head = self._field(field, nested), f"extend {field.extendee} {{"
            if units and units[-1].lines[0] == head and not units[-1].brings + unit.brings:
                units[-1] = _Unit((*units[-1].lines[:-1], *unit.lines, "}"))
            else:
                units.append(_Unit((head, *unit.lines, "}"), unit.brings))
        return units

    def _enum(self, enum: Any) -> Iterator[str]:
        yield f"enum {enum.name} {{"
        yield from self._statements(enum.options)
        for value in enum.value:
            options = self._brackets(self._options.of(value.options))
            yield f"{value.name} = {value.number}{options};"
        for span in enum.reserved_range:
            end = "max" if span.end == _ENUM_NUMBER_MAX else str(span.end)
            yield f"reserved {_span(span.start, end)};"
        for name in enum.reserved_name:
            yield f"reserved {quoted(name)};"
        yield "}"

    def _service(self, service: Any) -> Iterator[str]:
        yield f"service {service.name} {{"
        yield from self._statements(service.options)
        for method in service.method:
            given = f"{'stream ' if method.client_streaming else ''}{method.input_type}"
            returned = f"{'stream ' if method.server_streaming else ''}{method.output_type}"
            head = f"rpc {method.name}({given}) returns ({returned})"
            options = list(self._statements(method.options))
            yield from (f"{head} {{", *options, "}") if options else (f"{head};",)
        yield "}"

    def _statements(self, options: Any) -> Iterator[str]:
        return (f"option {option};" for option in self._options.of(options))

    def _brackets(self, options: Sequence[str]) -> str:
        return f" [{', '.join(options)}]" if options else ""


def in_oneof(field: Field) -> bool:
    """Tell whether a field is in a oneof that its source names: `optional` makes one too."""
    return field.HasField("oneof_index") and not field.proto3_optional


def type_text(field: Field) -> str:
    """Give a field's type by its word, or by the full name of a message or an enum."""
    return SCALARS.get(field.type) or field.type_name


def _nested(scope: str, messages: Iterable[DescriptorProto]) -> dict[str, DescriptorProto]:
    return {f"{scope}.{message.name}": message for message in messages}


def _in_order(
    units: Sequence[_Unit], messages: Iterable[DescriptorProto]
) -> Iterator[_Unit | DescriptorProto]:
    """Give units in their order and messages in theirs.

    Where both cannot be kept because units bring messages about, that of messages is.
    """
    bringing = {name: unit for unit in units for name in unit.brings}
    waiting = deque(bringing.get(message.name, message) for message in messages)
    given: set[int] = set()
    for unit in units:
        while waiting and unit.brings and id(unit) not in given:
            part = waiting.popleft()
            if id(part) not in given:
                given.add(id(part))
                yield part
        if id(unit) not in given:
            given.add(id(unit))
            yield unit
    yield from (part for part in waiting if id(part) not in given)


def _span(first: int, last: str) -> str:
    return last if last == str(first) else f"{first} to {last}"


def _default(field: Field) -> str:
    if field.type == Field.TYPE_STRING:
        return quoted(field.default_value)
    if field.type == Field.TYPE_BYTES:
        return f'"{escaped(field.default_value)}"'
    return str(field.default_value)
