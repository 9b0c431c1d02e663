"""What keeps a Protobuf schema from reading what was written with another: all of it at once.

The rules and their names are those of the public registry. Fields are compared by number, types
by their names within the package. Beyond its rules, three things are refused that break readers
and that it does not see: a number that becomes repeated without a word for what it was (proto3),
a field that becomes required, and a message that becomes a group.
Must never know: source text, the compiler, payloads.
"""

from __future__ import annotations

from typing import Final

from google.protobuf.descriptor_pb2 import FieldDescriptorProto as Field
from msgspec import Struct, field
from msgspec.structs import replace

from schemas.protobuf.text import SCALARS
from schemas.protobuf.types import GROUP, MAP, SCALAR, MessageType, Types
from schemas.schema import Incompatibility

PACKAGE_CHANGED: Final = "PACKAGE_CHANGED"
MESSAGE_REMOVED: Final = "MESSAGE_REMOVED"
FIELD_KIND_CHANGED: Final = "FIELD_KIND_CHANGED"
FIELD_SCALAR_KIND_CHANGED: Final = "FIELD_SCALAR_KIND_CHANGED"
FIELD_NAMED_TYPE_CHANGED: Final = "FIELD_NAMED_TYPE_CHANGED"
FIELD_NUMERIC_LABEL_CHANGED: Final = "FIELD_NUMERIC_LABEL_CHANGED"
REQUIRED_FIELD_ADDED: Final = "REQUIRED_FIELD_ADDED"
REQUIRED_FIELD_REMOVED: Final = "REQUIRED_FIELD_REMOVED"
ONEOF_FIELD_REMOVED: Final = "ONEOF_FIELD_REMOVED"
MULTIPLE_FIELDS_MOVED_TO_ONEOF: Final = "MULTIPLE_FIELDS_MOVED_TO_ONEOF"
FIELD_MOVED_TO_EXISTING_ONEOF: Final = "FIELD_MOVED_TO_EXISTING_ONEOF"

COMPATIBLE: Final = frozenset(
    {
        "MESSAGE_ADDED",
        "MESSAGE_MOVED",
        "ENUM_ADDED",
        "ENUM_REMOVED",
        "ENUM_CONST_ADDED",
        "ENUM_CONST_CHANGED",
        "ENUM_CONST_REMOVED",
        "FIELD_ADDED",
        "FIELD_REMOVED",
        "FIELD_NAME_CHANGED",
        "FIELD_STRING_OR_BYTES_LABEL_CHANGED",
        "ONEOF_ADDED",
        "ONEOF_REMOVED",
        "ONEOF_FIELD_ADDED",
        "ONEOF_FIELD_MOVED_TO_TOP_LEVEL",
    }
)
"""What the public registry has names for, but lets pass; so it is never reported."""

_FAMILIES: Final = {
    **dict.fromkeys(
        ("int32", "int64", "uint32", "uint64", "bool"), "integers and enums (plain varints)"
    ),
    **dict.fromkeys(("sint32", "sint64"), "zigzag integers"),
    **dict.fromkeys(("fixed32", "sfixed32"), "integers of 4 bytes"),
    **dict.fromkeys(("fixed64", "sfixed64"), "integers of 8 bytes"),
    **dict.fromkeys(("string", "bytes"), "strings and bytes"),
    "float": "floats",
    "double": "doubles",
}
"""Scalars by what they can be exchanged with. Source: protobuf.dev, "Updating A Message Type"."""

_TEXTS: Final = _FAMILIES["string"]
_ENUMS: Final = _FAMILIES["int32"]

_Key = tuple[str, str]
_MAIN: Final = ("", "")


def incompatibilities(reader: Types, writer: Types) -> list[Incompatibility]:
    """Tell all that keeps a reader from reading what a writer wrote."""
    comparison = _Comparison(reader, writer)
    comparison.compare_schemas()
    return comparison.found()


class _Pair(Struct, frozen=True):
    """A message as either side has it, and where it is."""

    reader: MessageType
    writer: MessageType
    path: str

    def path_of(self, number: int, oneof: str | None) -> str:
        return f"{self.path}/{oneof}/{number}" if oneof else f"{self.path}/{number}"


class _Spot(Struct, frozen=True):
    """A field that both sides have, and how texts call it.

    A map's key and value are two more spots, which are called and shown like the map.
    """

    pair: _Pair
    path: str
    name: str
    shown: tuple[str, str]
    reader: Field
    writer: Field


class _Unit(Struct):
    """What was found in the schemas themselves, or in one imported message with those within it."""

    found: list[Incompatibility] = field(default_factory=list)
    uses: list[tuple[_Key, Incompatibility]] = field(default_factory=list)
    """Imported messages that fields have, and what to say should one be incompatible."""


