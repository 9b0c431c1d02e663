"""Random schemas, schemas that are near to them, and values that have a chance to be valid.

A `random.Random` decides, so that hypothesis can hand in its own, and shrink what it finds.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from random import Random

NAMES = ["a", "ab", "b", "c"]
PATTERNS = ["^a", "^b", "b$", "."]
SCALARS = [None, True, False, 0, 1, 2, 1.0, 1.5, 3, -1, 6, "", "a", "ab", "b", "bbb", "c"]
TYPES = ["null", "boolean", "integer", "number", "string", "array", "object"]
SMALL = [0, 1, 2, 3]
BOUNDS = [-1, 0, 1, 1.5, 2, 3]
CHOICES = ("allOf", "anyOf", "oneOf")


def value(random: Random, depth: int = 3) -> Any:
    kind = random.randrange(4) if depth else 0
    if kind == 2:
        return [value(random, depth - 1) for _ in range(random.randrange(4))]
    if kind == 3:
        names = random.sample(NAMES, random.randrange(len(NAMES)))
        return {name: value(random, depth - 1) for name in names}
    return random.choice(SCALARS)


def schema(random: Random, depth: int = 3, *, number: int = 7) -> Any:
    """Make a schema for a draft, whose "definitions" x and y there are, one level up or more."""
    if random.randrange(12) == 0:
        return random.choice([True, False, {}])
    made: dict[str, Any] = {}
    if random.randrange(2):
        kind = random.choice([*TYPES, "object", "object"])
        made["type"] = kind if random.randrange(3) else sorted({kind, random.choice(TYPES)})
    for _ in range(random.randrange(1, 4)):
        made.update(keyword(random, depth, number))
    return made


def keyword(random: Random, depth: int, number: int) -> dict[str, Any]:
    """Make one keyword, or two that belong together."""
    inner = [_properties, _properties, _properties, _items, _items, _choice, _choice, _others]
    return random.choice([_scalar, _scalar, *(inner if depth else [])])(random, depth - 1, number)


def _scalar(random: Random, _depth: int, number: int) -> dict[str, Any]:
    return random.choice(
        [
            lambda: {random.choice(["minimum", "maximum"]): random.choice(BOUNDS)},
            lambda: {
                random.choice(["exclusiveMinimum", "exclusiveMaximum"]): random.choice(BOUNDS)
            },
            lambda: {"multipleOf": random.choice([0.5, 1, 2, 3, 6])},
            lambda: {random.choice(["minLength", "maxLength"]): random.choice(SMALL)},
            lambda: {random.choice(["minItems", "maxItems"]): random.choice(SMALL)},
            lambda: {random.choice(["minProperties", "maxProperties"]): random.choice(SMALL)},
            lambda: {"pattern": random.choice(PATTERNS)},
            lambda: {"enum": [value(random, 1) for _ in range(random.randrange(1, 4))]},
            lambda: {"const": value(random, 2)},
            lambda: {"uniqueItems": True},
            lambda: {"required": random.sample(NAMES, random.randrange(1, 3))},
            lambda: {"$ref": random.choice(["#/definitions/x", "#/definitions/y"])},
        ]
    )()


def _properties(random: Random, depth: int, number: int) -> dict[str, Any]:
    names = random.sample(NAMES, random.randrange(1, 3))
    made: dict[str, Any] = {
        "properties": {name: schema(random, depth, number=number) for name in names}
    }
    if random.randrange(3) == 0:
        made["required"] = random.sample(names, random.randrange(1, len(names) + 1))
    if random.randrange(2):
        made["additionalProperties"] = random.choice(
            [False, False, schema(random, depth, number=number)]
        )
    if random.randrange(4) == 0:
        made["patternProperties"] = {random.choice(PATTERNS): schema(random, depth, number=number)}
    if number >= 2019 and random.randrange(4) == 0:
        made.pop("additionalProperties", None)
        made["unevaluatedProperties"] = random.choice(
            [False, False, schema(random, depth, number=number)]
        )
    return made


def _items(random: Random, depth: int, number: int) -> dict[str, Any]:
    first, rest = ("prefixItems", "items") if number == 2020 else ("items", "additionalItems")
    made: dict[str, Any] = {"items": schema(random, depth, number=number)}
    if random.randrange(2):
        made = {
            first: [schema(random, depth, number=number) for _ in range(random.randrange(1, 3))]
        }
        if random.randrange(3):
            made[rest] = random.choice([False, schema(random, depth, number=number)])
    if random.randrange(4) == 0:
        made["contains"] = schema(random, depth, number=number)
        if number >= 2019 and random.randrange(2):
            made[random.choice(["minContains", "maxContains"])] = random.choice(SMALL)
    if number >= 2019 and random.randrange(5) == 0:
        made["unevaluatedItems"] = random.choice([False, schema(random, depth, number=number)])
    return made


def _choice(random: Random, depth: int, number: int) -> dict[str, Any]:
    branches = [schema(random, depth, number=number) for _ in range(random.randrange(1, 4))]
    return {random.choice(CHOICES): branches}


def _others(random: Random, depth: int, number: int) -> dict[str, Any]:
    one = schema(random, depth, number=number)
    old = number < 2019
    return random.choice(
        [
            {"not": one},
            {"not": one},
            {"if": one, "then": schema(random, depth, number=number)},
            {
                "if": one,
                "then": schema(random, depth, number=number),
                "else": schema(random, depth, number=number),
            },
            {"propertyNames": one},
            {"dependencies" if old else "dependentSchemas": {random.choice(NAMES): one}},
            {
                "dependencies" if old else "dependentRequired": {
                    random.choice(NAMES): [random.choice(NAMES)]
                }
            },
        ]
    )


def near(random: Random, made: Any, *, number: int = 7) -> Any:
    """Make a schema that differs a little from another one, mostly by accepting more."""
    act = random.randrange(10)
    if isinstance(made, bool) or act == 0:
        return random.choice([True, made, schema(random, 1, number=number)])
    changed = dict(made)
    if act == 1:
        changed.update(keyword(random, 1, number))
    elif act in {2, 3} and changed:
        del changed[random.choice(list(changed))]
    elif act == 4:
        return {
            random.choice(CHOICES): [made, schema(random, 1, number=number)][
                :: random.choice([1, -1])
            ]
        }
    elif changed:
        at = random.choice(list(changed))
        changed[at] = _near_value(random, at, changed[at], number)
    return changed


def _near_value(random: Random, at: str, held: Any, number: int) -> Any:
    if at in {"properties", "patternProperties", "dependentSchemas"}:
        name = random.choice([*held, random.choice(PATTERNS if at[:2] == "pa" else NAMES)])
        if name in held and random.randrange(4) == 0:
            return {each: inner for each, inner in held.items() if each != name}
        return {**held, name: near(random, held.get(name, True), number=number)}
    if at in {*CHOICES, "prefixItems"} or (at == "items" and isinstance(held, list)):
        spot = random.randrange(len(held))
        inner = near(random, held[spot], number=number)
        return random.choice(
            [
                [*held[:spot], inner, *held[spot + 1 :]],
                [*held, schema(random, 1, number=number)],
                held[:spot] + held[spot + 1 :] or held,
                held[::-1],
            ]
        )
    if at in {"enum", "required"}:
        return (
            [*held, random.choice(NAMES)]
            if random.randrange(2) and at == "enum"
            else held[1:] or held
        )
    if at == "type":
        return sorted({*([held] if isinstance(held, str) else held), random.choice(TYPES)})
    if isinstance(held, bool) and at == "uniqueItems":
        return not held
    if isinstance(held, int | float) and not isinstance(held, bool) and at != "multipleOf":
        return max(0, held + random.choice([-1, 1]))
    if isinstance(held, dict | bool) and at not in {"dependencies", "dependentRequired", "const"}:
        return near(random, held, number=number)
    return held


def document(random: Random, *, number: int = 7) -> dict[str, Any]:
    """Make a schema with its definitions, of which y may return to itself, and to x."""
    inner = {"type": "object", "properties": {random.choice(NAMES): {"$ref": "#/definitions/y"}}}
    return {
        "allOf": [schema(random, 2, number=number)],
        "definitions": {
            "x": without_references(schema(random, 2, number=number)),
            "y": random.choice([inner, without_references(schema(random, 2, number=number))]),
        },
    }


def near_document(random: Random, made: dict[str, Any], *, number: int = 7) -> dict[str, Any]:
    names = ["x"] if random.randrange(2) else []
    changed = {
        name: without_references(near(random, each, number=number)) if name in names else each
        for name, each in made["definitions"].items()
    }
    top = made["allOf"][0]
    for _ in range(random.randrange(1, 4)):
        top = near(random, top, number=number)
    return {"allOf": [top], "definitions": changed}


def without_references(made: Any) -> Any:
    if isinstance(made, dict):
        return {key: without_references(each) for key, each in made.items() if key != "$ref"}
    return [without_references(each) for each in made] if isinstance(made, list) else made
