"""Why a reader's Avro schema cannot read what a writer's wrote, and what would help: sentences.

Must never know: how violations are found.
Source: the rules are called as in Apache Avro for Java, `SchemaIncompatibilityType`.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from schemas.avro.model import (
    SHOWN_MAX,
    Enum,
    Fixed,
    Primitive,
    Record,
    Union,
    kind_of,
    listed,
    simple_name,
)
from schemas.schema import Incompatibility

if TYPE_CHECKING:
    from collections.abc import Sequence

    from schemas.avro.model import Field, Model, NamedType, Node, Type

READ_BY: Final = {
    "int": ("long", "float", "double"),
    "long": ("float", "double"),
    "float": ("double",),
    "string": ("bytes",),
    "bytes": ("string",),
}
"""By which other primitive types values of one can be read."""

_EXAMPLES: Final = {
    "null": "null",
    "boolean": "false",
    "int": "0",
    "long": "0",
    "float": "0",
    "double": "0",
    "bytes": '""',
    "string": '""',
    "array": "[]",
    "map": "{}",
}


class Place(Struct, frozen=True):
    """Where two schemas are compared.

    `path` is a JSON pointer as Apache Avro gives it: into the reader's schema, except that behind a
    union comes the number of the writer's branch. `trail` is the same in the names of fields.
    """

    path: str = ""
    trail: str = ""

    def at(self, path: str, trail: str = "") -> Place:
        """Go inside."""
        return Place(f"{self.path}/{path}", f"{self.trail}{trail}")

    @property
    def pointer(self) -> str:
        """The JSON pointer; "/" for the whole schema, as in Apache Avro."""
        return self.path or "/"

    @property
    def words(self) -> str:
        """The place in words."""
        if not self.trail:
            return "the schema"
        for end, inside in (("[]", "each item of "), ("{}", "each value of ")):
            if self.trail.endswith(end):
                return inside + Place("", self.trail.removesuffix(end)).words
        return f'field "{self.trail.removeprefix(".")}"'


class Reasons:
    """Makes sentences about one reader's and one writer's schema."""

    def __init__(self, reader: Model, writer: Model) -> None:
        self._reader = reader
        self._writer = writer

    def type_mismatch(
        self, read: Type, written: Type, place: Place, of: Union | None
    ) -> Incompatibility:
        """A type that cannot be read as another; `of` is the writer's union that it is in."""
        into, out_of = self._reader.describe(read), self._writer.describe(written)
        if of is not None:
            why = (
                f"{place.words} is {into}, but the writer's {self._writer.describe(of)} "
                f"may hold {out_of}, which cannot be read as {into}"
            )
            remedy = f"let {place.words} be a union that takes {out_of} too"
            if isinstance(written, Primitive) and isinstance(read, Primitive):
                remedy += f": {json.dumps([written.kind, read.kind])}"
        else:
            why = f"{place.words} was written as {out_of}, which cannot be read as {into}"
            remedy = f"let {place.words} be {out_of} again"
            if kind_of(written) in READ_BY:
                others = listed(READ_BY[kind_of(written)], link="or")
                remedy += f", or {others}, which can be read from it"
            if "." in place.trail:
                remedy += "; or give the new type to a new field that has a default"
        return Incompatibility("TYPE_MISMATCH", place.pointer, into, out_of, why, remedy)

    def name_mismatch(self, read: NamedType, written: NamedType, place: Place) -> Incompatibility:
        """Two types of one kind that neither a name nor an alias brings together."""
        into, out_of = self._reader.describe(read), self._writer.describe(written)
        why = f"{place.words} was written as {out_of}, and {into} has no alias of that name"
        remedy = (
            f'give {into} "aliases": {json.dumps([written.name])}, '
            f'or name it "{simple_name(written.name)}" again'
        )
        path = place.at("name").pointer
        return Incompatibility("NAME_MISMATCH", path, into, out_of, why, remedy)

    def two_writers_fields(
        self, record: Record, field: Field, found: Sequence[Field], place: Place
    ) -> Incompatibility:
        """A field whose name and aliases match several fields of the writer."""
        names = [f'"{each.name}"' for each in found]
        why = (
            f'{place.words} of record "{record.name}" matches the fields {listed(names)} '
            "of the writer, by its name and its aliases, and readers take only one"
        )
        others = listed([name for name in names if name != f'"{field.name}"'])
        remedy = f"take {others} out of the aliases of {place.words}"
        into = self._reader.describe(field.type)
        out_of = f"the fields {listed(names)}"
        path = place.at("aliases").pointer
        return Incompatibility("NAME_MISMATCH", path, into, out_of, why, remedy)

    def size_mismatch(self, read: Fixed, written: Fixed, place: Place) -> Incompatibility:
        """Two fixed of one name and of different sizes."""
        why = (
            f'{place.words} was written as fixed "{written.name}" of {written.size} bytes, '
            f'and is read as fixed "{read.name}" of {read.size} bytes'
        )
        remedy = (
            f'let "size" of fixed "{read.name}" be {written.size} again, '
            "or add a fixed of another name as a new field with a default"
        )
        return Incompatibility(
            "FIXED_SIZE_MISMATCH",
            place.at("size").pointer,
            f"{read.size} bytes",
            f"{written.size} bytes",
            why,
            remedy,
        )

    def missing_symbols(self, read: Enum, missing: Sequence[str], place: Place) -> Incompatibility:
        """Symbols of the writer that the reader's enum neither has nor replaces by a default."""
        names = listed([f'"{symbol}"' for symbol in missing])
        symbols = "symbol" if len(missing) == 1 else "symbols"
        why = (
            f'enum "{read.name}" of {place.words} lacks the {symbols} {names} that may have been '
            "written, and has no default for symbols that it does not know"
        )
        remedy = f'keep the {symbols} {names} in enum "{read.name}"'
        if read.symbols:
            remedy += f', or give it a default, for instance "default": "{read.symbols[0]}"'
        return Incompatibility(
            "MISSING_ENUM_SYMBOLS",
            place.at("symbols").pointer,
            _symbols(read.symbols),
            _symbols(missing),
            why,
            remedy,
        )

    def missing_default(
        self, record: Record, field: Field, written: Record, place: Place
    ) -> Incompatibility:
        """A field that the writer does not write and that has no default."""
        kind = self._reader.describe(field.type)
        why = (
            f'{place.words} ({kind}) of record "{record.name}" is not among the fields of the '
            f'writer\'s record "{written.name}", and has no default'
        )
        remedy = f"give {place.words} a default, for instance {self._default_for(field.type)}"
        renamed = self._renamed(record, field, written)
        if renamed is not None:
            remedy += f'; or, if it is "{renamed}" renamed, "aliases": {json.dumps([renamed])}'
        rule = "READER_FIELD_MISSING_DEFAULT_VALUE"
        return Incompatibility(rule, place.pointer, kind, "", why, remedy)

    def missing_branch(
        self, read: Union, written: Node, place: Place, nested: Sequence[Incompatibility]
    ) -> Incompatibility:
        """A type that no branch of the reader's union reads; `nested` is why likely ones fail."""
        into, out_of = self._reader.describe(read), self._writer.describe(written)
        why = f"{place.words} may have been written as {out_of}, for which "
        if nested:
            why += f"the reader's {into} has a branch that does not read it: "
            why += "; ".join(each.why for each in nested)
            remedy = "; ".join(dict.fromkeys(each.remedy for each in nested))
        else:
            why += f"the reader's {into} has no branch"
            remedy = f"add {out_of} to the union of {place.words}"
        return Incompatibility("MISSING_UNION_BRANCH", place.pointer, into, out_of, why, remedy)

    def _default_for(self, node: Node) -> str:
        """Show a default that a field of some type may have."""
        found = self._reader.resolve(node)
        if isinstance(found, Union):
            branches = [self._reader.resolve(branch) for branch in found.branches]
            kinds = [kind_of(branch) for branch in branches]
            if "null" in kinds or not branches:
                return '"default": null'
            first = self._example(branches[0])
            optional = '"default": null with "null" as one more branch'
        else:
            first = self._example(found)
            optional = f'"default": null with type ["null", {self._spelled(found)}]'
        if first is None:
            return optional
        return f'"default": {first}' if first == "null" else f'"default": {first}, or {optional}'

    def _example(self, found: Type) -> str | None:
        if isinstance(found, Enum) and found.symbols:
            return f'"{found.symbols[0]}"'
        return _EXAMPLES.get(kind_of(found))

    def _spelled(self, found: Type) -> str:
        if isinstance(found, Primitive):
            return f'"{found.kind}"'
        if isinstance(found, Record | Enum | Fixed):
            return f'"{found.name}"'
        return f'{{"type": "{kind_of(found)}", ...}}'

    def _renamed(self, record: Record, field: Field, written: Record) -> str | None:
        """Find the one field of the writer that this one may have been before."""
        kept = {name for each in record.fields for name in (each.name, *each.aliases)}
        kind = kind_of(self._reader.resolve(field.type))
        gone = [
            each.name
            for each in written.fields
            if each.name not in kept and kind_of(self._writer.resolve(each.type)) == kind
        ]
        return gone[0] if len(gone) == 1 else None


def _symbols(symbols: Sequence[str]) -> str:
    shown = symbols[:SHOWN_MAX]
    return f"symbols {listed(shown, left_out=len(symbols) - len(shown))}"
