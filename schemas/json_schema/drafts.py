"""The drafts of JSON Schema: which one a text is written in, what it knows, and its validator.

Must never know: references between schemas, compatibility, registries.
"""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING, Any, Final

import jsonschema
from jsonschema.validators import extend
from msgspec import Struct
from referencing.jsonschema import DRAFT4, DRAFT6, DRAFT7, DRAFT201909, DRAFT202012

from schemas.json_schema.text import canonical, shown
from schemas.schema import InvalidSchema

if TYPE_CHECKING:
    from collections.abc import Iterator

    from referencing import Specification

ONE_SCHEMA: Final = frozenset(
    {
        "additionalItems",
        "additionalProperties",
        "contains",
        "contentSchema",
        "else",
        "if",
        "items",
        "not",
        "propertyNames",
        "then",
        "unevaluatedItems",
        "unevaluatedProperties",
    }
)
"""Keywords whose value is a schema (`items` may be a list of them, before 2020-12)."""

SCHEMA_LISTS: Final = frozenset({"allOf", "anyOf", "oneOf", "prefixItems"})
SCHEMA_MAPS: Final = frozenset(
    {
        "$defs",
        "definitions",
        "dependencies",
        "dependentSchemas",
        "patternProperties",
        "properties",
    }
)
"""Keywords whose value maps names to schemas (`dependencies` also to lists of names)."""


class Draft(Struct, frozen=True):
    """One draft: its name, what validates its schemas, and the keywords that this heeds."""

    number: int
    uri: str
    specification: Specification[Any]
    validator: Any
    keywords: frozenset[str]
    holders: frozenset[str]
    """The keywords that hold schemas, and whose values its metaschema checks."""

    @property
    def hides_siblings_of_ref(self) -> bool:
        """Whether nothing else counts in an object that has "$ref"."""
        return self.number <= 7

    @property
    def has_prefix_items(self) -> bool:
        """Whether "prefixItems" lists the first items, and "items" is for the rest."""
        return self.number >= 2020


def _multiple_of(_validator: Any, step: Any, instance: Any, _schema: Any) -> Iterator[Any]:
    """Check multipleOf by decimals as they are written: 0.3 is a multiple of 0.1."""
    if isinstance(instance, bool) or not isinstance(instance, int | float):
        return
    if exact(instance) % exact(step):
        yield jsonschema.ValidationError(f"{shown(instance)} is not a multiple of {shown(step)}")


def _unique_items(_validator: Any, wanted: Any, instance: Any, _schema: Any) -> Iterator[Any]:
    """Check uniqueItems in one pass: comparing each item with each other takes too long."""
    if not wanted or not isinstance(instance, list):
        return
    if len({canonical(item) for item in instance}) != len(instance):
        yield jsonschema.ValidationError("an item is there twice")


def _named(check: Any) -> Any:
    """Check properties, and say of a forbidden one (false) which it is: the library does not."""

    def properties(validator: Any, named: Any, instance: Any, schema: Any) -> Iterator[Any]:
        if not isinstance(instance, dict):
            return
        for name, inner in named.items():
            if inner is False and name in instance:
                yield jsonschema.ValidationError(
                    "it may not be there",
                    validator="properties",
                    validator_value=False,
                    path=(name,),
                    instance=instance[name],
                    schema=schema,
                )
        yield from check(validator, named, instance, schema)

    return properties


def _after_listed(check: Any) -> Any:
    """Check additionalItems only beside a list of items: the library stumbles over "items": true.

    Anywhere else it means nothing.
    """

    def additional_items(validator: Any, more: Any, instance: Any, schema: Any) -> Iterator[Any]:
        if isinstance(schema.get("items"), list):
            yield from check(validator, more, instance, schema) or ()

    return additional_items


def exact(number: int | float) -> Fraction:
    """Give a number as it is written in decimals, not as a double holds it."""
    return Fraction(number) if isinstance(number, int) else Fraction(repr(number))


def _draft(
    number: int, uri: str, specification: Specification[Any], validator: Any
) -> tuple[str, Draft]:
    changed = {
        "multipleOf": _multiple_of,
        "properties": _named(validator.VALIDATORS["properties"]),
        "uniqueItems": _unique_items,
    }
    if "additionalItems" in validator.VALIDATORS:
        changed["additionalItems"] = _after_listed(validator.VALIDATORS["additionalItems"])
    ours = extend(validator, changed)
    # What the library reads together with "minimum", "if" and "contains".
    others = {"exclusiveMinimum", "exclusiveMaximum"}
    others |= {"then", "else"} if number >= 7 else set()
    others |= {"minContains", "maxContains"} if number >= 2019 else set()
    keywords = frozenset(validator.VALIDATORS) | others
    holders = keywords & (ONE_SCHEMA | SCHEMA_LISTS | SCHEMA_MAPS) | {"definitions"}
    holders |= {"$defs", "contentSchema"} if number >= 2019 else set()
    return uri.partition("://")[2], Draft(number, uri, specification, ours, keywords, holders)


_DRAFTS: Final = dict(
    (
        _draft(4, "http://json-schema.org/draft-04/schema", DRAFT4, jsonschema.Draft4Validator),
        _draft(6, "http://json-schema.org/draft-06/schema", DRAFT6, jsonschema.Draft6Validator),
        _draft(7, "http://json-schema.org/draft-07/schema", DRAFT7, jsonschema.Draft7Validator),
        _draft(
            2019,
            "https://json-schema.org/draft/2019-09/schema",
            DRAFT201909,
            jsonschema.Draft201909Validator,
        ),
        _draft(
            2020,
            "https://json-schema.org/draft/2020-12/schema",
            DRAFT202012,
            jsonschema.Draft202012Validator,
        ),
    )
)
DEFAULT_DRAFT: Final = _DRAFTS["json-schema.org/draft-07/schema"]
"""What a schema without "$schema" is written in, as in the public registry."""


def draft_of(contents: Any, default: Draft = DEFAULT_DRAFT) -> Draft:
    """Find the draft of a schema by its "$schema".

    Raises: InvalidSchema for a draft that is not known.
    """
    uri = contents.get("$schema") if isinstance(contents, dict) else None
    if uri is None:
        return default
    name = uri.rstrip("#").partition("://")[2] if isinstance(uri, str) else ""
    if name not in _DRAFTS:
        known = ", ".join(draft.uri for draft in _DRAFTS.values())
        raise InvalidSchema(
            f'"$schema" is {shown(uri)}, which is no draft known here: write one of {known}, '
            f"or leave it out for {default.uri}"
        )
    return _DRAFTS[name]
