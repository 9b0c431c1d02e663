"""What a reader's JSON Schema has to accept, in whole schemas: choices, references, and by chance.

The rules of each keyword are in `test_json_compatibility_keywords`.
"""

from __future__ import annotations

import json
from random import Random

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from schemas.json_schema.schema import parse
from schemas.schema import Dependency, InvalidSchema
from tests.support import random_json_schemas
from tests.support.json_schemas import (
    ARRAY,
    BOOLEAN,
    DRAFT_2019,
    DRAFT_2020,
    INTEGER,
    NULL,
    NUMBER,
    STRING,
    found,
    having,
    rules,
    tagged,
)

# Choices


@pytest.mark.parametrize(
    ("writer", "reader", "rule"),
    [
        ({"oneOf": [STRING]}, {"oneOf": [NUMBER, STRING]}, None),
        ({"oneOf": [STRING]}, {"oneOf": [BOOLEAN, NUMBER, STRING]}, None),
        ({"oneOf": [NUMBER, STRING]}, {"oneOf": [STRING]}, "SUM_TYPE_NARROWED"),
        ({"oneOf": [STRING]}, {"oneOf": [NUMBER]}, "COMBINED_TYPE_SUBSCHEMAS_CHANGED"),
        ({"oneOf": [having(a=STRING)]}, {"oneOf": [having(a=NUMBER)]},
         "COMBINED_TYPE_SUBSCHEMAS_CHANGED"),
        ({"oneOf": [{**STRING, "maxLength": 5}]}, {"oneOf": [NUMBER, {**STRING, "maxLength": 8}]},
         None),
        (STRING, {"oneOf": [NUMBER, STRING]}, None),
        ({**STRING, "maxLength": 3}, {"anyOf": [NUMBER, STRING]}, None),
        (STRING, {"anyOf": [NUMBER, NULL]}, "TYPE_CHANGED"),
        ({"oneOf": [STRING]}, STRING, None),
        ({"oneOf": [STRING, NUMBER]}, STRING, "TYPE_CHANGED"),
        ({"oneOf": [STRING]}, {"anyOf": [NUMBER, STRING]}, None),
        ({"oneOf": [STRING, NUMBER]}, {"anyOf": [STRING]}, "SUM_TYPE_NARROWED"),
        ({"anyOf": [STRING]}, {"oneOf": [NUMBER, STRING]}, None),
        ({"anyOf": [NUMBER, STRING]}, {"oneOf": [STRING]}, "COMBINED_TYPE_CHANGED"),
        ({"anyOf": [STRING]}, {"allOf": [STRING]}, None),
        ({"anyOf": [STRING]}, {"allOf": [NUMBER, STRING]}, "COMBINED_TYPE_CHANGED"),
        ({"oneOf": [STRING]}, {"allOf": [NUMBER, STRING]}, "COMBINED_TYPE_CHANGED"),
        ({"allOf": [STRING]}, {"anyOf": [NUMBER, STRING]}, None),
        ({"allOf": [NUMBER]}, {"oneOf": [NUMBER, STRING]}, None),
        ({"allOf": [{"enum": ["a"]}, STRING]}, {"allOf": [STRING, {"enum": ["a", "b"]}]}, None),
        ({"allOf": [{"enum": ["a"]}, STRING]}, {"allOf": [STRING, {"enum": ["b"]}]},
         "COMBINED_TYPE_SUBSCHEMAS_CHANGED"),
        ({"allOf": [STRING, STRING]}, {"allOf": [STRING]}, None),
        ({"allOf": [STRING]}, {"allOf": [STRING, STRING]}, None),
        ({"allOf": [{"enum": ["a"]}, STRING]}, {"allOf": [STRING]}, None),
        ({"allOf": [STRING]}, {"allOf": [{"enum": ["a"]}, STRING]}, "PRODUCT_TYPE_EXTENDED"),
        (STRING, {"allOf": [STRING]}, None),
        (STRING, {"allOf": [NUMBER, STRING]}, "TYPE_CHANGED"),
        ({"not": NUMBER}, {"not": INTEGER}, None),
        ({"not": INTEGER}, {"not": NUMBER}, "NOT_TYPE_EXTENDED"),
        (STRING, {"not": NUMBER}, None),
        ({}, {"not": NUMBER}, "NOT_TYPE_EXTENDED"),
        ({"not": {}}, STRING, None),
        ({"type": ["string", "null"]}, {"oneOf": [STRING, NULL]}, None),
        ({"type": ["string", "null", "number"]}, {"oneOf": [STRING, NULL]}, "SUM_TYPE_NARROWED"),
        ({"enum": ["a", "b"]}, {"oneOf": [{"const": "a"}, {"const": "b"}]}, None),
        ({"enum": ["a", "c"]}, {"oneOf": [{"const": "a"}, {"const": "b"}]}, "TYPE_CHANGED"),
        # One value, two schemas that accept it: a oneOf accepts it no more.
        ({"oneOf": [INTEGER]}, {"oneOf": [INTEGER, NUMBER]}, "COMBINED_TYPE_SUBSCHEMAS_CHANGED"),
        ({"oneOf": [INTEGER]}, {"anyOf": [INTEGER, NUMBER]}, None),
        ({"oneOf": [having(a=STRING), having(b=STRING)], "title": "x"},
         {"oneOf": [having(a=STRING), having(b=STRING)], "title": "y"}, None),
        ({"oneOf": [having(False, a=STRING), having(False, b=STRING)]},
         {"oneOf": [having(False, a=STRING), having(False, b=STRING, c=STRING)]}, None),
        ({"oneOf": [having(False, a=STRING), having(False, b=STRING)]},
         {"oneOf": [having(False, a=STRING), having(False, a=STRING, b=STRING)]},
         "COMBINED_TYPE_SUBSCHEMAS_CHANGED"),
        ({"if": INTEGER, "then": {"minimum": 1}}, {"if": INTEGER, "then": {"minimum": 0}}, None),
        ({"if": INTEGER, "then": {"minimum": 0}}, {"if": INTEGER, "then": {"minimum": 1}},
         "MINIMUM_INCREASED"),
        ({"minimum": 2}, {"if": INTEGER, "then": {"minimum": 1}, "else": {"minimum": 2}}, None),
        ({"if": STRING, "then": {"minLength": 1}, "else": INTEGER},
         {"anyOf": [{**STRING, "minLength": 1}, INTEGER]}, None),
    ],
)  # fmt: skip
def test_choices_may_become_more(writer, reader, rule):
    expected = [] if rule is None else [rule]

    # Beside "allOf" the parts that it loses are told too.
    assert [each.rule for each in found(writer, reader)][:1] == expected
    inside = found(having(a=writer), having(a=reader))
    assert [each.rule for each in inside][:1] == expected
    assert all(each.path.startswith("#/properties/a") for each in inside)


