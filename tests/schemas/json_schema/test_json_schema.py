"""JSON Schema as a type: what is a schema, which texts are one schema, which payload fits it."""

from __future__ import annotations

import json
import socket

import pytest

from schemas.json_schema.references import JUDGES_MAX, NESTING_MAX
from schemas.json_schema.schema import parse
from schemas.schema import (
    SCHEMA_CHARACTERS_MAX,
    Dependency,
    InvalidPayload,
    InvalidSchema,
    SchemaType,
)

DRAFTS = {
    4: "http://json-schema.org/draft-04/schema#",
    6: "http://json-schema.org/draft-06/schema#",
    7: "http://json-schema.org/draft-07/schema#",
    2019: "https://json-schema.org/draft/2019-09/schema",
    2020: "https://json-schema.org/draft/2020-12/schema",
}


def schema(contents, *dependencies):
    return parse(json.dumps(contents), dependencies)


def dependency(name, contents, *dependencies):
    return Dependency(name, json.dumps(contents), dependencies)


def refusal_of(contents, *dependencies):
    text = contents if isinstance(contents, str) else json.dumps(contents)
    with pytest.raises(InvalidSchema) as refused:
        parse(text, dependencies)
    return str(refused.value)


def fits(made, value):
    try:
        made.check_payload(json.dumps(value).encode())
    except InvalidPayload:
        return False
    return True


def refused_payload(contents, payload):
    with pytest.raises(InvalidPayload) as refused:
        schema(contents).check_payload(payload)
    return str(refused.value)


# Texts


def test_the_text_is_the_schema_without_white_space_its_keys_in_order():
    made = parse('{ "type" : "object",\n "properties": {"b": {}, "a": {"const": "é"}} }')

    assert made.type is SchemaType.JSON
    assert made.text == '{"type":"object","properties":{"b":{},"a":{"const":"é"}}}'
    assert parse(made.text).text == made.text


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ('{"type":"string","minLength":1}', '{"minLength":1,"type":"string"}'),
        ('{"required":["b","a"]}', '{"required":["a","b"]}'),
        ('{"type":["null","string"]}', '{"type":["string","null"]}'),
        ('{"maximum":1.0}', '{"maximum":1}'),
        ('{"const":"\\u00e9"}', '{"const":"é"}'),
        ('{"dependencies":{"a":["c","b"]}}', '{"dependencies":{"a":["b","c"]}}'),
        (
            '{"items":{"properties":{"x":{"required":["b","a"]}}}}',
            '{"items":{"properties":{"x":{"required":["a","b"]}}}}',
        ),
    ],
)
def test_schemas_that_differ_in_spelling_only_have_one_normal_form(one, other):
    assert parse(one).normalized == parse(other).normalized
    assert parse(parse(one).normalized).normalized == parse(one).normalized


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"enum": ["a", "b"]}, {"enum": ["b", "a"]}),  # generated code numbers them
        ({"items": [{"type": "string"}, {}]}, {"items": [{}, {"type": "string"}]}),
        ({"const": {"required": ["b", "a"]}}, {"const": {"required": ["a", "b"]}}),
        ({"default": ["b", "a"]}, {"default": ["a", "b"]}),
        ({"const": 1}, {"const": True}),
    ],
)
def test_an_order_that_means_something_is_kept_in_the_normal_form(one, other):
    assert schema(one).normalized != schema(other).normalized


# What is a schema


@pytest.mark.parametrize("number", DRAFTS)
def test_each_draft_is_known_by_its_uri(number):
    uri = DRAFTS[number]

    for spelled in (uri, uri.rstrip("#"), uri.replace("http://", "https://")):
        made = schema({"$schema": spelled, "type": "integer"})
        assert fits(made, 1)
        assert not fits(made, "1")


def test_each_draft_judges_by_its_own_rules():
    exclusive = {"minimum": 1, "exclusiveMinimum": True}
    assert not fits(schema({"$schema": DRAFTS[4], **exclusive}), 1)
    assert "exclusiveMinimum" in refusal_of({"$schema": DRAFTS[6], **exclusive})
    assert fits(schema({"$schema": DRAFTS[6], "if": {}, "then": False}), 1)
    assert not fits(schema({"$schema": DRAFTS[7], "if": {}, "then": False}), 1)
    assert fits(schema({"$schema": DRAFTS[7], "prefixItems": [False]}), [1])
    assert not fits(schema({"$schema": DRAFTS[2020], "prefixItems": [False]}), [1])
    assert not fits(schema({"$schema": DRAFTS[2019], "dependentRequired": {"a": ["b"]}}), {"a": 1})


