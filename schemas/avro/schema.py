"""Avro schemas: parsed, printed, compared and held against payloads.

What is refused beyond what Apache Avro for Java refuses, and why, is told in `avro_parser`,
`avro_default` and `avro_width`; in short, whatever makes reading fail somewhere. Logical types that
do not fit what they annotate are properties like any other, as the specification wants it.
Must never know: HTTP, subjects, versions, where schemas are kept.
Source: Apache Avro 1.12 specification.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Final

from schemas.avro.compatibility import incompatibilities
from schemas.avro.default import check_defaults
from schemas.avro.parser import read
from schemas.avro.payload import STACK_MAX, PayloadCheck
from schemas.avro.text import as_normal, as_resolved, as_written, definition
from schemas.avro.width import Widths
from schemas.schema import SCHEMA_CHARACTERS_MAX, InvalidSchema, SchemaType

if TYPE_CHECKING:
    from collections.abc import Sequence

    from schemas.avro.model import Model, NamedType
    from schemas.schema import Dependency, Incompatibility, Schema

DEPENDENCY_DEPTH_MAX: Final = 100
"""How long a chain of schemas may be in which each refers to the next."""


class AvroSchema:
    """A parsed Avro schema; immutable."""

    type: Final = SchemaType.AVRO

    def __init__(self, model: Model) -> None:
        self._model = model
        self.text: Final = as_written(model)
        """The schema as Apache Avro for Java prints it."""

    @cached_property
    def normalized(self) -> str:
        """The schema in a normal form: full names, sorted properties; itself a schema."""
        return as_normal(self._model)

    def resolved(self) -> str:
        """Give the schema with the types of its dependencies in it. Raises: InvalidSchema."""
        try:
            return as_resolved(self._model)
        except RecursionError:
            raise InvalidSchema(
                "its references are nested too deep in one another to be written as one schema; "
                "fetch them one by one"
            ) from None

    @cached_property
    def _payloads(self) -> PayloadCheck:
        return PayloadCheck(self._model)

    def incompatibilities(self, writer: Schema) -> list[Incompatibility]:
        """Tell all that keeps this schema from reading what was written with another."""
        assert isinstance(writer, AvroSchema), "only schemas of one type are compared"
        return incompatibilities(self._model, writer._model)  # noqa: SLF001 - one of us

    def check_payload(self, payload: bytes | memoryview, *, depth_max: int = STACK_MAX) -> None:
        """Walk through a payload, with `depth_max` values inside of one another at most.

        Arrays and maps count twice. Raises: InvalidPayload, which names the field.
        """
        self._payloads.check(payload, depth_max=depth_max)


def parse(text: str, dependencies: Sequence[Dependency] = ()) -> AvroSchema:
    """Parse a schema that may use the named types of others.

    Dependencies come into play in their order, each after its own: a type of an earlier one may be
    used in a later one. Two of them may define the same type, if they do it alike.
    Raises: InvalidSchema, which says where in the JSON, and what would do.
    """
    try:
        types: dict[str, NamedType] = {}
        _Dependencies(types).add(dependencies, depth=0)
        return AvroSchema(_model(text, types))
    except RecursionError:
        raise InvalidSchema(
            "the schema is nested too deep for this place; define its inner records first"
        ) from None


class _Dependencies:
    """Collects what dependencies define."""

    def __init__(self, types: dict[str, NamedType]) -> None:
        self._types = types
        self._seen: set[tuple[str, str]] = set()

    def add(self, dependencies: Sequence[Dependency], *, depth: int) -> None:
        """Add the types of dependencies, each after those that it needs. Raises: InvalidSchema."""
        if depth > DEPENDENCY_DEPTH_MAX:
            raise InvalidSchema(
                f"a chain of more than {DEPENDENCY_DEPTH_MAX} schemas that refer to one another; "
                "put some of them together"
            )
        for dependency in dependencies:
            if (dependency.name, dependency.text) in self._seen:
                continue
            self._seen.add((dependency.name, dependency.text))
            self.add(dependency.dependencies, depth=depth + 1)
            try:
                self._types.update(_model(dependency.text, self._types).types)
            except InvalidSchema as error:
                raise InvalidSchema(f'in dependency "{dependency.name}": {error}') from None


def _model(text: str, known: dict[str, NamedType]) -> Model:
    """Read one text and check all that can only be checked at its end."""
    if len(text) > SCHEMA_CHARACTERS_MAX:
        raise InvalidSchema(
            f"the schema has {len(text):,} characters, at most {SCHEMA_CHARACTERS_MAX:,} are "
            "taken; move parts of it into schemas of their own and refer to them"
        )
    model, own = read(text, known)
    for named in own:
        if named.name in known and definition(model, named) != definition(model, known[named.name]):
            raise InvalidSchema(
                f'"{named.name}" is defined otherwise in a dependency; use its name alone, '
                "or give the new type another one"
            )
    check_defaults(model, own)
    Widths(model)
    return model
