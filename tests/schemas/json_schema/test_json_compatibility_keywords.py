"""What may become of each keyword of a JSON Schema, from a writer's to a reader's.

Most pairs are facts of the public registry (its examples of compatible and incompatible changes),
told by the writer's schema, the reader's, and what is found.
"""

from __future__ import annotations

import pytest

from tests.support.json_schemas import (
    ARRAY,
    BOOLEAN,
    DRAFT_2019,
    DRAFT_2020,
    INTEGER,
    NULL,
    NUMBER,
    OBJECT,
    STRING,
    having,
    listing,
    rules,
)

# Values

LIMITS = [
    ("maxLength", "MAX_LENGTH", "string", 3, 2),
    ("minLength", "MIN_LENGTH", "string", 2, 3),
    ("maximum", "MAXIMUM", "number", 3, 2.5),
    ("minimum", "MINIMUM", "number", 2, 2.5),
    ("exclusiveMaximum", "EXCLUSIVE_MAXIMUM", "number", 3, 2),
    ("exclusiveMinimum", "EXCLUSIVE_MINIMUM", "number", 2, 3),
    ("maxItems", "MAX_ITEMS", "array", 3, 2),
    ("minItems", "MIN_ITEMS", "array", 2, 3),
    ("maxProperties", "MAX_PROPERTIES", "object", 3, 2),
    ("minProperties", "MIN_PROPERTIES", "object", 2, 3),
]


@pytest.mark.parametrize(("keyword", "name", "kind", "wide", "narrow"), LIMITS)
def test_a_limit_may_be_widened_or_dropped_and_not_added_or_narrowed(
    keyword, name, kind, wide, narrow
):
    free, wider, narrower = (
        {"type": kind},
        {"type": kind, keyword: wide},
        {"type": kind, keyword: narrow},
    )
    change = "DECREASED" if "max" in keyword.lower() else "INCREASED"

    assert rules(wider, wider) == rules(narrower, wider) == rules(wider, free) == []
    assert rules(free, wider) == [f"{name}_ADDED #/{keyword}"]
    assert rules(wider, narrower) == [f"{name}_{change} #/{keyword}"]


@pytest.mark.parametrize(
    ("writer", "reader", "expected"),
    [
        (STRING, STRING, []),
        (INTEGER, NUMBER, []),
        (NUMBER, INTEGER, ["TYPE_NARROWED #/"]),
        (OBJECT, ARRAY, ["TYPE_CHANGED #/"]),
        (STRING, BOOLEAN, ["TYPE_CHANGED #/"]),
        ({}, STRING, ["TYPE_CHANGED #/"]),
        (STRING, {"type": ["string", "null"]}, []),
        ({"type": ["object"]}, {"type": ["object", "array"]}, []),
        ({"type": ["string", "null"]}, STRING, ["SUM_TYPE_NARROWED #/"]),
        ({"type": ["integer", "null"]}, {"type": ["number", "null"]}, []),
        ({"type": ["number", "null"]}, {"type": ["integer", "null"]}, ["TYPE_NARROWED #/"]),
        (STRING, {"type": ["integer", "null"]}, ["TYPE_CHANGED #/"]),
        (STRING, True, []),
        (False, STRING, []),
        (False, False, []),
        (True, {}, []),
        (STRING, False, ["TYPE_CHANGED #/"]),
        ({"properties": {}}, {}, []),
        ({"title": "a", "default": 1}, {"title": "b", "description": "c", "$comment": "d"}, []),
        ({"$id": "http://x/a"}, {"$id": "http://x/b"}, []),
        (STRING, {"type": "string", "format": "date"}, []),
        # Draft 4 takes 1.0 for no integer.
        (INTEGER, {"$schema": "http://json-schema.org/draft-04/schema#", **INTEGER},
         ["TYPE_NARROWED #/"]),
        ({"$schema": "http://json-schema.org/draft-04/schema#", **INTEGER}, INTEGER, []),
    ],
)  # fmt: skip
def test_a_type_may_be_widened(writer, reader, expected):
    assert rules(writer, reader) == expected