def test_without_a_draft_it_is_draft_7():
    assert not fits(schema({"if": {}, "then": False}), 1)
    assert fits(schema({"prefixItems": [False]}), [1])


def test_an_unknown_draft_is_refused_with_those_that_are_known():
    message = refusal_of({"$schema": "http://json-schema.org/draft-03/schema#"})

    assert "draft-03" in message
    assert DRAFTS[2020] in message


@pytest.mark.parametrize("text", ["true", "false", "{}"])
def test_a_truth_value_is_a_schema(text):
    assert parse(text).text == text
    assert fits(parse(text), 1) is (text != "false")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "line 1, column 1"),
        ("{", "line 1"),
        ("1", "a schema is an object, true or false"),
        ("null", "a schema is an object, true or false"),
        ('"string"', "a schema is an object, true or false"),
        ('{"type":"string","type":"number"}', 'key "type" is there twice'),
        ('{"const":{"a":1,"a":1}}', 'key "a" is there twice'),
        ('{"maximum":NaN}', "NaN"),
        ('{"maximum":-Infinity}', "Infinity"),
        ('{"maximum":1e999}', "too large"),
        ('{"maximum":' + "9" * 5000 + "}", "a number cannot be read"),
        ('{"const":"\\ud800"}', "surrogate"),
        ('{"type":"strin"}', "#/type"),
        ('{"properties":{"a":{"minLength":-1}}}', "#/properties/a/minLength"),
        ('{"properties":[]}', "#/properties"),
        ('{"pattern":"("}', "#/pattern"),
        ('{"patternProperties":{"(":{}}}', "("),
        ('{"pattern":"a{99999999999}"}', "number"),
        ('{"patternProperties":{"a":{},"(?i)b":{}}}', "regular expression"),
        ('{"$schema":"http://json-schema.org/draft-04/schema#","patternProperties":{"(":{}}}', "("),
        ('{"required":["a","a"]}', "#/required"),
        ('{"$schema":5}', "$schema"),
        ('{"items":{"$schema":"http://x"}}', "http://x"),
    ],
)
def test_what_is_no_schema_is_refused_with_the_place_or_the_cause(text, said):
    assert said in refusal_of(text)


def test_a_long_text_is_refused_before_it_is_read():
    assert "cut it" in refusal_of("[" * (SCHEMA_CHARACTERS_MAX + 1))


@pytest.mark.parametrize("levels", [NESTING_MAX + 1, 1_000, 100_000])
@pytest.mark.parametrize(("head", "tail"), [('{"items":', "}"), ("[", "]"), ('{"not":', "}")])
def test_a_schema_that_is_nested_too_deep_is_refused(levels, head, tail):
    message = refusal_of(head * levels + "{}" + tail * levels)

    assert "nested" in message or "a schema is an object" in message


@pytest.mark.parametrize("number", DRAFTS)
def test_a_schema_may_be_nested_to_the_limit(number):
    levels = NESTING_MAX - 2
    inner = '{"items":' * levels + "{}" + "}" * levels

    made = parse(f'{{"$schema":"{DRAFTS[number]}","items":{inner}}}')

    assert fits(made, [[[1]]])


# References


def test_a_reference_leads_into_the_schema_by_pointer_anchor_or_id():
    made = schema(
        {
            "$schema": DRAFTS[2020],
            "$id": "http://x/root.json",
            "properties": {
                "pointer": {"$ref": "#/$defs/whole"},
                "anchor": {"$ref": "#whole"},
                "id": {"$ref": "inner.json"},
                "all": {"$ref": "root.json#/$defs/whole"},
            },
            "$defs": {
                "whole": {"$anchor": "whole", "type": "integer"},
                "inner": {"$id": "inner.json", "type": "integer"},
            },
        }
    )

    for name in ("pointer", "anchor", "id", "all"):
        assert fits(made, {name: 1})
        assert not fits(made, {name: "1"})


@pytest.mark.parametrize(
    ("identity", "name", "reference"),
    [
        (None, "address.json", "address.json"),
        (None, "http://x/address.json", "http://x/address.json"),
        ("http://x/a/order.json", "address.json", "address.json"),
        ("http://x/a/order.json", "http://x/a/address.json", "address.json"),
        ("http://x/a/order.json", "../address.json", "../address.json"),
    ],
)
def test_a_reference_leads_into_a_dependency_by_its_name(identity, name, reference):
    contents = {"properties": {"to": {"$ref": reference + "#/definitions/street"}}}
    if identity:
        contents["$id"] = identity
    street = {"definitions": {"street": {"type": "string"}}}

    made = schema(contents, dependency(name, street))

    assert fits(made, {"to": "Main Street"})
    assert not fits(made, {"to": 1})


