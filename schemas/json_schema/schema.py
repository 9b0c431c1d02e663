"""JSON Schema as a type of the schema registry: parsed, in a normal form, held against payloads.

Drafts 4, 6, 7, 2019-09 and 2020-12, by "$schema"; draft 7 without. "$ref" leads into the schema
itself or into those that it depends on; nothing is fetched. "format" refuses nothing.

Patterns are Python's regular expressions. Schemas are compared in bounded time, whatever their
patterns are. A payload is held against them by `re`, which may take exponential time: (a+)+$ on a
few dozen characters runs for hours, and nothing can stop it. So may an enemy who can register a
schema hold up whoever checks payloads with it; that is to be done in a process that can be given
up.
Must never know: subjects, HTTP, what a payload's header is.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from schemas.json_schema import compatibility
from schemas.json_schema.drafts import draft_of
from schemas.json_schema.nodes import normal
from schemas.json_schema.references import check_contents, decode_schema, load
from schemas.json_schema.text import NotJson, compact, decode, shown, sorted_keys
from schemas.schema import InvalidPayload, InvalidSchema, SchemaType

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from jsonschema import ValidationError

    from schemas.json_schema.nodes import Node
    from schemas.schema import Dependency, Incompatibility, Schema


def parse(text: str, dependencies: Sequence[Dependency] = ()) -> JsonSchema:
    """Parse a JSON Schema; each dependency is known by its name, and relative to this "$id".

    Raises: InvalidSchema.
    """
    contents = decode_schema(text, "the schema")
    draft = draft_of(contents)
    check_contents(contents, draft, "the schema")
    own = compact(contents)
    try:
        own.encode()
    except UnicodeEncodeError as error:
        raise InvalidSchema(
            f"the schema has half of a surrogate pair, {error.object[error.start]!r}: "
            "write the character itself, or both halves"
        ) from None
    root, registry = load(contents, draft, dependencies)
    return JsonSchema(
        text=own,
        normalized=compact(normal(sorted_keys(contents), draft)),
        root=root,
        validator=draft.validator(root.contents, registry=registry),
    )


class JsonSchema(Struct, frozen=True, eq=False):
    """A parsed JSON Schema. Two are equal only if they are the same one."""

    text: str
    normalized: str
    root: Node
    validator: Any

    @property
    def type(self) -> SchemaType:
        """Its type, JSON."""
        return SchemaType.JSON

    def incompatibilities(self, writer: Schema) -> list[Incompatibility]:
        """Tell all that keeps this schema from accepting what another one accepts."""
        assert isinstance(writer, JsonSchema), "schemas of one type are compared"
        return compatibility.incompatibilities(self.root, writer.root)

    def check_payload(self, payload: bytes | memoryview) -> None:
        """Decode a payload as JSON in UTF-8, and validate it. The caller bounds its length.

        Raises: InvalidPayload, which names the value by its JSON path, and the keyword.
        """
        try:
            value = decode(bytes(payload).decode())
        except UnicodeDecodeError as error:
            raise InvalidPayload(
                f"byte {error.start} of the payload is no UTF-8: write JSON in UTF-8"
            ) from None
        except NotJson as error:
            raise InvalidPayload(f"the payload is no JSON: {error}") from None
        try:
            first = next(self.validator.iter_errors(value), None)
            refusal = None if first is None else _told(_nearest(first))
        except RecursionError:
            refusal = "the payload is nested too deep to be checked: use fewer levels"
        except (ArithmeticError, LookupError, TypeError, ValueError) as error:
            refusal = f"the validator cannot judge the payload: {type(error).__name__}: {error}"
        if refusal is not None:
            raise InvalidPayload(refusal)


def _nearest(error: ValidationError) -> ValidationError:
    """Go from a choice that has no fitting schema to what is wrong with the one that fits best.

    That is the one that is refused furthest inside, or that is not refused for its kind.
    """

    def fitness(inner: ValidationError) -> tuple[int, bool]:
        return len(inner.relative_path), inner.validator not in {"type", "enum", "const"}

    while error.context:
        inner = max(error.context, key=fitness)
        if fitness(inner) == (0, False):
            break
        error = inner
    return error


def _told(error: ValidationError) -> str:
    """Say which value breaks which keyword, and how."""
    place = _json_path(error.absolute_path)
    keyword, asked, value = error.validator, error.validator_value, error.instance
    if keyword is None or (asked is False and keyword == "properties"):
        # The library does not say which item it is that an "items": false refuses.
        within = ", or in one of its items," if keyword is None else ""
        return f"{place}{within}: nothing may be there, and {shown(value)} is: leave it out"
    what = f"{shown(value)} breaks {keyword!r}, which is {shown(asked)}"
    if keyword == "required":
        missing = [name for name in asked if name not in value]
        what = f"{shown(missing)} is missing, which breaks 'required': add it"
    elif keyword in {"additionalProperties", "unevaluatedProperties"} and asked is False:
        known = error.schema.get("properties", {})
        patterns = error.schema.get("patternProperties", {})
        extra = [
            name
            for name in value
            if name not in known and not any(re.search(each, name) for each in patterns)
        ]
        what = f"{shown(extra)} may not be there, which breaks {keyword!r}: leave it out"
    return f"{place}: {what}"


def _json_path(steps: Iterable[str | int]) -> str:
    """Write the steps to a value as a JSON path: "$.lines[2].price"."""
    path = "$"
    for step in steps:
        if isinstance(step, int):
            path += f"[{step}]"
        else:
            path += f".{step}" if step.isidentifier() else f"[{shown(step)}]"
    return path
