"""JSON Schemas for tests, in few words, and what one loses of another."""

from __future__ import annotations

import json

from schemas.json_schema.schema import parse

STRING, NUMBER, INTEGER, NULL = ({"type": each} for each in ("string", "number", "integer", "null"))
BOOLEAN, ARRAY, OBJECT = ({"type": each} for each in ("boolean", "array", "object"))
DRAFT_2019 = {"$schema": "https://json-schema.org/draft/2019-09/schema"}
DRAFT_2020 = {"$schema": "https://json-schema.org/draft/2020-12/schema"}


def having(more=None, /, **properties):
    """A schema for objects with properties, open unless `more` is False or a schema."""
    made = {"type": "object", "properties": properties}
    return made if more is None else {**made, "additionalProperties": more}


def listing(*items, more=None):
    """A schema for arrays whose first items are listed."""
    made = {"type": "array", "items": list(items)}
    return made if more is None else {**made, "additionalItems": more}


def tagged(tag, **properties):
    return {**having(kind={"const": tag}, **properties), "required": ["kind"]}


def found(writer, reader, dependencies=()):
    made = [parse(json.dumps(each), dependencies) for each in (writer, reader)]
    return made[1].incompatibilities(made[0])


def rules(writer, reader):
    return [f"{each.rule} {each.path}" for each in found(writer, reader)]
