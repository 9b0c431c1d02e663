"""Whether a reader's JSON Schema accepts all that a writer's one accepts, and if not, why.

The rules and their names are those of the public registry, in which an object without
"additionalProperties" is open: a property may be added to it only if it accepts everything. Where
that registry accepts a change although a value would then be refused, it is refused here; one
exception is theirs too: a required property with a default counts as filled in by the reader.

The comparison is a proof, place by place. What it cannot prove is told as an incompatibility, so
that it may refuse a change that would do no harm, never the other way round. So it is where it
would take long to find out what a pattern matches.
Source: docs.confluent.io, "Schema Evolution and Compatibility", JSON Schema.
Must never know: how schemas are parsed, payloads, subjects.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from msgspec import Struct

from schemas.json_schema import (
    compatibility_arrays,
    compatibility_choices,
    compatibility_objects,
    compatibility_values,
)
from schemas.json_schema.findings import Place, finding, subject
from schemas.json_schema.nodes import Key, Node, spelling_of
from schemas.json_schema.patterns import bounded_together
from schemas.json_schema.properties import property_of
from schemas.json_schema.writer import Writer, WriterKey

if TYPE_CHECKING:
    from schemas.schema import Incompatibility

EFFORT_MAX = 20_000
EFFORT_PER_PLACE = 8
"""How much is compared: so much, and so much more for each of the reader's places.