@pytest.mark.parametrize(
    ("writer", "reader", "expected"),
    [
        ({"enum": ["a"]}, {"enum": ["a", "b"]}, []),
        ({"enum": ["a", "b"]}, {"enum": ["b", "a"]}, []),
        ({"enum": ["a", "b"]}, {"enum": ["a"]}, ["ENUM_ARRAY_NARROWED #/enum"]),
        ({"enum": ["a", "b"]}, {"enum": ["a", "c"]}, ["ENUM_ARRAY_CHANGED #/enum"]),
        ({"enum": ["a", "b"], **STRING}, STRING, []),
        (STRING, {"enum": ["a"], **STRING}, ["ENUM_ARRAY_NARROWED #/enum"]),
        ({"enum": ["a", "b"]}, INTEGER, ["TYPE_CHANGED #/"]),
        ({"enum": ["a", "bb"]}, {"maxLength": 2, "pattern": "[ab]"}, []),
        ({"enum": ["a", "bbb"]}, {"maxLength": 2}, ["MAX_LENGTH_ADDED #/maxLength"]),
        ({"enum": [2, 4]}, {"multipleOf": 2, "minimum": 2, "exclusiveMaximum": 5}, []),
        ({"const": 1}, {"enum": [1.0, 2]}, []),
        ({"const": 1}, {"const": True}, ["ENUM_ARRAY_CHANGED #/const"]),
        ({"const": None}, {"const": None}, []),
        (NULL, {"const": None}, []),
        (BOOLEAN, {"enum": [True, False]}, []),
        (BOOLEAN, {"enum": [True]}, ["ENUM_ARRAY_NARROWED #/enum"]),
        ({"const": {"a": 1}}, having(False, a=NUMBER), []),
        ({"const": {"a": 1}}, having(False, b=NUMBER),
         ["PROPERTY_REMOVED_FROM_CLOSED_CONTENT_MODEL #/properties/a"]),
        ({"const": [1, "a"]}, {"items": [INTEGER, STRING], "additionalItems": False}, []),
        ({"enum": [{"a": 1}, [1]]}, {"anyOf": [{"required": ["a"], **OBJECT}, ARRAY]}, []),
    ],
)  # fmt: skip
def test_listed_values_may_become_more(writer, reader, expected):
    assert rules(writer, reader) == expected


@pytest.mark.parametrize(
    ("writer", "reader", "expected"),
    [
        ({"pattern": "a"}, {"pattern": "a"}, []),
        ({"pattern": "a"}, {}, []),
        (STRING, {"pattern": "a"}, ["PATTERN_ADDED #/pattern"]),
        ({"pattern": "a"}, {"pattern": "b"}, ["PATTERN_CHANGED #/pattern"]),
        (INTEGER, {"pattern": "b"}, []),
        ({"multipleOf": 10}, {}, []),
        ({"multipleOf": 10}, {"multipleOf": 2}, []),
        ({"multipleOf": 0.3}, {"multipleOf": 0.1}, []),
        (NUMBER, {"multipleOf": 2}, ["MULTIPLE_OF_ADDED #/multipleOf"]),
        ({"multipleOf": 10}, {"multipleOf": 11}, ["MULTIPLE_OF_CHANGED #/multipleOf"]),
        ({"multipleOf": 2}, {"multipleOf": 10}, ["MULTIPLE_OF_EXPANDED #/multipleOf"]),
        (INTEGER, {"multipleOf": 0.5}, []),
        ({"minimum": 1, **INTEGER}, {"exclusiveMinimum": 0}, []),
        ({"exclusiveMinimum": 0, **INTEGER}, {"minimum": 1}, []),
        ({"exclusiveMinimum": 0, **NUMBER}, {"minimum": 1}, ["MINIMUM_ADDED #/minimum"]),
        ({"exclusiveMinimum": 0}, {"minimum": 0}, []),
        ({"maximum": 5, **NUMBER}, {"exclusiveMaximum": 5},
         ["EXCLUSIVE_MAXIMUM_ADDED #/exclusiveMaximum"]),
        (
            {"$schema": "http://json-schema.org/draft-04/schema#", "maximum": 5, **NUMBER},
            {"$schema": "http://json-schema.org/draft-04/schema#", "maximum": 5,
             "exclusiveMaximum": True},
            ["MAXIMUM_DECREASED #/maximum"],
        ),
        ({"minimum": 5, "maximum": 4, **NUMBER}, {"minimum": 10}, []),  # there is no such number
    ],
)  # fmt: skip
def test_what_is_asked_of_a_number_or_a_string_may_become_less(writer, reader, expected):
    assert rules(writer, reader) == expected


