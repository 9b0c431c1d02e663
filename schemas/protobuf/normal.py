"""The normal form of a FileDescriptorProto: alike for files that say the same in other words.

Fields, extensions, reserved numbers and imports are sorted; what was left to a default is said or
left out always. The order of messages, enums and services stays, as payloads name messages by it.
Must never know: source text, the compiler.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from google.protobuf.descriptor_pb2 import (
    DescriptorProto,
    FieldDescriptorProto,
    FileDescriptorProto,
)

from schemas.protobuf.literals import escaped, float_text
from schemas.protobuf.names import json_name

if TYPE_CHECKING:
    from collections.abc import Iterable


def normal_form(file: FileDescriptorProto) -> FileDescriptorProto:
    """Give a file's descriptor in the normal form, without its name and source info."""
    normal = FileDescriptorProto()
    normal.CopyFrom(file)
    normal.ClearField("name")
    normal.ClearField("source_code_info")
    if normal.syntax == "proto2":
        normal.ClearField("syntax")  # where nothing is said, that is meant
    _sort_imports(normal)
    _drop_if_empty(normal)
    for message in normal.message_type:
        _normalize_message(message)
    for enum in normal.enum_type:
        _normalize_enum(enum)
    for service in normal.service:
        _drop_if_empty(service)
        for method in service.method:
            _drop_if_empty(method)
            for flag in ("client_streaming", "server_streaming"):
                if not getattr(method, flag):
                    method.ClearField(flag)
    _sort_extensions(normal.extension)
    return normal


def _sort_imports(file: FileDescriptorProto) -> None:
    names = list(file.dependency)
    public = {names[index] for index in file.public_dependency}
    weak = {names[index] for index in file.weak_dependency}
    names.sort()
    _replace(file.dependency, names)
    _replace(file.public_dependency, [i for i, name in enumerate(names) if name in public])
    _replace(file.weak_dependency, [i for i, name in enumerate(names) if name in weak])


def _normalize_message(message: DescriptorProto) -> None:
    _drop_if_empty(message)
    for field in message.field:
        _normalize_field(field)
    _sort_messages(message.field, key=lambda field: field.number)
    _sort_oneofs(message)
    _sort_extensions(message.extension)
    for nested in message.nested_type:
        _normalize_message(nested)
    _sort_map_entries(message)
    for enum in message.enum_type:
        _normalize_enum(enum)
    for span in message.extension_range:
        _drop_if_empty(span)
    _merge_ranges(message.extension_range, end_is_in=False)
    _merge_ranges(message.reserved_range, end_is_in=False)
    _replace(message.reserved_name, sorted(set(message.reserved_name)))


def _normalize_enum(enum: Any) -> None:
    _drop_if_empty(enum)
    for value in enum.value:
        _drop_if_empty(value)
        value.number = value.number  # what is 0 may have been left out
    first, *others = list(enum.value) or [None]
    if first is not None:  # the first is the default, and of aliases the first is shown
        values = [first, *sorted(others, key=lambda value: value.number)]
        _replace(enum.value, [_copy(value) for value in values])
    _merge_ranges(enum.reserved_range, end_is_in=True)
    _replace(enum.reserved_name, sorted(set(enum.reserved_name)))


def _normalize_field(field: FieldDescriptorProto) -> None:
    _drop_if_empty(field)
    field.label = field.label
    if field.extendee:  # no source can say what an extension is called in JSON
        field.ClearField("json_name")
    elif not field.json_name:
        field.json_name = json_name(field.name)
    if not field.proto3_optional:
        field.ClearField("proto3_optional")
    if field.HasField("default_value"):
        field.default_value = _normal_default(field)


def _normal_default(field: FieldDescriptorProto) -> str:
    if field.type == field.TYPE_BYTES:
        return escaped(field.default_value)
    if field.type in {field.TYPE_FLOAT, field.TYPE_DOUBLE}:
        return float_text(field.default_value, single=field.type == field.TYPE_FLOAT)
    return str(field.default_value)


def _sort_map_entries(message: DescriptorProto) -> None:
    """Put the entries of maps into the order of their fields; other messages stay in place.

    An entry is found by its field alone, but it counts where other messages are found by number.
    """
    order = {field.type_name.rpartition(".")[2]: field.number for field in message.field}
    entries = [nested for nested in message.nested_type if nested.options.map_entry]
    sorted_entries = iter(sorted(entries, key=lambda entry: order.get(entry.name, 0)))
    nested = [
        next(sorted_entries) if nested.options.map_entry else nested
        for nested in message.nested_type
    ]
    _replace(message.nested_type, [_copy(each) for each in nested])


def _sort_oneofs(message: DescriptorProto) -> None:
    """Number oneofs by their first members, those that `optional` makes behind all others.

    Fields are sorted already.
    """
    named = [f for f in message.field if f.HasField("oneof_index") and not f.proto3_optional]
    made = [f for f in message.field if f.HasField("oneof_index") and f.proto3_optional]
    order = dict.fromkeys(field.oneof_index for field in [*named, *made])
    order |= dict.fromkeys(index for index in range(len(message.oneof_decl)) if index not in order)
    place = {index: number for number, index in enumerate(order)}
    for field in [*named, *made]:
        field.oneof_index = place[field.oneof_index]
    _replace(message.oneof_decl, [_copy(message.oneof_decl[index]) for index in order])
    for oneof in message.oneof_decl:
        _drop_if_empty(oneof)


def _sort_extensions(extensions: Any) -> None:
    for extension in extensions:
        _normalize_field(extension)
    _sort_messages(extensions, key=lambda extension: (extension.extendee, extension.number))


def _merge_ranges(ranges: Any, *, end_is_in: bool) -> None:
    """Sort ranges and join neighbours, except where a range has options of its own."""
    merged: list[Any] = []
    gap = 1 if end_is_in else 0
    for span in sorted(ranges, key=lambda span: (span.start, span.end)):
        last = merged[-1] if merged else None
        if last is not None and last.end + gap >= span.start and not _has_options(last, span):
            last.end = max(last.end, span.end)
        else:
            merged.append(_copy(span))
    _replace(ranges, merged)


def _has_options(*spans: Any) -> bool:
    return any(
        "options" in span.DESCRIPTOR.fields_by_name and span.HasField("options") for span in spans
    )


def _drop_if_empty(described: Any) -> None:
    if described.HasField("options") and not described.options.SerializePartialToString():
        described.ClearField("options")


def _sort_messages(values: Any, key: Any) -> None:
    _replace(values, sorted((_copy(value) for value in values), key=key))


def _copy(message: Any) -> Any:
    copy = type(message)()
    copy.CopyFrom(message)
    return copy


def _replace(values: Any, replaced: Iterable[Any]) -> None:
    replaced = list(replaced)
    del values[:]
    values.extend(replaced)