A pair of places takes two and a proof one, both more where many schemas hold together; that is
about 0.1 ms for each. Choices inside of choices multiply each other, and would take for ever.
"""

LEVELS_MAX = 64
"""How deep a comparison goes into properties and items; a schema that returns to itself ends it
before."""

PROOF_STEPS_MAX = 4
"""How many properties deep, and choices far, it is shown that no value can be there."""

_Pair = tuple[Key, WriterKey]


class _TooMuch(Exception):
    """A comparison asks for more than it is given."""


class _Effort(Struct):
    """What a comparison may still spend, and the level of properties and items that it is at."""

    left: int
    level: int = 0

    def spend(self, effort: int, writer: Writer) -> None:
        self.left -= effort + len(writer.nodes) // 4
        if self.left < 0 or self.level > LEVELS_MAX:
            raise _TooMuch


def incompatibilities(reader: Node, writer: Node) -> list[Incompatibility]:
    """Tell all that keeps a reader's schema from accepting what a writer's one accepts.

    Both are roots of parsed schemas. An empty list says that everything is accepted.
    """
    effort = _Effort(EFFORT_MAX + EFFORT_PER_PLACE * len(reader.places or ()))
    try:
        if spelling_of(reader) is not None and spelling_of(reader) == spelling_of(writer):
            return []
        with bounded_together():
            return Comparison(effort).compare(reader, Writer.of([writer]), ())
    except (_TooMuch, RecursionError):
        return [
            finding(
                "TOO_LARGE_TO_COMPARE",
                (),
                reader=reader.contents,
                writer=writer.contents,
                why="the value has too many choices, or too many levels, to compare the schemas",
                remedy="use fewer anyOf and oneOf inside of each other, or cut the schema into "
                "several subjects",
            )
        ]


class Comparison:
    """One comparison of two schemas: what was found so far, and what is being looked at.

    With `trusts_defaults` a required property that has a default may be missing.
    """

    def __init__(self, effort: _Effort, *, trusts_defaults: bool = True) -> None:
        self.trusts_defaults = trusts_defaults
        self._effort = effort
        self._strict = Comparison(effort, trusts_defaults=False) if trusts_defaults else self
        self._found: dict[_Pair, list[Incompatibility]] = {}
        self._impossible: dict[WriterKey, bool] = {}
        self._shown: list[tuple[dict[Any, Any], Any]] = []  # what was proven, oldest first
        self._open: dict[_Pair, int] = {}
        self._proving = 0

    def inside(self, reader: Node, writer: Writer, place: Place) -> list[Incompatibility]:
        """Compare what stands in a property or an item."""
        self._effort.level += 1
        try:
            return self.compare(reader, writer, place)
        finally:
            self._effort.level -= 1

    def compare(self, reader: Node, writer: Writer, place: Place) -> list[Incompatibility]:
        """Compare what judges the value at one place.

        A pair of places that is met again further inside counts as accepted there: a value that
        is refused would have a smaller one in it that is refused, and so on without end.
        """
        if reader.accepts_all or writer.is_empty or reader.key in writer.key[0]:
            return []
        pair = reader.key, writer.key
        if pair in self._found:
            return self._found[pair]
        if self._open.get(pair, self._effort.level) < self._effort.level:
            return []
        if pair in self._open:  # for the same value: that proves nothing
            return [_unproven(reader, writer, place)]
        self._effort.spend(2, writer)
        self._open[pair] = self._effort.level
        first = len(self._shown)
        try:
            found = _each_once(self._judge(reader, writer, place))
        finally:
            del self._open[pair]
        self._found[pair] = found
        if found:  # what was proven because this one seemed to be accepted is open again
            for proofs, key in self._shown[first:]:
                del proofs[key]
            del self._shown[first:]
        else:
            self._shown.append((self._found, pair))
        return found

    def is_impossible(self, writer: Writer) -> bool:
        """Tell whether it can be shown that no value is what a writer may have written."""
        if self._strict is not self:
            return self._strict.is_impossible(writer)
        if writer.is_empty:
            return True
        if writer.key not in self._impossible:
            if self._proving >= PROOF_STEPS_MAX:
                return False
            self._impossible[writer.key] = False  # until it is shown
            self._effort.spend(1, writer)
            self._proving += 1
            try:
                shown = self._shows_impossible(writer)
            finally:
                self._proving -= 1
            self._impossible[writer.key] = shown
            if shown:
                self._shown.append((self._impossible, writer.key))
        return self._impossible[writer.key]

    def is_covered(self, writer: Writer, reader: Node) -> bool:
        """Tell whether a schema accepts all of another's values, in a property or an item."""
        return not self._strict.inside(reader, writer, ())

    def excludes(self, writer: Writer, node: Node) -> bool:
        """Tell whether it can be shown that a schema accepts nothing that a writer wrote."""
        return self.is_apart(writer, node) or self.is_impossible(writer.narrowed([node]))

    def is_apart(self, writer: Writer, node: Node) -> bool:
        """Tell the same without minding what a writer's schemas exclude, which takes longer."""
        return self.is_impossible(writer.beside(node))

    def _shows_impossible(self, writer: Writer) -> bool:
        if writer.types == {"object"} and any(
            self.is_impossible(property_of(writer, name)) for name in sorted(writer.required)
        ):
            return True
        for node in writer.excluded:
            if node.key in writer.key[0] or not (
                self.is_apart(writer, node) or self.compare(node, writer, ())
            ):
                return True
        choices = writer.choices
        return bool(choices) and all(map(self.is_impossible, choices))

    def _judge(self, reader: Node, writer: Writer, place: Place) -> list[Incompatibility]:
        found = self._judge_as_one(reader, writer, place)
        if not found:
            return []
        spelling = spelling_of(reader)
        if spelling and any(spelling == spelling_of(node) for node in writer.nodes):
            return []
        choices = writer.choices
        if choices:
            return [each for choice in choices for each in self.compare(reader, choice, place)]
        return [] if self.is_impossible(writer) else found

    def _judge_as_one(self, reader: Node, writer: Writer, place: Place) -> list[Incompatibility]:
        """Hold each of a reader's keywords against all that a writer's schemas say together."""
        if reader.contents is False:
            return [_refused(writer, place)]
        found = [each for node in reader.targets() for each in self.compare(node, writer, place)]
        found += compatibility_values.check(reader, writer, place)
        found += compatibility_objects.check(self, reader, writer, place)
        found += compatibility_arrays.check(self, reader, writer, place)
        found += compatibility_choices.check(self, reader, writer, place)
        return found


def _each_once(found: list[Incompatibility]) -> list[Incompatibility]:
    """Drop what is told again, perhaps in other words, about the same two things."""
    return list({(each.rule, each.path, each.writer): each for each in found}.values())


def _refused(writer: Writer, place: Place) -> Incompatibility:
    return finding(
        "TYPE_CHANGED",
        place,
        reader=False,
        writer=writer.shown,
        why=f"{subject(place)} is accepted by the writer, and never by the reader (false)",
        remedy="give the reader a schema there that accepts what the writer's does, or leave the "
        "false out",
    )


def _unproven(reader: Node, writer: Writer, place: Place) -> Incompatibility:
    return finding(
        "COMBINED_TYPE_CHANGED",
        place,
        reader=reader.contents,
        writer=writer.shown,
        why=f"{subject(place)}: schemas inside of not refer to each other, so that nothing can be "
        "shown about them",
        remedy="say what is accepted instead of what is not",
    )