# Objects


@pytest.mark.parametrize(
    ("writer", "reader", "expected"),
    [
        # Open: anything may be there already.
        (having(a=STRING), having(a=STRING, b=NUMBER),
         ["PROPERTY_ADDED_TO_OPEN_CONTENT_MODEL #/properties/b"]),
        (having(a=STRING), having(b=STRING),
         ["PROPERTY_ADDED_TO_OPEN_CONTENT_MODEL #/properties/b"]),
        (having(a=STRING), having(a=STRING, b=True), []),
        (having(a=STRING), having(a=STRING, b={"title": "any"}), []),
        (having(a=STRING, b=STRING), having(a=STRING), []),
        (having(a=True), having(), []),
        # Closed: nothing else was there, nothing else is accepted.
        (having(False, a=STRING), having(False, a=STRING, b=NUMBER), []),
        (having(False), having(False, a=False), []),
        (having(False, a=False), having(False), []),
        (having(False, a=STRING, b=STRING), having(False, a=STRING),
         ["PROPERTY_REMOVED_FROM_CLOSED_CONTENT_MODEL #/properties/b"]),
        (having(False, a=STRING), having(a=STRING), []),
        (having(a=STRING), having(False, a=STRING),
         ["ADDITIONAL_PROPERTIES_REMOVED #/additionalProperties"]),
        # Partially open.
        (having(STRING, a=STRING), having(STRING, a=STRING, b=STRING), []),
        (having(STRING, a=STRING), having(STRING, a=STRING, b=NUMBER),
         ["TYPE_CHANGED #/properties/b",
          "PROPERTY_ADDED_NOT_COVERED_BY_PARTIALLY_OPEN_CONTENT_MODEL #/properties/b"]),
        (having(False, b=STRING), having(STRING), []),
        (having(False, b=STRING), having({"oneOf": [NULL, STRING]}), []),
        (having(False, b=NUMBER), having(STRING),
         ["TYPE_CHANGED #/properties/b",
          "PROPERTY_REMOVED_NOT_COVERED_BY_PARTIALLY_OPEN_CONTENT_MODEL #/properties/b"]),
        (having(), having(NUMBER), ["ADDITIONAL_PROPERTIES_NARROWED #/additionalProperties"]),
        (having(STRING), having(NUMBER), ["TYPE_CHANGED #/additionalProperties"]),
        (having(STRING), having(False), ["ADDITIONAL_PROPERTIES_REMOVED #/additionalProperties"]),
        (having(INTEGER), having(NUMBER), []),
        # What is in a property.
        (having(a=STRING), having(a=NUMBER), ["TYPE_CHANGED #/properties/a"]),
        (having(a=having(b=STRING)), having(a=having(b=NUMBER)),
         ["TYPE_CHANGED #/properties/a/properties/b"]),
        (having(**{"a/b~": STRING}), having(**{"a/b~": NUMBER}),
         ["TYPE_CHANGED #/properties/a~1b~0"]),
        ({"items": having(a=STRING)}, {"items": having(a=NUMBER)},
         ["TYPE_CHANGED #/items/properties/a"]),
        ({"type": "string", "properties": {"a": STRING}}, {"properties": {"a": NUMBER}}, []),
    ],
)  # fmt: skip
def test_properties_follow_the_content_model(writer, reader, expected):
    assert rules(writer, reader) == expected


