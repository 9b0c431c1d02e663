"""Schemas parsed with what they refer to, and kept parsed while they are used.

Must never know: who asks, how the types parse.
"""

from __future__ import annotations

from collections import OrderedDict
from importlib import import_module
from typing import TYPE_CHECKING, Final

from registry.errors import UnusableSchema
from registry.names import within
from schemas.schema import SCHEMA_CHARACTERS_MAX, Dependency, InvalidSchema, SchemaType

if TYPE_CHECKING:
    from registry.model import Body
    from registry.state import State
    from schemas.schema import Parse, Schema

PARSED_MAX: Final = 1_000
DEPTH_MAX: Final = 32
DEPENDENCIES_MAX: Final = 1_000

_MODULES: Final = {
    SchemaType.AVRO: "schemas.avro",
    SchemaType.JSON: "schemas.json",
    SchemaType.PROTOBUF: "schemas.protobuf",
}


class Parser:
    """Parses schemas; the most recently used ones are kept."""

    def __init__(self) -> None:
        self._kept: OrderedDict[tuple[bytes, ...], Schema] = OrderedDict()

    def parse(self, state: State, subject: str, body: Body, *, deleted_too: bool = False) -> Schema:
        """Parse a schema that is, or is to be, registered under a subject.

        Its references are looked up in `state`, in the context of the subject, among the versions
        that were deleted softly as well where `deleted_too`.
        Raises: UnusableSchema, which says what is wrong with it.
        """
        lookup = _Lookup(state, deleted_too=deleted_too)
        dependencies = lookup.dependencies(subject, body, ())
        key = (body.digest, *lookup.digests())
        if (kept := self._kept.get(key)) is not None:
            self._kept.move_to_end(key)
            return kept
        if len(body.text) > SCHEMA_CHARACTERS_MAX:
            raise UnusableSchema(
                f"Invalid schema: {len(body.text)} characters, {SCHEMA_CHARACTERS_MAX} are accepted"
            )
        try:
            parsed = _parse(body.type)(body.text, dependencies)
        except InvalidSchema as error:
            raise UnusableSchema(f"Invalid schema of type {body.type}: {error}") from error
        self._kept[key] = parsed
        if len(self._kept) > PARSED_MAX:
            self._kept.popitem(last=False)
        return parsed


class _Lookup:
    """Finds what a schema refers to, and what that refers to, each schema once."""

    def __init__(self, state: State, *, deleted_too: bool) -> None:
        self._state = state
        self._deleted_too = deleted_too
        self._found: dict[tuple[str, int], tuple[Body, tuple[Dependency, ...]]] = {}

    def dependencies(
        self, subject: str, body: Body, path: tuple[tuple[str, int], ...]
    ) -> tuple[Dependency, ...]:
        """Find what a schema refers to. `path` leads to it from where the search began."""
        if len(path) > DEPTH_MAX:
            raise UnusableSchema(f"Invalid schema: references are more than {DEPTH_MAX} deep")
        dependencies = []
        for reference in body.references:
            target = (within(subject, reference.subject), reference.version)
            if target not in self._found:
                self._find(target, reference.name, path)
            found, its_own = self._found[target]
            dependencies.append(Dependency(reference.name, found.text, its_own))
        return tuple(dependencies)

    def digests(self) -> list[bytes]:
        """Tell what was found, in the order in which it was found."""
        return [body.digest for body, _ in self._found.values()]

    def _find(self, target: tuple[str, int], name: str, path: tuple[tuple[str, int], ...]) -> None:
        if len(self._found) >= DEPENDENCIES_MAX:
            raise UnusableSchema(
                f"Invalid schema: it refers to more than {DEPENDENCIES_MAX} others"
            )
        subject, number = target
        if target in path:
            raise UnusableSchema(f"Invalid schema: {subject} version {number} refers to itself")
        version = self._state.version(subject, number)
        if version is None or (version.deleted and not self._deleted_too):
            raise UnusableSchema(
                f'Invalid schema: it refers to "{name}", version {number} of subject "{subject}", '
                "which is not registered: register that one first"
            )
        its_own = self.dependencies(subject, version.body, (*path, target))
        self._found[target] = (version.body, its_own)


def _parse(kind: SchemaType) -> Parse:
    # Each type's library is imported when its first schema comes: few use all of them.
    parse: Parse = import_module(_MODULES[kind]).parse
    return parse