def test_a_tagged_union_grows_by_kinds_and_in_each_kind():
    one = {"oneOf": [tagged("a", x=INTEGER), tagged("b")]}

    assert rules(one, {"oneOf": [tagged("b"), tagged("c"), tagged("a", x=NUMBER)]}) == []
    (lost,) = found(one, {"oneOf": [tagged("a", x=STRING), tagged("b")]})
    assert 'property "x" is "string" for the reader' in lost.why


def test_every_kind_of_a_union_that_is_lost_is_told():
    one = {"oneOf": [tagged(name, x=STRING) for name in "abc"]}
    other = {"oneOf": [tagged(name, x=NUMBER) for name in "abc"]}

    assert len(found(one, other)) == 3


# All at once


def test_all_violations_are_told_at_once():
    writer = {**having(a=STRING, b={"items": NUMBER}, c={"enum": [1, 2]}), "minProperties": 1}
    reader = {
        **having(False, a={**STRING, "maxLength": 1}, b={"items": INTEGER}, c={"enum": [1]}),
        "minProperties": 2,
        "required": ["a"],
    }

    assert sorted(rules(writer, reader)) == [
        "ADDITIONAL_PROPERTIES_REMOVED #/additionalProperties",
        "ENUM_ARRAY_NARROWED #/properties/c/enum",
        "MAX_LENGTH_ADDED #/properties/a/maxLength",
        "MIN_PROPERTIES_INCREASED #/minProperties",
        "REQUIRED_ATTRIBUTE_ADDED #/required/a",
        "TYPE_NARROWED #/properties/b/items",
    ]


def test_a_violation_names_the_property_what_both_have_and_what_would_do():
    (lost,) = found(
        having(order=having(lines={"items": having(price=NUMBER)})),
        having(order=having(lines={"items": having(price=STRING)})),
    )

    assert lost.path == "#/properties/order/properties/lines/items/properties/price"
    assert (lost.reader, lost.writer) == ('"string"', '["number"]')
    assert (
        lost.why
        == 'property "order.lines[].price" is "string" for the reader, ["number"] for the writer'
    )
    assert "number" in lost.remedy


# References


def test_references_are_followed_on_both_sides():
    by_reference = {"items": {"$ref": "#/definitions/x"}, "definitions": {"x": STRING}}

    assert rules(by_reference, {"items": STRING}) == rules({"items": STRING}, by_reference) == []
    assert rules(
        {"items": {"$ref": "#/definitions/x"}, "definitions": {"x": STRING}, **ARRAY},
        {"items": {"$ref": "#/definitions/x"}, "definitions": {"x": NUMBER}},
    ) == ["TYPE_CHANGED #/items"]


def test_references_are_followed_into_dependencies():
    contents = json.dumps(having(a={"$ref": "a.json"}))
    text, number = (Dependency("a.json", json.dumps(each)) for each in (STRING, NUMBER))

    writer, same, other = (parse(contents, [each]) for each in (text, text, number))

    assert same.incompatibilities(writer) == []
    assert [each.rule for each in other.incompatibilities(writer)] == ["TYPE_CHANGED"]


def test_beside_a_reference_nothing_counts_up_to_draft_7_and_all_does_later():
    writer = {"$ref": "#/definitions/x", "maxLength": 1, "definitions": {"x": STRING}}

    assert rules(writer, {"maxLength": 1}) == ["MAX_LENGTH_ADDED #/maxLength"]
    assert rules({**DRAFT_2019, **writer}, {"maxLength": 1}) == []