@pytest.mark.parametrize(
    ("writer", "reader", "expected"),
    [
        ({**having(a=STRING), "required": ["a"]}, having(a=STRING), []),
        (having(a=STRING), {**having(a=STRING), "required": ["a"]},
         ["REQUIRED_ATTRIBUTE_ADDED #/required/a"]),
        (having(STRING), {**having(STRING, b=STRING), "required": ["b"]},
         ["REQUIRED_PROPERTY_ADDED_TO_UNOPEN_CONTENT_MODEL #/properties/b"]),
        (having(False), {**having(False, b=STRING), "required": ["b"]},
         ["REQUIRED_PROPERTY_ADDED_TO_UNOPEN_CONTENT_MODEL #/properties/b"]),
        (having(), {**having(b=STRING), "required": ["b"]},
         ["PROPERTY_ADDED_TO_OPEN_CONTENT_MODEL #/properties/b",
          "REQUIRED_ATTRIBUTE_ADDED #/required/b"]),
        # The reader fills in a default.
        (having(a=STRING), {**having(a={**STRING, "default": ""}), "required": ["a"]}, []),
        (having(False), {**having(False, b={**STRING, "default": ""}), "required": ["b"]}, []),
        # A "not" turns this round: there no default is filled in.
        ({"not": {**having(a={**STRING, "default": ""}), "required": ["a"]}},
         {"not": having(a=STRING)}, ["NOT_TYPE_EXTENDED #/not"]),
        # Other than in the public registry, also a property that neither names.
        ({**having(a=STRING), "required": ["a"]}, {**having(a=STRING), "required": ["b"]},
         ["REQUIRED_ATTRIBUTE_ADDED #/required/b"]),
        ({"required": ["a", "b"]}, {"minProperties": 2}, []),
    ],
)  # fmt: skip
def test_a_property_may_become_optional(writer, reader, expected):
    assert rules(writer, reader) == expected


S_AND_I = {"patternProperties": {"^S_": STRING, "^I_": INTEGER}, "additionalProperties": False}