class _Comparison:
    def __init__(self, reader: Types, writer: Types) -> None:
        self._reader, self._writer = reader, writer
        self._units: dict[_Key, _Unit] = {_MAIN: _Unit()}
        self._waiting: list[tuple[_Key, _Pair]] = []
        self._unit = self._units[_MAIN]

    def compare_schemas(self) -> None:
        """Compare the schemas, then one after the other the imported messages they come upon."""
        if self._reader.package != self._writer.package:
            self._report(
                PACKAGE_CHANGED,
                "#/",
                (self._reader.package, self._writer.package),
                f"the package is {self._writer.package!r} for writers and "
                f"{self._reader.package!r} for readers, so no message has its name any more",
                f"keep the package {self._writer.package!r}, or register under another subject",
            )
        self._compare_scope(self._reader.messages, self._writer.messages, "#")
        while self._waiting:
            key, pair = self._waiting.pop(0)
            self._unit = self._units[key]
            self._compare_message(pair)

    def found(self) -> list[Incompatibility]:
        """Give what was found, and what fields have whose imported types are incompatible."""
        users: dict[_Key, list[tuple[_Key, Incompatibility]]] = {}
        for key, unit in self._units.items():
            for used, problem in unit.uses:
                users.setdefault(used, []).append((key, problem))
        broken = [key for key, unit in self._units.items() if unit.found]
        seen = set(broken)
        while broken:
            for key, problem in users.get(broken.pop(), ()):
                self._units[key].found.append(problem)
                if key not in seen:
                    seen.add(key)
                    broken.append(key)
        # A message that is nested in an imported one and used by a field is in two units.
        every = (problem for unit in self._units.values() for problem in unit.found)
        return list(dict.fromkeys(every))

    def _compare_scope(
        self, reader: dict[str, MessageType], writer: dict[str, MessageType], path: str
    ) -> None:
        for name, written in writer.items():
            if written.is_map_entry or written.is_group:
                continue  # they are part of their fields
            read = reader.get(name)
            if read is not None and not read.is_map_entry and not read.is_group:
                self._compare_message(_Pair(read, written, f"{path}/{name}"))
                continue
            self._report(
                MESSAGE_REMOVED,
                f"{path}/{name}",
                ("", f"message {written.local_name}"),
                f"readers have no message {written.local_name}, so what was written as one "
                "cannot be read",
                f"put message {written.local_name} back at its place; its optional fields may go",
            )

    def _compare_message(self, pair: _Pair) -> None:
        self._compare_oneofs(pair)
        for number in sorted({*pair.reader.fields, *pair.writer.fields}):
            read, written = pair.reader.fields.get(number), pair.writer.fields.get(number)
            if read is None:
                self._check_removed(pair, pair.writer.fields[number])
            elif written is None:
                self._check_added(pair, read)
            else:
                path = pair.path_of(number, pair.reader.oneof_of(read))
                name = f"field {read.name} ({number}) of message {pair.reader.local_name}"
                shown = (self._reader.shown(read), self._writer.shown(written))
                self._compare_field(_Spot(pair, path, name, shown, read, written))
        self._compare_scope(pair.reader.nested, pair.writer.nested, pair.path)

    def _compare_oneofs(self, pair: _Pair) -> None:
        """Find fields that could be set together and cannot be any more."""
        written = pair.writer.fields
        for oneof, numbers in pair.reader.oneofs().items():
            before = [number for number in numbers if number in written]
            homes = {number: pair.writer.oneof_of(written[number]) for number in before}
            alone = [number for number, home in homes.items() if home is None]
            if len(alone) + len({home for home in homes.values() if home}) < 2:
                continue
            several = len(alone) > 1
            moved = ", ".join(f"{written[n].name} ({n})" for n in before)
            self._report(
                MULTIPLE_FIELDS_MOVED_TO_ONEOF if several else FIELD_MOVED_TO_EXISTING_ONEOF,
                f"{pair.path}/{oneof}",
                (f"oneof {oneof}", ", ".join(home or "no oneof" for home in homes.values())),
                f"writers can set {moved} of message {pair.writer.local_name} together; in the "
                f"oneof {oneof} readers keep only the last of them",
                "leave them where they were; of fields that could be set together at most one "
                "can go into a oneof, and only into one without other old fields",
            )

    def _check_removed(self, pair: _Pair, written: Field) -> None:
        oneof = pair.writer.oneof_of(written)
        name = f"field {written.name} ({written.number}) of message {pair.writer.local_name}"
        if oneof is not None:
            left = pair.reader.oneofs()
            members = pair.writer.oneofs()[oneof]
            if oneof not in left and not any(number in pair.reader.fields for number in members):
                return  # the whole oneof is gone: a reader knows nothing of it
            rule, why = ONEOF_FIELD_REMOVED, f"readers find the oneof {oneof} unset where it is set"
        elif written.label == Field.LABEL_REQUIRED:
            rule, why = REQUIRED_FIELD_REMOVED, "it is required, so somebody relies on it"
        else:
            return
        self._report(
            rule,
            pair.path_of(written.number, oneof),
            ("", self._writer.shown(written)),
            f"{name} is not in the readers' schema: {why}",
            f"put {written.name} = {written.number} back, and mark it as deprecated",
        )

    def _check_added(self, pair: _Pair, read: Field) -> None:
        if read.label == Field.LABEL_REQUIRED:
            self._report_required(
                pair.path_of(read.number, None),
                f"field {read.name} ({read.number}) of message {pair.reader.local_name}",
                (self._reader.shown(read), ""),
                "which writers do not know",
            )

    def _compare_field(self, spot: _Spot) -> None:
        kind, written_kind = self._reader.kind(spot.reader), self._writer.kind(spot.writer)
        if kind != written_kind:
            self._report_type(spot, FIELD_KIND_CHANGED, f"a {written_kind} is no {kind}")
            return
        if kind == MAP:
            self._compare_maps(spot)
            return
        if kind == SCALAR:
            numeric = self._compare_scalars(spot)
            if numeric:
                return  # that includes becoming required
        elif kind == GROUP:
            read, written = self._messages(spot)
            self._compare_message(_Pair(read, written, f"{spot.pair.path}/{read.proto.name}"))
        else:
            self._compare_named(spot)
        required = spot.reader.label == Field.LABEL_REQUIRED
        if required and spot.writer.label != Field.LABEL_REQUIRED:
            self._report_required(spot.path, spot.name, spot.shown, "which writers may leave out")

    def _compare_scalars(self, spot: _Spot) -> bool:
        """Compare families and labels. Returns: whether nothing else is to be said of it."""
        family, written_family = _family(spot.reader), _family(spot.writer)
        if family != written_family:
            why = f"{written_family} are written in another way than {family}"
            self._report_type(spot, FIELD_SCALAR_KIND_CHANGED, why)
            return True
        if family == _TEXTS:
            return False
        if _label_changed(spot):
            shown, written = spot.shown
            self._report(
                FIELD_NUMERIC_LABEL_CHANGED,
                spot.path,
                (shown, written),
                f"{spot.name} is '{written}' for writers and '{shown}' for readers: numbers are "
                "written in another way, or are missing, with another label",
                f"keep it as '{written}', and give the field with the new label a new number",
            )
        return True

    def _compare_maps(self, spot: _Spot) -> None:
        read, written = self._reader.entry(spot.reader), self._writer.entry(spot.writer)
        for inner, written_inner in zip(read, written, strict=True):
            self._compare_field(replace(spot, reader=inner, writer=written_inner))

    def _compare_named(self, spot: _Spot) -> None:
        read, written = self._messages(spot)
        if read.local_name != written.local_name:
            why = f"message {written.local_name} is another one than {read.local_name}"
            self._report_type(spot, FIELD_NAMED_TYPE_CHANGED, why)
        elif not (read.origin.own and written.origin.own):
            key = (spot.reader.type_name, spot.writer.type_name)
            path = "#/" + read.local_name.replace(".", "/")
            self._unit.uses.append((key, _broken_import(spot, path)))
            if key not in self._units:
                self._units[key] = _Unit()
                self._waiting.append((key, _Pair(read, written, path)))

    def _messages(self, spot: _Spot) -> tuple[MessageType, MessageType]:
        return self._reader.message(spot.reader), self._writer.message(spot.writer)

    def _report_type(self, spot: _Spot, rule: str, because: str) -> None:
        shown, written = spot.shown
        number = spot.path.rpartition("/")[2]
        self._report(
            rule,
            spot.path,
            (shown, written),
            f"{spot.name} is {written} for writers and {shown} for readers: {because}",
            f"keep {number} as {written}, and take a new field number for {shown}"
            f"{self._or_reserve(spot, number)}",
        )

    def _or_reserve(self, spot: _Spot, number: str) -> str:
        """Offer to drop the old field, where that would be compatible."""
        field = spot.pair.writer.fields[int(number)]
        kept = field.label == Field.LABEL_REQUIRED or spot.pair.writer.oneof_of(field)
        return "" if kept else f"; if nobody needs the old one, 'reserved {number};' in its place"

    def _report_required(self, path: str, name: str, shown: tuple[str, str], because: str) -> None:
        self._report(
            REQUIRED_FIELD_ADDED,
            path,
            shown,
            f"{name} is required by readers, {because}: a message without it is refused",
            "declare it as optional",
        )

    def _report(self, rule: str, path: str, shown: tuple[str, str], why: str, remedy: str) -> None:
        self._unit.found.append(Incompatibility(rule, path, shown[0], shown[1], why, remedy))


def _broken_import(spot: _Spot, path: str) -> Incompatibility:
    shown, written = spot.shown
    return Incompatibility(
        FIELD_NAMED_TYPE_CHANGED,
        spot.path,
        shown,
        written,
        f"{spot.name} is {written} for writers and {shown} for readers, which are incompatible "
        f"themselves (see {path})",
        f"make the imported {path} compatible again, or import the file that writers import",
    )


def _family(field: Field) -> str:
    """Say what a scalar can be exchanged with."""
    return _ENUMS if field.type == Field.TYPE_ENUM else _FAMILIES[SCALARS[field.type]]


def _label_changed(spot: _Spot) -> bool:
    """Tell whether labels differ; a reader that says nothing may read what was required."""
    if spot.writer.label == Field.LABEL_REQUIRED and spot.reader.label == Field.LABEL_OPTIONAL:
        return spot.pair.reader.says_label(spot.reader)
    return bool(spot.reader.label != spot.writer.label)
