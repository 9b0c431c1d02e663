"""Schemas parsed with what they refer to, and compared; what was found out is kept.

Must never know: who asks, how the types parse.
"""

from __future__ import annotations

from functools import partial
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final, TypeVar

from registry.compatibility import Earlier, Level, violations
from registry.errors import UnusableSchema
from registry.kept import Kept
from registry.names import within
from schemas.schema import SCHEMA_CHARACTERS_MAX, Dependency, InvalidSchema, SchemaType

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from registry.compatibility import Violation
    from registry.model import Body, Version
    from registry.state import State
    from schemas.schema import Parse, Schema

ROUNDS_MAX: Final = 5_000
"""How many steps one decision may take; it parses and compares each version by itself."""

DEPTH_MAX: Final = 32
DEPENDENCIES_MAX: Final = 1_000

Answer = TypeVar("Answer")

_Contents = tuple[bytes, ...]
"""The digest of a schema, and of each that it refers to."""

_MODULES: Final = {
    SchemaType.AVRO: "schemas.avro",
    SchemaType.JSON: "schemas.json_schema",
    SchemaType.PROTOBUF: "schemas.protobuf",
}


class Uncomputed(Exception):
    """Something is not known yet that takes long to find out; `compute` does, in any thread.

    Whoever catches it has that done, calls `keep`, in the thread that decides, and decides again.
    """

    def __init__(self, find_out: Callable[[], Any], keep: Callable[[Any], None]) -> None:
        super().__init__("not computed yet")
        self._find_out = find_out
        self._keep = keep
        self._found: Any = None

    def compute(self) -> None:
        """Find it out, or why it cannot be had."""
        try:
            self._found = self._find_out()
        except InvalidSchema as error:
            self._found = UnusableSchema(f"Invalid schema: {error}")

    def give_up(self, why: str) -> None:
        """Have it refused for a reason from now on, where `compute` has failed."""
        self._found = UnusableSchema(why)

    def keep(self) -> None:
        """Have it at hand when it is asked for next."""
        self._keep(self._found)


class Parser:
    """Parses and compares schemas; what was found out lately is kept, refusals as well.

    A schema of foreign hands can take seconds to parse, and to compare. With `elsewhere`, a way to
    run a function in a thread, nothing is found out in the caller's own time: Uncomputed is raised
    instead, and `settle` has it found out there.
    """

    def __init__(self, elsewhere: Callable[[Callable[[], None]], Awaitable[None]] | None) -> None:
        self._elsewhere = elsewhere
        # Apart, so that long schemas push out no result of the comparisons of one decision.
        self._parsed = Kept()
        self._compared = Kept()

    async def settle(self, act: Callable[[], Awaitable[Answer]]) -> Answer:
        """Do something that may raise Uncomputed, again and again until it does not.

        Raises: what `act` raises.
        """
        elsewhere = self._elsewhere
        assert elsewhere is not None, "without it nothing is ever uncomputed"
        for _ in range(ROUNDS_MAX):
            try:
                return await act()
            except Uncomputed as missing:
                await elsewhere(missing.compute)
                missing.keep()
        raise UnusableSchema(
            f"Invalid schema: it takes more than {ROUNDS_MAX} steps to hold it against the "
            "subject's versions; delete some of them, or set another compatibility level"
        )

    def parse(self, state: State, subject: str, body: Body, *, deleted_too: bool = False) -> Schema:
        """Parse a schema that is, or is to be, registered under a subject.

        Its references are looked up in `state`, in the context of the subject, among the versions
        that were deleted softly as well where `deleted_too`.
        Raises: UnusableSchema, which says what is wrong with it; Uncomputed.
        """
        lookup = _Lookup(state, deleted_too=deleted_too)
        dependencies = lookup.dependencies(subject, body, ())
        key = (body.digest, *lookup.digests())
        characters = len(body.text) + lookup.characters
        schema: Schema = self._known(
            self._parsed, key, lambda: partial(_parse, body, dependencies), lambda _: characters
        )
        return schema

    def violations(
        self, state: State, level: Level, new: tuple[str, Body, Schema], earlier: Sequence[Version]
    ) -> list[Violation]:
        """Hold a schema, given with its subject, against those earlier versions that a level names.

        `earlier` is in ascending order. Raises: UnusableSchema, Uncomputed.
        """
        if level is Level.NONE:
            return []
        subject, body, schema = new
        contents = _contents(state, subject, body, deleted_too=False)
        compared = earlier if level.is_transitive else earlier[-1:]
        return [
            each
            for old in reversed(compared)
            for each in self._against(state, level, (contents, schema), old)
        ]

    def _against(
        self, state: State, level: Level, new: tuple[_Contents, Schema], old: Version
    ) -> list[Violation]:
        """Hold a schema against one version, which is parsed only where that is not known."""
        contents, schema = new

        def compare() -> Callable[[], list[Violation]]:
            parsed = self.parse(state, old.subject, old.body, deleted_too=old.deleted)
            return partial(violations, level, schema, [Earlier(old.version, parsed)])

        theirs = _contents(state, old.subject, old.body, deleted_too=old.deleted)
        key = (level, contents, old.version, theirs)
        found: list[Violation] = self._known(self._compared, key, compare, _characters_told)
        return found

    def _known(
        self,
        kept: Kept,
        key: tuple[object, ...],
        prepare: Callable[[], Callable[[], Any]],
        characters: Callable[[Any], int],
    ) -> Any:
        if key not in kept:

            def keep(found: Any) -> None:
                told = len(str(found)) if isinstance(found, UnusableSchema) else 0
                kept.put(key, found, told or characters(found))

            missing = Uncomputed(prepare(), keep)
            if self._elsewhere is not None:
                raise missing
            missing.compute()
            missing.keep()
        if isinstance(known := kept.get(key), UnusableSchema):
            raise UnusableSchema(str(known))
        return known


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
        """Tell what was found, in the order in which it was found.

        A schema's own digest tells its references by their names, which may stand for something
        else in another context, or later.
        """
        return [body.digest for body, _ in self._found.values()]

    @property
    def characters(self) -> int:
        """How long the texts of what was found are together."""
        return sum(len(body.text) for body, _ in self._found.values())

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


def _contents(state: State, subject: str, body: Body, *, deleted_too: bool) -> _Contents:
    """Tell a schema from all others with what it refers to. Raises: UnusableSchema."""
    lookup = _Lookup(state, deleted_too=deleted_too)
    lookup.dependencies(subject, body, ())
    return body.digest, *lookup.digests()


def _characters_told(found: Sequence[Violation]) -> int:
    return sum(len(str(each)) for each in found)


def _parse(body: Body, dependencies: Sequence[Dependency]) -> Schema:
    if len(body.text) > SCHEMA_CHARACTERS_MAX:
        raise InvalidSchema(f"{len(body.text)} characters, {SCHEMA_CHARACTERS_MAX} are accepted")
    # Each type's library is imported when its first schema comes: few use all of them.
    parse: Parse = import_module(_MODULES[body.type]).parse
    schema = parse(body.text, dependencies)
    _ = schema.text, schema.normalized  # what is made when it is first asked for takes as long
    return schema