@pytest.mark.parametrize(
    ("writer", "reader", "expected"),
    [
        ({**having(a=STRING), **S_AND_I}, {**having(a=STRING, I_1=NUMBER), **S_AND_I}, []),
        ({**having(a=STRING), **S_AND_I}, {**having(a=STRING, S_1=NUMBER), **S_AND_I},
         ["TYPE_CHANGED #/properties/S_1",
          "PROPERTY_ADDED_NOT_COVERED_BY_PARTIALLY_OPEN_CONTENT_MODEL #/properties/S_1"]),
        (having(False, I_1=INTEGER), {**having(), **S_AND_I}, []),
        (having(False, S_1=INTEGER), {**having(), **S_AND_I},
         ["TYPE_CHANGED #/properties/S_1",
          "PROPERTY_REMOVED_NOT_COVERED_BY_PARTIALLY_OPEN_CONTENT_MODEL #/properties/S_1"]),
        (S_AND_I, {"patternProperties": {**S_AND_I["patternProperties"], "^B_": BOOLEAN}}, []),
        (S_AND_I, {"patternProperties": {"^S": BOOLEAN, "^I_": INTEGER}},
         ["TYPE_CHANGED #/patternProperties/^S",
          "PROPERTY_ADDED_NOT_COVERED_BY_PARTIALLY_OPEN_CONTENT_MODEL #/patternProperties/^S"]),
        (S_AND_I, {"patternProperties": {"^S_": STRING}, "additionalProperties": False},
         ["PROPERTY_REMOVED_FROM_CLOSED_CONTENT_MODEL #/patternProperties/^I_"]),
        (S_AND_I, {"patternProperties": {"^S_": NUMBER}}, ["TYPE_CHANGED #/patternProperties/^S_"]),
        (having(), {"patternProperties": {"a": STRING}},
         ["PROPERTY_ADDED_TO_OPEN_CONTENT_MODEL #/patternProperties/a"]),
        (having(STRING), {"patternProperties": {"a": STRING}}, []),
        ({"patternProperties": {"a": STRING}}, {"patternProperties": {"b": STRING}},
         ["PROPERTY_ADDED_TO_OPEN_CONTENT_MODEL #/patternProperties/b"]),
        ({"propertyNames": {"maxLength": 3}}, {"propertyNames": {"maxLength": 4}}, []),
        ({"propertyNames": {"maxLength": 4}}, {"propertyNames": {"maxLength": 3}},
         ["MAX_LENGTH_DECREASED #/propertyNames/maxLength"]),
        (having(), {"propertyNames": {"maxLength": 3}}, ["SCHEMA_ADDED #/propertyNames"]),
        (having(False, abc=STRING), {"propertyNames": {"maxLength": 3}}, []),
        (having(False, abcd=STRING), {"propertyNames": {"maxLength": 3}},
         ["SCHEMA_ADDED #/propertyNames"]),
    ],
)  # fmt: skip
def test_patterns_of_names_are_compared_where_they_are_written_alike_or_apart(
    writer, reader, expected
):
    assert rules(writer, reader) == expected


@pytest.mark.parametrize(
    ("writer", "reader", "expected"),
    [
        ({"dependencies": {"a": ["b"]}}, {}, []),
        ({"dependencies": {"a": ["b"]}}, {"dependencies": {"b": ["a"]}},
         ["DEPENDENCY_ARRAY_ADDED #/dependencies/b"]),
        ({"dependencies": {"a": ["b", "c"]}}, {"dependencies": {"a": ["b"]}}, []),
        ({"dependencies": {"a": ["b"]}}, {"dependencies": {"a": ["b", "c"]}},
         ["DEPENDENCY_ARRAY_EXTENDED #/dependencies/a"]),
        ({"dependencies": {"a": ["b"]}}, {"dependencies": {"a": ["c"]}},
         ["DEPENDENCY_ARRAY_CHANGED #/dependencies/a"]),
        ({"required": ["b"]}, {"dependencies": {"a": ["b"]}}, []),
        (having(False, b=STRING), {"dependencies": {"a": ["b"]}}, []),
        ({"dependencies": {"a": STRING, "b": STRING}}, {"dependencies": {"a": STRING}}, []),
        ({"dependencies": {"a": STRING}}, {"dependencies": {}}, []),
        ({"dependencies": {"a": having(b=STRING)}}, {"dependencies": {"a": having(b=NUMBER)}},
         ["TYPE_CHANGED #/dependencies/a/properties/b"]),
        ({"dependencies": {"a": STRING}}, {"dependencies": {"b": STRING}},
         ["DEPENDENCY_SCHEMA_ADDED #/dependencies/b"]),
        ({**DRAFT_2019, "dependentRequired": {"a": ["b"]}},
         {**DRAFT_2019, "dependentRequired": {"b": ["a"]}},
         ["DEPENDENCY_ARRAY_ADDED #/dependentRequired/b"]),
        ({**DRAFT_2020, "dependentSchemas": {"a": having(b=STRING)}},
         {"dependencies": {"a": having(b=STRING)}}, []),
    ],
)  # fmt: skip
def test_what_a_property_depends_on_may_become_less(writer, reader, expected):
    assert rules(writer, reader) == expected


CLOSED_BY_PARTS = {**DRAFT_2020, "allOf": [having(a=STRING)], "unevaluatedProperties": False}