def test_a_dependency_has_dependencies_of_its_own():
    inner = dependency("inner.json", {"type": "integer"})
    outer = dependency("outer.json", {"items": {"$ref": "inner.json"}}, inner)

    made = schema({"$ref": "outer.json"}, outer, inner)

    assert fits(made, [1])
    assert not fits(made, ["1"])


def test_a_reference_may_lead_to_a_metaschema():
    made = schema({"$ref": "http://json-schema.org/draft-07/schema#"})

    assert fits(made, {"type": "string"})
    assert not fits(made, {"type": "strin"})


@pytest.mark.parametrize(
    "reference",
    [
        "#/definitions/missing",
        "#missing",
        "missing.json",
        "http://localhost/missing.json",
        "file:///etc/passwd",
        "http://[",
        "#/definitions/known/type/x",
        "#/definitions/known/enum/9",
        "#/definitions/known/enum/x",
    ],
)
def test_a_reference_that_leads_nowhere_is_refused_with_the_names_there_are(reference, monkeypatch):
    def no_network(*_):
        raise AssertionError("a reference was fetched")

    monkeypatch.setattr(socket, "socket", no_network)
    known = {"known": {"type": "string", "enum": ["a"]}}

    message = refusal_of(
        {"definitions": known, "properties": {"a": {"$ref": reference}}},
        dependency("b.json", {}),
        dependency("c.json", True),
    )

    assert "#/properties/a" in message
    assert '"b.json", "c.json"' in message


def test_a_reference_to_what_is_no_schema_is_refused():
    assert "no schema" in refusal_of({"title": "x", "items": {"$ref": "#/title"}})
    assert "strin" in refusal_of({"x": {"type": "strin"}, "items": {"$ref": "#/x"}})


@pytest.mark.parametrize(
    "contents",
    [
        {"$ref": "#"},
        {"allOf": [{"$ref": "#"}]},
        {"not": {"anyOf": [{"$ref": "#"}]}},
        {"$ref": "#/definitions/a", "definitions": {"a": {"$ref": "#/definitions/a"}}},
        {
            "$ref": "#/definitions/a",
            "definitions": {"a": {"$ref": "#/definitions/b"}, "b": {"$ref": "#/definitions/a"}},
        },
        {"definitions": {"a": {"dependencies": {"x": {"$ref": "#/definitions/a"}}}}},
    ],
)
def test_a_schema_that_judges_one_value_without_end_is_refused(contents):
    assert "refers to itself" in refusal_of(contents)


def test_a_schema_may_return_to_itself_in_a_property_or_an_item():
    made = schema(
        {
            "properties": {"left": {"$ref": "#"}, "value": {"type": "integer"}},
            "items": {"$ref": "#"},
        }
    )

    assert fits(made, {"left": {"left": {"value": 1}}})
    assert not fits(made, {"left": {"left": {"value": "1"}}})


def test_a_schema_that_multiplies_itself_is_refused():
    definitions = {
        f"d{level}": {"allOf": [{"$ref": f"#/definitions/d{level + 1}"}] * 10}
        for level in range(12)
    }
    definitions["d12"] = {}

    assert str(JUDGES_MAX) in refusal_of({"definitions": definitions})


def test_a_long_chain_of_references_is_refused_for_one_value_and_accepted_for_properties():
    def chain(link):
        definitions = {f"d{level}": link(f"#/definitions/d{level + 1}") for level in range(200)}
        return {"$ref": "#/definitions/d0", "definitions": {**definitions, "d200": {}}}

    assert "steps" in refusal_of(chain(lambda target: {"$ref": target}))
    schema(chain(lambda target: {"properties": {"next": {"$ref": target}}}))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "is no JSON"),
        ('{"type":"strin"}', "#/type"),
        ("[" * 1000, "is no JSON"),
        ("5", "a schema is an object"),
    ],
)
def test_a_dependency_that_is_no_schema_is_refused_by_its_name(text, said):
    message = refusal_of({}, Dependency("a.json", text))

    assert '"a.json"' in message
    assert said in message


def test_two_dependencies_of_one_name_are_refused_unless_they_are_the_same():
    one = dependency("a.json", {"type": "string"})

    schema({"$ref": "a.json"}, one, dependency("b.json", {"$ref": "a.json"}, one))

    assert "a.json" in refusal_of({}, one, dependency("b.json", {}, dependency("a.json", {})))


