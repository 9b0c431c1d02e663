"""Whether one Avro schema reads what was written with another, and all that is in the way.

Pure, and as Apache Avro for Java decides, which the public registry asks: named types match where
their names without namespaces do or an alias of the reader's is the writer's full name; a union of
the reader's needs a branch for every branch of the writer's. Where this is more careful than Java:
- what recursive types assume of one another is taken back where it turns out wrong, before
  anything is concluded from it;
- a field that matches several fields of the writer is a violation, not an error of ours;
- a field without default is one even if its type is an enum that has a default of its own;
- two types that do not fit are told once, not for every field that uses them.
Must never know: texts of schemas, payloads, versions, levels of compatibility.
Source: Apache Avro 1.12 specification, "Schema Resolution"; SchemaCompatibility of Avro for Java.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Final, TypeAlias

from msgspec import Struct

from schemas.avro.model import (
    ABSENT,
    Array,
    Enum,
    Fixed,
    Map,
    Primitive,
    Record,
    Union,
    kind_of,
    simple_name,
)
from schemas.avro.reasons import READ_BY, Place, Reasons
from schemas.schema import Incompatibility, InvalidSchema

if TYPE_CHECKING:
    from schemas.avro.model import Field, Model, NamedType, Node, Type

STEPS_MAX: Final = 400_000
"""Schemas that take more are refused: some that fit into texts of a megabyte take billions."""

_NESTED_MAX: Final = 3
"""So many reasons are told why a branch of a union that has the right name does not do."""
_EXPLAINED_DEPTH_MAX: Final = 3
"""In so many unions inside of one another."""


class _Task(Struct, frozen=True, eq=False):
    """Two types to be compared; `of` is the writer's union that the writer's is a branch of."""

    read: Node
    written: Node
    place: Place
    of: Union | None = None
    explained_depth: int = 0

    def inside(self, read: Node, written: Node, place: Place) -> _Task:
        """Compare parts of the two."""
        return _Task(read, written, place, explained_depth=self.explained_depth)


class _Lack(Struct, frozen=True, eq=False):
    """A violation: a union of the reader's has no branch that reads a type of the writer's."""

    union: Union
    written: Node
    place: Place
    explained_depth: int


_Violation: TypeAlias = Callable[[], Incompatibility] | _Lack
"""Tells a violation. Whoever only wants to know whether there is one need not have it told."""

_Pair: TypeAlias = "tuple[Type, Type]"
"""A reader's and a writer's type, without references: each is one object wherever it is used."""


def incompatibilities(
    reader: Model, writer: Model, *, steps_max: int = STEPS_MAX
) -> list[Incompatibility]:
    """List all that keeps a reader's schema from reading what a writer's wrote, in its order.

    Raises: InvalidSchema where comparing them takes more than `steps_max` steps.
    """
    comparison = _Comparison(reader, writer, steps_max)
    return list(comparison.violations(_Task(reader.root, writer.root, Place())))


class _Comparison:
    """Compares one reader's schema with one writer's."""

    def __init__(self, reader: Model, writer: Model, steps_max: int) -> None:
        self._reader = reader
        self._writer = writer
        self._steps_left = steps_max
        self._reasons = Reasons(reader, writer)
        self._verdicts = _Verdicts(self)
        self._branches: dict[Union, dict[tuple[str, str], list[Node]]] = {}
        self._fields: dict[str, dict[str, Field]] = {}
        self._missing_symbols: dict[_Pair, list[str]] = {}
        self._explained: dict[tuple[Type, Type, int], list[Incompatibility]] = {}

    def violations(self, first: _Task) -> Iterator[Incompatibility]:
        """Go through two types, depth first, and tell every violation once."""
        opened = self.resolved(first)
        stack = [(opened, self.compare(first))]
        seen, inside = {opened}, {opened}
        while stack:
            opened, items = stack[-1]
            for item in items:
                if isinstance(item, _Task):
                    pair = self.resolved(item)
                    if pair not in seen:
                        seen.add(pair)
                        inside.add(pair)
                        stack.append((pair, self.compare(item)))
                        break
                elif not isinstance(item, _Lack):
                    yield item()
                elif not self._follows(item, inside):
                    yield self._no_branch(item)
            else:
                stack.pop()
                inside.remove(opened)

    def _follows(self, lack: _Lack, inside: set[_Pair]) -> bool:
        """Say whether a branch is there, and fails only by what is told of a type around it."""
        written = self._writer.resolve(lack.written)
        likely = [self._reader.resolve(branch) for branch in self._likely(lack.union, written)]
        return bool(likely) and all((branch, written) in inside for branch in likely)

    def count_step(self) -> None:
        """Note that something is compared. Raises: InvalidSchema where it goes on for too long."""
        self._steps_left -= 1
        if self._steps_left < 0:
            raise InvalidSchema(
                "comparing the two schemas takes too many steps; let their unions have "
                "fewer records whose names differ in the namespace only"
            )

    def resolved(self, task: _Task) -> _Pair:
        """Follow references."""
        return self._reader.resolve(task.read), self._writer.resolve(task.written)

    def compare(self, task: _Task) -> Iterator[_Task | _Violation]:
        """Compare two types as far as their parts, which become tasks."""
        self.count_step()
        read, written = self.resolved(task)
        if isinstance(written, Union):
            yield from self._from_union(task, read, written)
        elif isinstance(read, Union):
            if not self._is_read(read, written):
                yield _Lack(read, written, task.place, task.explained_depth)
        elif type(read) is not type(written) or isinstance(read, Primitive):
            if not _is_promoted(kind_of(written), kind_of(read)):
                yield partial(self._reasons.type_mismatch, read, written, task.place, task.of)
        else:
            yield from self._of_one_kind(task, read, written)

    def _from_union(self, task: _Task, read: Type, union: Union) -> Iterator[_Task | _Violation]:
        for index, branch in enumerate(union.branches):
            place = task.place.at(str(index))
            if not isinstance(read, Union):
                yield _Task(read, branch, place, union, task.explained_depth)
            elif not self._is_read(read, branch):
                yield _Lack(read, branch, place, task.explained_depth)

    def _of_one_kind(self, task: _Task, read: Type, written: Type) -> Iterator[_Task | _Violation]:
        place = task.place
        match read, written:
            case Array(), Array():
                yield task.inside(read.items, written.items, place.at("items", "[]"))
            case Map(), Map():
                yield task.inside(read.values, written.values, place.at("values", "{}"))
            case Fixed(), Fixed():
                yield from self._names(read, written, place)
                if read.size != written.size:
                    yield partial(self._reasons.size_mismatch, read, written, place)
            case Enum(), Enum():
                yield from self._names(read, written, place)
                missing = self._symbols(read, written)
                if missing and read.default is None:
                    yield partial(self._reasons.missing_symbols, read, missing, place)
            case Record(), Record():
                yield from self._names(read, written, place)
                for index, field in enumerate(read.fields):
                    inside = place.at(f"fields/{index}", f".{field.name}")
                    yield from self._field(task, (read, written), field, inside)

    def _names(self, read: NamedType, written: NamedType, place: Place) -> Iterator[_Violation]:
        if not _names_match(read, written):
            yield partial(self._reasons.name_mismatch, read, written, place)

    def _field(
        self, task: _Task, records: tuple[Record, Record], field: Field, place: Place
    ) -> Iterator[_Task | _Violation]:
        """Compare a field with what the writer has for it."""
        read, written = records
        if written.name not in self._fields:
            self._fields[written.name] = {each.name: each for each in written.fields}
        theirs = self._fields[written.name]
        names = dict.fromkeys((field.name, *field.aliases))
        found = [theirs[name] for name in names if name in theirs]
        if len(found) > 1:
            yield partial(self._reasons.two_writers_fields, read, field, found, place)
        elif found:
            yield task.inside(field.type, found[0].type, place.at("type"))
        elif field.default is ABSENT:
            yield partial(self._reasons.missing_default, read, field, written, place)

    def _symbols(self, read: Enum, written: Enum) -> list[str]:
        pair = (read, written)
        if pair not in self._missing_symbols:
            known = frozenset(read.symbols)
            self._missing_symbols[pair] = [s for s in written.symbols if s not in known]
        return self._missing_symbols[pair]

    # Unions of the reader.

    def _is_read(self, union: Union, written: Node) -> bool:
        return any(
            self._verdicts.fit(_Task(b, written, Place())) for b in self._likely(union, written)
        )

    def _likely(self, union: Union, node: Node) -> list[Node]:
        """List the branches of a reader's union that could read a type of the writer's."""
        if union not in self._branches:
            self._branches[union] = self._index(union)
        index = self._branches[union]
        written = self._writer.resolve(node)
        kind = kind_of(written)
        if not isinstance(written, Record | Enum | Fixed):
            kinds = (kind, *READ_BY.get(kind, ()))
            return [branch for each in kinds for branch in index.get((each, ""), ())]
        by_name = index.get((kind, simple_name(written.name)), ())
        by_alias = index.get((kind, f"alias {written.name}"), ())
        return list(dict.fromkeys([*by_name, *by_alias]))

    def _index(self, union: Union) -> dict[tuple[str, str], list[Node]]:
        index: dict[tuple[str, str], list[Node]] = {}
        for branch in union.branches:
            found = self._reader.resolve(branch)
            names = [""]
            if isinstance(found, Record | Enum | Fixed):
                names = [simple_name(found.name), *(f"alias {alias}" for alias in found.aliases)]
            for name in names:
                index.setdefault((kind_of(found), name), []).append(branch)
        return index

    def _no_branch(self, lack: _Lack) -> Incompatibility:
        """Tell that a union lacks a branch, or why the one that it seems to have does not do."""
        nested: list[Incompatibility] = []
        depth = lack.explained_depth + 1
        if depth <= _EXPLAINED_DEPTH_MAX:
            for branch in self._likely(lack.union, lack.written)[:_NESTED_MAX]:
                deeper = _Task(branch, lack.written, lack.place, explained_depth=depth)
                nested += self._first_reasons(deeper)
        return self._reasons.missing_branch(
            lack.union, lack.written, lack.place, nested[:_NESTED_MAX]
        )

    def _first_reasons(self, task: _Task) -> list[Incompatibility]:
        """List some reasons; those between two types are found, and so placed, only once."""
        key = (*self.resolved(task), task.explained_depth)
        if key not in self._explained:
            self._explained[key] = list(islice(self.violations(task), _NESTED_MAX))
        return self._explained[key]


class _Verdicts:
    """Whether types fit, where only yes or no is asked.

    Whether one pair fits depends on whether others do, in circles where records refer to one
    another. All pairs are taken to fit until something speaks against it; then those that were
    concluded from it are looked at again. What is left cannot be contradicted.
    """

    def __init__(self, comparison: _Comparison) -> None:
        self._comparison = comparison
        self._tasks: dict[_Pair, _Task] = {}
        self._failed: set[_Pair] = set()
        self._dependents: dict[_Pair, set[_Pair]] = {}
        self._open: list[_Pair] = []
        self._current: _Pair | None = None
        self._is_settling = False

    def fit(self, task: _Task) -> bool:
        """Say whether the reader's type reads what the writer's type writes."""
        if self._is_settling:
            return self._holds(task)
        self._is_settling = True
        try:
            holds = self._holds(task)
            self._settle()
            return holds and self._holds(task)
        finally:
            self._is_settling = False

    def _settle(self) -> None:
        while self._open:
            pair = self._current = self._open.pop()
            if pair not in self._failed and not self._all_hold(self._tasks[pair]):
                self._failed.add(pair)
                self._open += self._dependents.pop(pair, ())
        self._current = None

    def _holds(self, task: _Task) -> bool:
        """Ask under what is taken for granted so far."""
        self._comparison.count_step()
        pair = read, written = self._comparison.resolved(task)
        if isinstance(read, Primitive) and isinstance(written, Primitive):
            return _is_promoted(written.kind, read.kind)
        if pair not in self._tasks:
            self._tasks[pair] = task
            self._open.append(pair)
        if self._current is not None:
            self._dependents.setdefault(pair, set()).add(self._current)
        return pair not in self._failed

    def _all_hold(self, task: _Task) -> bool:
        for item in self._comparison.compare(task):
            if not isinstance(item, _Task) or not self._holds(item):
                return False
        return True


def _names_match(read: NamedType, written: NamedType) -> bool:
    """Match names without namespaces, and the reader's aliases with the writer's full name."""
    return simple_name(read.name) == simple_name(written.name) or written.name in read.aliases


def _is_promoted(written: str, read: str) -> bool:
    return written == read or read in READ_BY.get(written, ())