@pytest.mark.parametrize(
    ("writer", "reader", "expected"),
    [
        (CLOSED_BY_PARTS, having(False, a=STRING), []),
        (having(False, a=STRING), CLOSED_BY_PARTS, []),
        (CLOSED_BY_PARTS, {**CLOSED_BY_PARTS, "properties": {"b": STRING}}, []),
        ({**CLOSED_BY_PARTS, "properties": {"b": STRING}}, CLOSED_BY_PARTS,
         ["PROPERTY_REMOVED_FROM_CLOSED_CONTENT_MODEL #/properties/b"]),
        (having(a=STRING), CLOSED_BY_PARTS,
         ["UNEVALUATED_PROPERTIES_REMOVED #/unevaluatedProperties"]),
        (having(a=STRING), {**CLOSED_BY_PARTS, "unevaluatedProperties": STRING},
         ["UNEVALUATED_PROPERTIES_NARROWED #/unevaluatedProperties"]),
        # What a choice judges counts as not judged, unless both schemas are the same.
        ({**DRAFT_2020, "anyOf": [having(a=STRING)], "unevaluatedProperties": False, "title": "x"},
         {**DRAFT_2020, "anyOf": [having(a=STRING)], "unevaluatedProperties": False}, []),
        ({**DRAFT_2020, "anyOf": [having(a=STRING)], "unevaluatedProperties": False},
         {**DRAFT_2020, "anyOf": [having(a=STRING), ARRAY], "unevaluatedProperties": False},
         ["PROPERTY_REMOVED_FROM_CLOSED_CONTENT_MODEL #/properties/a",
          "UNEVALUATED_PROPERTIES_REMOVED #/unevaluatedProperties"]),
        ({**DRAFT_2020, "prefixItems": [STRING], "unevaluatedItems": False},
         {**DRAFT_2020, "prefixItems": [STRING, NUMBER], "unevaluatedItems": False}, []),
        ({**DRAFT_2020, "prefixItems": [STRING, NUMBER], "unevaluatedItems": False},
         {**DRAFT_2020, "prefixItems": [STRING], "unevaluatedItems": False},
         ["ITEM_REMOVED_FROM_CLOSED_CONTENT_MODEL #/prefixItems/1"]),
        (ARRAY, {**DRAFT_2020, "unevaluatedItems": False},
         ["UNEVALUATED_ITEMS_REMOVED #/unevaluatedItems"]),
        (ARRAY, {**DRAFT_2020, "unevaluatedItems": STRING},
         ["UNEVALUATED_ITEMS_NARROWED #/unevaluatedItems"]),
    ],
)  # fmt: skip
def test_what_no_schema_has_judged_follows_the_content_model(writer, reader, expected):
    assert rules(writer, reader) == expected


# Arrays