def test_a_schema_that_returns_to_itself_is_compared():
    def tree(value, more=False):
        return having(more, value=value, left={"$ref": "#"}, right={"$ref": "#"})

    assert rules(tree(STRING), tree({"type": ["string", "null"]})) == []
    assert rules(tree(STRING), tree(NUMBER)) == ["TYPE_CHANGED #/properties/value"]
    assert rules(tree(STRING), tree(STRING, more=True)) == []


def test_schemas_that_return_to_each_other_in_other_steps_are_compared():
    one = having(next={"$ref": "#"}, value=INTEGER)
    two = having(
        value=NUMBER,
        next={"type": "object", "properties": {"value": NUMBER, "next": {"$ref": "#"}}},
    )

    assert rules(one, two) == []
    assert {each.rule for each in found(two, one)} == {"TYPE_NARROWED"}


def test_what_seemed_to_be_accepted_is_asked_again_when_it_is_not():
    # To accept "next" the reader has to accept the whole; only its first choice says so.
    writer = having(next={"$ref": "#"}, value=STRING)
    reader = {
        "definitions": {"no": having(next={"$ref": "#/definitions/no"}, value=NUMBER)},
        "anyOf": [{"$ref": "#/definitions/no"}, having(next={"$ref": "#/definitions/no"})],
    }

    assert rules(writer, reader) != []


# However large


@pytest.mark.parametrize("nesting", [60])
def test_deep_schemas_are_compared(nesting):
    def deep(inner):
        return json.loads('{"items":' * nesting + json.dumps(inner) + "}" * nesting)

    assert rules(deep(STRING), deep({})) == []
    assert len(rules(deep(STRING), deep(NUMBER))) == 1


def test_what_is_too_much_to_compare_is_told():
    definitions = {f"d{i}": having(next={"$ref": f"#/definitions/d{i + 1}"}) for i in range(300)}

    def chain(end):
        return {"$ref": "#/definitions/d0", "definitions": {**definitions, "d300": end}}

    (lost,) = found(chain(STRING), chain(NUMBER))

    assert lost.rule == "TOO_LARGE_TO_COMPARE"
    assert rules(chain(STRING), chain(STRING)) == []


def test_long_lists_of_values_are_compared():
    many = [f"value {index}" for index in range(10_000)]

    assert rules({"enum": many}, {"enum": [*many, "more"]}) == []
    (lost,) = found({"enum": many}, {"enum": many[1:]})
    assert lost.rule == "ENUM_ARRAY_NARROWED"
    assert len(lost.why) < 400


def test_large_unions_are_compared():
    one = {"oneOf": [tagged(f"kind {index}", x=INTEGER) for index in range(30)]}
    other = {"oneOf": [tagged(f"kind {index}", x=NUMBER) for index in range(31)]}

    assert rules(one, other) == []


# By chance

RANDOM = st.randoms(use_true_random=False)
NUMBERS = st.sampled_from([6, 7, 2019, 2020])
URIS = {
    6: "http://json-schema.org/draft-06/schema#",
    7: "http://json-schema.org/draft-07/schema#",
    2019: DRAFT_2019["$schema"],
    2020: DRAFT_2020["$schema"],
}


def pair_of(random: Random, number):
    """A writer's and a reader's schema that are near to each other, parsed."""
    writer = random_json_schemas.document(random, number=number)
    reader = random_json_schemas.near_document(random, writer, number=number)
    try:
        return [parse(json.dumps({"$schema": URIS[number], **each})) for each in (writer, reader)]
    except InvalidSchema:
        assume(False)  # a reference without end


def is_valid(schema, value):
    return next(schema.validator.iter_errors(value), None) is None


@pytest.mark.slow
@given(RANDOM, NUMBERS)
@settings(max_examples=25, deadline=None)
def test_what_a_writer_writes_a_compatible_reader_accepts(random, number):
    writer, reader = pair_of(random, number)
    if reader.incompatibilities(writer):
        return

    for _ in range(20):
        value = random_json_schemas.value(random)
        try:
            assert is_valid(reader, value) or not is_valid(writer, value)
        except TypeError:  # jsonschema 4.26 stumbles over "items": true beside unevaluatedItems
            assume(False)


@given(RANDOM, NUMBERS)
@settings(max_examples=10, deadline=None)
def test_a_schema_is_compatible_with_itself_however_it_is_spelled(random, number):
    schema, _ = pair_of(random, number)

    assert parse(schema.normalized).incompatibilities(schema) == []
    assert parse(schema.text).incompatibilities(schema) == []


@given(RANDOM, NUMBERS)
@settings(max_examples=10, deadline=None)
def test_every_violation_says_where_why_and_what_would_do(random, number):
    writer, reader = pair_of(random, number)

    for lost in reader.incompatibilities(writer):
        assert lost.rule.isupper()
        assert lost.path.startswith("#/")
        assert lost.why
        assert lost.remedy
        assert lost.reader or lost.writer
