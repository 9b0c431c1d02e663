"""The types of a schema and of all that it imports, by their full names.

Must never know: compatibility, payloads.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from google.protobuf.descriptor_pb2 import FieldDescriptorProto as Field
from msgspec import Struct

from schemas.protobuf.text import in_oneof, type_text

if TYPE_CHECKING:
    from collections.abc import Iterable

    from google.protobuf.descriptor_pb2 import DescriptorProto, FileDescriptorProto

SCALAR: Final = "scalar"
MESSAGE: Final = "message"
MAP: Final = "map"
GROUP: Final = "group"


class Origin(Struct, frozen=True):
    """The file of a message: whether it is the schema itself, no import, and in proto3."""

    own: bool
    proto3: bool


class MessageType(Struct, frozen=True):
    """A message: `local_name` is its full one without the package of its file.

    `fields` are its own by number, with the extensions that any file declares for it.
    """

    proto: DescriptorProto
    local_name: str
    origin: Origin
    fields: dict[int, Field]
    nested: dict[str, MessageType]
    is_group: bool
    """Whether it was made for a group field, which takes its name from it."""

    @property
    def is_map_entry(self) -> bool:
        """Whether it was made for a map field."""
        return bool(self.proto.options.map_entry)

    def says_label(self, field: Field) -> bool:
        """Tell whether a field's label is written down: proto3 and oneofs need none."""
        if field.label != Field.LABEL_OPTIONAL:
            return True
        return bool(field.proto3_optional) or not (self.origin.proto3 or in_oneof(field))

    def oneof_of(self, field: Field) -> str | None:
        """Name the oneof that a field is in."""
        if field.extendee or not in_oneof(field):
            return None
        return str(self.proto.oneof_decl[field.oneof_index].name)

    def oneofs(self) -> dict[str, list[int]]:
        """Give the numbers of each oneof's fields, by its name."""
        members: dict[str, list[int]] = {}
        for number, field in self.fields.items():
            name = self.oneof_of(field)
            if name is not None:
                members.setdefault(name, []).append(number)
        return members


class Types:
    """All messages that a schema knows."""

    def __init__(self, main: FileDescriptorProto, imported: Iterable[FileDescriptorProto]) -> None:
        self.package: str = main.package
        self._messages: dict[str, MessageType] = {}
        extensions: list[Field] = []
        for file in imported:
            self._collect_file(file, extensions, own=False)
        self.messages = self._collect_file(main, extensions, own=True)
        for field in extensions:
            if field.extendee in self._messages:
                self._messages[field.extendee].fields.setdefault(field.number, field)

    def message(self, field: Field) -> MessageType:
        """Give the message that a field has."""
        return self._messages[field.type_name]

    def kind(self, field: Field) -> str:
        """Say of what kind a field is; enums are numbers, so they are scalars."""
        if field.type == Field.TYPE_GROUP:
            return GROUP
        if field.type != Field.TYPE_MESSAGE:
            return SCALAR
        return MAP if self.message(field).is_map_entry else MESSAGE

    def entry(self, field: Field) -> tuple[Field, Field]:
        """Give key and value of a map field."""
        fields = self.message(field).fields
        return fields[1], fields[2]

    def shown(self, field: Field) -> str:
        """Write label and type of a field as its source does."""
        if self.kind(field) == MAP:
            key, value = self.entry(field)
            return f"map<{_shown_type(key)}, {_shown_type(value)}>"
        label = {Field.LABEL_REQUIRED: "required ", Field.LABEL_REPEATED: "repeated "}
        group = "group " if field.type == Field.TYPE_GROUP else ""
        return label.get(field.label, "") + group + _shown_type(field)

    def _collect_file(
        self, file: FileDescriptorProto, extensions: list[Field], *, own: bool
    ) -> dict[str, MessageType]:
        walk = _Walk(Origin(own, file.syntax == "proto3"), self._messages, extensions)
        extensions.extend(file.extension)
        scope = f".{file.package}" if file.package else ""
        return walk.messages(file.message_type, scope, "", file.extension)


class _Walk(Struct, frozen=True):
    """One pass through the messages of a file."""

    origin: Origin
    by_full_name: dict[str, MessageType]
    extensions: list[Field]

    def messages(
        self, protos: Iterable[Any], scope: str, local_scope: str, fields: Iterable[Field]
    ) -> dict[str, MessageType]:
        """Collect messages that are declared beside these fields."""
        groups = {field.type_name for field in fields if field.type == Field.TYPE_GROUP}
        found: dict[str, MessageType] = {}
        for proto in protos:
            full, local = f"{scope}.{proto.name}", f"{local_scope}{proto.name}"
            self.extensions.extend(proto.extension)
            beside = [*proto.field, *proto.extension]
            nested = self.messages(proto.nested_type, full, f"{local}.", beside)
            own_fields = {field.number: field for field in proto.field}
            message = MessageType(
                proto, local, self.origin, own_fields, nested, is_group=full in groups
            )
            found[proto.name] = self.by_full_name[full] = message
        return found


def _shown_type(field: Field) -> str:
    return type_text(field).removeprefix(".")