@pytest.mark.parametrize(
    ("writer", "reader", "expected"),
    [
        (ARRAY, {**ARRAY, "items": STRING}, ["SCHEMA_ADDED #/items"]),
        ({**ARRAY, "items": STRING}, ARRAY, []),
        ({**ARRAY, "items": STRING}, {**ARRAY, "items": NUMBER}, ["TYPE_CHANGED #/items"]),
        (listing(STRING, NUMBER), ARRAY, []),
        (listing(STRING), listing(NUMBER), ["TYPE_CHANGED #/items/0"]),
        (listing(STRING), listing(STRING, NUMBER), ["ITEM_ADDED_TO_OPEN_CONTENT_MODEL #/items/1"]),
        (listing(STRING), listing(STRING, True), []),
        (listing(STRING, NUMBER), listing(STRING), []),
        (listing(STRING, more=False), listing(STRING, NUMBER, more=False), []),
        (listing(STRING, NUMBER, more=False), listing(STRING, more=False),
         ["ITEM_REMOVED_FROM_CLOSED_CONTENT_MODEL #/items/1"]),
        (listing(STRING, False, more=False), listing(STRING, more=False), []),
        (listing(STRING, NUMBER, more=False), listing(STRING, more=NUMBER), []),
        (listing(STRING, more=STRING), listing(STRING, STRING, more=STRING), []),
        (listing(STRING, more=STRING), listing(STRING, NUMBER, more=STRING),
         ["TYPE_CHANGED #/items/1",
          "ITEM_ADDED_NOT_COVERED_BY_PARTIALLY_OPEN_CONTENT_MODEL #/items/1"]),
        (listing(STRING, NUMBER, more=STRING), listing(STRING, more=STRING),
         ["TYPE_CHANGED #/items/1",
          "ITEM_REMOVED_NOT_COVERED_BY_PARTIALLY_OPEN_CONTENT_MODEL #/items/1"]),
        (listing(STRING), listing(STRING, more=False),
         ["ADDITIONAL_ITEMS_REMOVED #/additionalItems"]),
        (listing(STRING), listing(STRING, more=NUMBER),
         ["ADDITIONAL_ITEMS_NARROWED #/additionalItems"]),
        (listing(STRING, more=INTEGER), listing(STRING, more=NUMBER), []),
        ({**listing(STRING), "maxItems": 1}, listing(STRING, NUMBER, more=False), []),
        # Beside no list it means nothing, other than in the public registry.
        ({"additionalItems": True}, {"additionalItems": False}, []),
        ({**DRAFT_2020, **ARRAY, "prefixItems": [STRING], "items": False},
         listing(STRING, NUMBER), []),
        ({**DRAFT_2020, "prefixItems": [STRING]},
         {**DRAFT_2020, "prefixItems": [STRING, NUMBER]},
         ["ITEM_ADDED_TO_OPEN_CONTENT_MODEL #/prefixItems/1"]),
        ({**DRAFT_2020, "items": True}, {**DRAFT_2020, "items": False},
         ["ADDITIONAL_ITEMS_REMOVED #/items"]),
        ({"uniqueItems": True}, {}, []),
        (ARRAY, {"uniqueItems": True}, ["UNIQUE_ITEMS_ADDED #/uniqueItems"]),
        ({"uniqueItems": False, **ARRAY}, {"uniqueItems": True},
         ["UNIQUE_ITEMS_ADDED #/uniqueItems"]),
        ({"maxItems": 1, **ARRAY}, {"uniqueItems": True}, []),
        ({"contains": INTEGER}, {"contains": NUMBER}, []),
        ({"contains": NUMBER, **ARRAY}, {"contains": INTEGER}, ["TYPE_NARROWED #/contains"]),
        (ARRAY, {"contains": NUMBER}, ["SCHEMA_ADDED #/contains"]),
        ({"items": INTEGER, "minItems": 1, **ARRAY}, {"contains": NUMBER}, []),
        ({**DRAFT_2020, **ARRAY, "contains": NUMBER, "minContains": 2},
         {**DRAFT_2020, "contains": NUMBER, "minContains": 3},
         ["MIN_CONTAINS_INCREASED #/minContains"]),
        (ARRAY, {**DRAFT_2020, "contains": NUMBER, "minContains": 0}, []),
        ({**DRAFT_2020, **ARRAY, "contains": NUMBER, "maxContains": 2},
         {**DRAFT_2020, "contains": INTEGER, "minContains": 0, "maxContains": 2}, []),
        ({**DRAFT_2020, **ARRAY, "contains": NUMBER, "maxContains": 3},
         {**DRAFT_2020, "contains": NUMBER, "maxContains": 2},
         ["MAX_CONTAINS_DECREASED #/maxContains"]),
        ({**DRAFT_2020, **ARRAY, "contains": NUMBER},
         {**DRAFT_2020, "contains": NUMBER, "maxContains": 2},
         ["MAX_CONTAINS_ADDED #/maxContains"]),
    ],
)  # fmt: skip
def test_items_follow_the_content_model(writer, reader, expected):
    assert rules(writer, reader) == expected