def test_dependencies_that_share_dependencies_are_read_once():
    shared = dependency("d0.json", {})
    for level in range(1, 60):
        shared = dependency(f"d{level}.json", {}, shared, shared)

    assert fits(schema({"$ref": "d59.json"}, shared), 1)


def test_a_dynamic_reference_is_refused_where_it_has_two_ends():
    contents = {
        "$schema": DRAFTS[2020],
        "$id": "http://x/tree",
        "$dynamicAnchor": "node",
        "properties": {"next": {"$dynamicRef": "#node"}, "value": {"type": "integer"}},
    }

    assert not fits(schema(contents), {"next": {"value": "1"}})
    contents["$defs"] = {"x": {"$id": "http://x/strict", "$dynamicAnchor": "node"}}
    assert "use $ref" in refusal_of(contents)


# Payloads


@pytest.mark.parametrize(
    ("contents", "value", "said"),
    [
        ({"type": "integer"}, "x", ["$: ", "'type'", '"integer"']),
        ({"properties": {"a": {"minimum": 5}}}, {"a": 1}, ["$.a: 1", "'minimum'", "5"]),
        ({"items": {"maxLength": 1}}, ["a", "bb"], ["$[1]", "'maxLength'"]),
        ({"required": ["a", "b"]}, {"a": 1}, ['$: ["b"] is missing', "'required'"]),
        (
            {
                "properties": {"a": {}},
                "patternProperties": {"^x": {}},
                "additionalProperties": False,
            },
            {"a": 1, "x1": 1, "b c": 1},
            ['["b c"] may not be there', "'additionalProperties'"],
        ),
        (
            {"properties": {"a b": {"items": False}}},
            {"a b": [1]},
            ['$["a b"], or in', "leave it out"],
        ),
        (
            {"properties": {"a": {"anyOf": [{"type": "null"}, {"properties": {"b": False}}]}}},
            {"a": {"b": 1}},
            ["$.a.b", "nothing may be there"],
        ),
        ({"properties": {"a": False}}, {"a": 1}, ["$.a: nothing may be there"]),
        ({"enum": ["a", "b"]}, "c", ["'enum'", '["a","b"]']),
        ({"uniqueItems": True}, [1, 1.0], ["'uniqueItems'"]),
        ({"multipleOf": 0.1}, 0.25, ["'multipleOf'"]),
        ({"maxLength": 1}, "x" * 100_000, ["'maxLength'", "…"]),
    ],
)
def test_a_payload_that_does_not_fit_is_refused_with_its_place_and_the_keyword(
    contents, value, said
):
    message = refused_payload(contents, json.dumps(value).encode())

    assert all(each in message for each in said), message
    assert len(message) < 400


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"{",
        b'{"a":1,"a":2}',
        b"NaN",
        b"1e999",
        b"\xff",
        b'"\xc3"',
        b"1 2",
        b"[" * 100_000,
        b"\xef\xbb\xbf1",
        "1".encode("utf-16"),
    ],
)
def test_bytes_that_are_no_json_in_utf_8_are_refused(payload):
    assert refused_payload(True, payload)


def test_a_payload_may_be_a_view_of_bytes():
    schema({"type": "integer"}).check_payload(memoryview(b" 12 ")[1:3])


def test_decimals_are_multiples_as_they_are_written():
    assert fits(schema({"multipleOf": 0.1}), 0.3)
    assert fits(schema({"multipleOf": 0.01}), 19.99)
    assert fits(schema({"multipleOf": 1}), 10**400)
    assert not fits(schema({"multipleOf": 1e-300}), 1.5e-301)


def test_true_is_not_one():
    assert fits(schema({"uniqueItems": True}), [1, True, 0, False])
    assert not fits(schema({"enum": [1]}), True)
    assert not fits(schema({"type": "integer"}), True)


def test_unique_items_are_looked_for_in_one_pass():
    items = [{"a": index} for index in range(5_000)]

    assert fits(schema({"uniqueItems": True}), items)
    assert not fits(schema({"uniqueItems": True}), [*items, {"a": 7.0}])


def test_a_payload_that_is_nested_too_deep_is_refused():
    made = schema({"properties": {"a": {"$ref": "#"}}})

    for levels in (500, 5_000, 500_000):
        with pytest.raises(InvalidPayload, match="nested"):
            made.check_payload(b'{"a":' * levels + b"1" + b"}" * levels)


def test_items_that_are_all_alike_make_additional_items_mean_nothing():
    made = schema({"items": True, "additionalItems": False})

    assert fits(made, [1, 2])
