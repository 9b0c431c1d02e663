"""Avro schemas: what is one, how it is printed, and which payloads are its values."""

from __future__ import annotations

import json

import fastavro
import pytest
from fastavro.schema import to_parsing_canonical_form
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.avro.parser import NESTING_MAX
from schemas.avro.schema import DEPENDENCY_DEPTH_MAX, parse
from schemas.avro.width import HOLDING_MAX
from schemas.schema import (
    SCHEMA_CHARACTERS_MAX,
    Dependency,
    InvalidPayload,
    InvalidSchema,
    SchemaType,
)
from tests.schemas.avro.schemas import (
    array,
    decode,
    encode,
    enum,
    fixed,
    map_of,
    record,
    schemas,
    text_of,
    values,
)

LIST = record("List", ("head", "long"), ("tail", ["null", "List"]))


def parsed(schema, *dependencies):
    return parse(text_of(schema), dependencies)


def nested(depth, innermost="int"):
    """So many arrays in one another."""
    return '{"type":"array","items":' * depth + json.dumps(innermost) + "}" * depth


# Text.


@pytest.mark.parametrize(
    ("text", "printed"),
    [
        ('"string"', '"string"'),
        ('{"type": "string"}', '"string"'),
        ('{"type":"string","doc":"nothing to a primitive"}', '"string"'),
        ('{"x": 1, "type": "bytes"}', '{"type":"bytes","x":1}'),
        (' [ "null" , {"type":"int"} ] ', '["null","int"]'),
        ("[]", "[]"),
        (
            '{"logicalType":"decimal","type":"bytes","precision":4,"scale":9}',
            '{"type":"bytes","logicalType":"decimal","precision":4,"scale":9}',
        ),
        ('{"items":{"type":"int"},"y":1,"type":"array"}', '{"type":"array","items":"int","y":1}'),
        ('{"values":"long","type":"map"}', '{"type":"map","values":"long"}'),
        (
            '{"size":4,"name":"a.b.F","type":"fixed","aliases":["G","c.H"],"doc":"d"}',
            '{"type":"fixed","name":"F","namespace":"a.b","doc":"d","size":4,"aliases":["G","c.H"]}',
        ),
        (
            '{"type":"enum","aliases":["X"],"z":1,"default":"A","symbols":["A","B"],"name":"E"}',
            '{"type":"enum","name":"E","symbols":["A","B"],"default":"A","z":1,"aliases":["X"]}',
        ),
        (
            '{"type":"record","name":"a.R","namespace":"ignored","fields":[{"type":"int","name":"f",'
            '"p":true,"aliases":["g"],"order":"IGNORE","default":7,"doc":"d"}],"doc":"D","q":null}',
            '{"type":"record","name":"R","namespace":"a","doc":"D","fields":[{"name":"f","type":"int",'
            '"doc":"d","default":7,"order":"ignore","aliases":["g"],"p":true}],"q":null}',
        ),
        ('{"type":"record","name":"R","fields":[]}', '{"type":"record","name":"R","fields":[]}'),
        ('{"type":"error","name":"R","fields":[]}', '{"type":"error","name":"R","fields":[]}'),
        (
            '{"type":"record","name":"R","fields":[{"name":"f","type":"int","order":"ascending"}]}',
            '{"type":"record","name":"R","fields":[{"name":"f","type":"int"}]}',
        ),
        (
            '{"type":"record","name":"R","fields":[{"name":"f","type":"double","default":"2.5"}]}',
            '{"type":"record","name":"R","fields":[{"name":"f","type":"double","default":2.5}]}',
        ),
        ('{"type":"int","x":"\\u00e9\\u2028\\n\\"/"}', '{"type":"int","x":"é\u2028\\n\\"/"}'),
        ('{"type":"int","a":null,"namespace":"x"}', '{"type":"int","a":null}'),
        (
            '{"type":"fixed","name":"F","doc":null,"size":1,"namespace":null}',
            '{"type":"fixed","name":"F","size":1}',
        ),
    ],
)  # fmt: skip
def test_a_schema_is_printed_as_apache_avro_prints_it(text, printed):
    schema = parse(text)

    assert schema.text == printed
    assert schema.type is SchemaType.AVRO


def test_a_namespace_is_printed_where_it_changes_and_names_are_short_where_it_is_the_same():
    inner = record(
        "b.Inner",
        ("same", ["null", "Inner"]),
        ("outer", ["null", "a.Outer"]),
        ("none", fixed("Bare", 1, namespace="")),
        ("bare", array("Bare")),
    )

    kinds = ("kind", fixed("enum", 1)), ("k", "enum")

    schema = parsed(record("a.Outer", ("in", inner), ("again", "b.Inner"), *kinds))

    assert schema.text == (
        '{"type":"record","name":"Outer","namespace":"a","fields":['
        '{"name":"in","type":{"type":"record","name":"Inner","namespace":"b","fields":['
        '{"name":"same","type":["null","Inner"]},{"name":"outer","type":["null","a.Outer"]},'
        '{"name":"none","type":{"type":"fixed","name":"Bare","namespace":"","size":1}},'
        '{"name":"bare","type":{"type":"array","items":"Bare"}}]}},'
        '{"name":"again","type":"b.Inner"},'
        '{"name":"kind","type":{"type":"fixed","name":"enum","size":1}},'
        '{"name":"k","type":"a.enum"}]}'
    )


@settings(max_examples=50)
@given(schemas())
def test_printing_keeps_what_a_schema_means(schema):
    ours = parsed(schema)
    meaning = to_parsing_canonical_form(fastavro.parse_schema(schema))

    for text in (ours.text, ours.normalized):
        assert to_parsing_canonical_form(fastavro.parse_schema(json.loads(text))) == meaning
        assert parse(text).text == parse(parse(text).text).text
    assert parse(ours.text).text == ours.text
    assert parse(ours.normalized).normalized == ours.normalized == parse(ours.text).normalized


# Normal form.


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ('{"type":"int"}', '"int"'),
        ('{"type":"int","b":{"y":1,"x":2},"a":0}', '{"a":0,"b":{"x":2,"y":1},"type":"int"}'),
        (
            '{"type":"fixed","name":"a.F","size":2,"aliases":["y","x"]}',
            '{"aliases":["a.x","y","x"],"size":2,"type":"fixed","namespace":"a","name":"F"}',
        ),
        (
            text_of(record("a.R", ("f", fixed("F", 1)), ("g", "F"))),
            text_of(record("R", ("f", fixed("a.F", 1)), ("g", "a.F"), namespace="a")),
        ),
        (
            text_of(record("R", ("f", "double", 1), ("m", map_of("float"), {"b": 2, "a": 1}))),
            text_of(record("R", ("f", "double", "1"), ("m", map_of("float"), {"a": 1.0, "b": 2}))),
        ),
        (
            '{"type":"record","name":"R","fields":[{"name":"f","type":"int","aliases":["y","x"]}]}',
            '{"type":"record","name":"R","fields":[{"aliases":["x","y"],"order":"ascending",'
            '"type":{"type":"int"},"name":"f"}],"aliases":[]}',
        ),
        (
            text_of(record("a.R", ("f", fixed("F", 1, namespace="")), aliases=[".Q"])),
            text_of(record("a.R", ("f", {"namespace": "", "size": 1, "type": "fixed", "name": "F"}), aliases=[".Q"])),  # noqa: E501
        ),
    ],
)  # fmt: skip
def test_schemas_that_differ_in_spelling_have_one_normal_form(one, other):
    assert parse(one).normalized == parse(other).normalized
    assert parse(parse(one).normalized).normalized == parse(one).normalized


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ('{"type":"int","a":1}', '{"type":"int","a":2}'),
        ('["null","int"]', '["int","null"]'),
        (text_of(record("R", ("f", "int"))), text_of(record("R", ("f", "int", 0)))),
        (text_of(record("R", doc="one")), text_of(record("R", doc="other"))),
        (text_of(record("R", aliases=["Q"])), text_of(record("R"))),
        (text_of(record("a.R", aliases=["Q"])), text_of(record("a.R", aliases=[".Q"]))),
        (text_of(enum("E", "AB")), text_of(enum("E", "BA"))),
    ],
)  # fmt: skip
def test_schemas_that_differ_in_meaning_have_different_normal_forms(one, other):
    assert parse(one).normalized != parse(other).normalized


@settings(max_examples=40)
@given(schemas(), st.randoms(use_true_random=False))
def test_the_order_of_keys_means_nothing_to_the_normal_form(schema, random):
    def shuffled(node):
        if isinstance(node, list):
            return [shuffled(each) for each in node]
        if not isinstance(node, dict):
            return node
        keys = list(node)
        random.shuffle(keys)
        return {key: shuffled(node[key]) for key in keys}

    assert parsed(shuffled(schema)).normalized == parsed(schema).normalized


# What is no schema.


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "no JSON"),
        ("string", 'write "string"'),
        ("com.x.Y", 'write "com.x.Y"'),
        ("{'type': 'int'}", "no JSON"),
        ('"int" "int"', "no JSON"),
        ("null", "null is no schema"),
        ("17", "17 is no schema"),
        ('"nope"', '"nope" is defined neither before this place'),
        ('"{\\"type\\":\\"int\\"}"', "encoded twice"),
        ("{}", 'no "type"'),
        ('{"type":["null","int"]}', "must be a string"),
        ('{"type":{"type":"int"}}', "must be a string"),
        ('{"type":"thing"}', "no kind of type"),
        ('{"type":"array"}', '"items" is missing'),
        ('{"type":"map","items":"int"}', '"values" is missing'),
        ('{"type":"array","items":7}', "at /items: 7 is no schema"),
        ('[["int"]]', "a union in a union"),
        ('["int",{"type":"int","logicalType":"date"}]', "at /1: a second branch"),
        ('[{"type":"array","items":"int"},{"type":"array","items":"string"}]', "second branch"),
        (text_of([fixed("F", 1), "F"]), "second branch"),
        (text_of({"type": "fixed", "size": 1}), "has no name"),
        (text_of(fixed("F", -1)), "number of bytes"),
        (text_of(fixed("F", "4")), "number of bytes"),
        (text_of(fixed("F", True)), "number of bytes"),
        (text_of(fixed("F", 2**31)), "number of bytes"),
        ('{"type":"fixed","name":"F"}', "number of bytes"),
        (text_of(fixed("1F", 1)), "no name"),
        (text_of(fixed("a-b", 1)), "no name"),
        (text_of(fixed("grüße", 1)), "no name"),
        (text_of(fixed(".F", 1)), "no name"),
        (text_of(fixed("a..F", 1)), "no name"),
        (text_of(fixed("F\n", 1)), "no name"),
        (text_of(fixed("F", 1, namespace="a.b-c")), "no namespace"),
        (text_of(fixed("F", 1, namespace="a.")), "no namespace"),
        (text_of(fixed("F", 1, namespace=3)), "no string"),
        (text_of(fixed("int", 1)), "name of a primitive type"),
        (text_of(fixed("a.int", 1)), "name of a primitive type"),
        (text_of(fixed("F", 1, aliases="G")), "array of strings"),
        (text_of(fixed("F", 1, aliases=[1])), "array of strings"),
        (text_of(fixed("F", 1, doc=1)), "no string"),
        ('{"type":"enum","name":"E"}', 'no "symbols"'),
        (text_of({"type": "enum", "name": "E", "symbols": "A"}), "array of strings"),
        (text_of(enum("E", "AA")), "there twice"),
        (text_of(enum("E", ["A", "b-c"])), "at /symbols/1"),
        (text_of(enum("E", "AB", default="C")), "none of the symbols"),
        (text_of(enum("E", "AB", default=1)), "no string"),
        ('{"type":"record","name":"R"}', 'no "fields"'),
        ('{"type":"record","name":"R","fields":{}}', 'no "fields"'),
        ('{"type":"record","name":"R","fields":["int"]}', "no field"),
        ('{"type":"record","name":"R","fields":[{"type":"int"}]}', "no name of a field"),
        ('{"type":"record","name":"R","fields":[{"name":"f"}]}', 'no "type"'),
        (text_of(record("R", ("a-b", "int"))), "no name of a field"),
        (text_of(record("R", ("a.b", "int"))), "no name of a field"),
        (text_of(record("R", ("f", "int"), ("f", "int"))), 'at /fields/1: a second field "f"'),
        (text_of({"type": "record", "name": "R", "fields": [
            {"name": "f", "type": "int"}, {"name": "g", "type": "int", "aliases": ["f"]}]}),
         'a name of field "f" too'),
        (text_of({"type": "record", "name": "R", "fields": [
            {"name": "f", "type": "int", "order": "up"}]}), "no order"),
        (text_of(record("R", ("f", record("R")))), "defined a second time"),
        (text_of(record("R", ("f", fixed("F", 1)), ("g", fixed("F", 1)))), "defined a second time"),
        (text_of(record("R", ("f", "F"), ("g", fixed("F", 1)))), "neither before this place"),
        (text_of(record("a.R", ("f", fixed("b.F", 1)), ("g", "F"))), '"a.F" is defined neither'),
        (text_of(record("R", ("f", "R"))), "holds itself"),
        (text_of(record("R", ("f", record("S", ("g", "R"))))), "holds itself"),
        ('{"type":"int","x":NaN}', "no number"),
        ('{"type":"int","x":1e999}', "too large a number"),
        ('{"type":"int","x":%s}' % ("9" * 5000), "no JSON"),
        ('{"type":"int","x":"\\ud800"}', "half of a surrogate pair"),
    ],
)  # fmt: skip
def test_what_the_specification_forbids_is_refused(text, said):
    with pytest.raises(InvalidSchema) as refused:
        parse(text)

    assert said in str(refused.value)


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "bytes", "logicalType": "decimal", "precision": -1},
        {"type": "int", "logicalType": "uuid"},
        {"type": "fixed", "name": "D", "size": 1, "logicalType": "decimal", "precision": 99},
        {"type": "string", "logicalType": 7},
        fixed("F", 0),
        enum("E", ""),
        record("R", ("f", "int"), aliases=["no name at all!", ""]),
        record("a.R", ("f", fixed("record", 1)), ("g", "a.record")),
        {"type": "enum", "name": "E", "symbols": ["A"], "default": None, "namespace": None},
    ],
)
def test_what_the_specification_allows_is_taken(schema):
    text = parsed(schema).text

    assert parse(text).text == text


# Defaults.


@pytest.mark.parametrize(
    ("kind", "default"),
    [
        ("null", None),
        ("boolean", False),
        ("int", 2**31 - 1),
        ("long", -(2**63)),
        ("float", 1),
        ("double", "NaN"),
        ("bytes", "\u00ff"),
        ("string", "\u2028"),
        (array("int"), [1, 2]),
        (map_of(array("string")), {"a": ["b"]}),
        (fixed("F", 2), "\u0000\u00ff"),
        (enum("E", "AB"), "B"),
        (record("S", ("a", "int"), ("b", "int", 1)), {"a": 1}),
        (record("S", ("a", "int", 1)), {"more": "is passed over"}),
        (["null", "int"], None),
        (["null", "int"], 1),
        (["int", "null"], None),
        ([record("S", ("a", "int")), map_of("string")], {"x": "y"}),
    ],
)
def test_a_default_may_be_what_its_type_takes_in_json(kind, default):
    assert parsed(record("R", ("f", kind, default)))


@pytest.mark.parametrize(
    ("kind", "default", "said"),
    [
        ("null", 0, "null needs null"),
        ("boolean", 1, "true or false"),
        ("int", None, 'let its type be ["null", ...]'),
        ("int", True, "32 bits"),
        ("int", 1.0, "32 bits"),
        ("int", 2**31, "32 bits"),
        ("int", "1", "32 bits"),
        ("long", 2**63, "64 bits"),
        ("float", False, "needs a number"),
        ("double", "many", "needs a number"),
        ("double", 10**400, "smaller number"),
        ("bytes", "\u0100", "U+00FF"),
        ("string", 1, "a string"),
        (array("int"), {}, "an array"),
        (array("int"), [1, "2"], "32 bits"),
        (map_of("int"), [], "an object"),
        (map_of("int"), {"a": None}, "32 bits"),
        (fixed("F", 2), "a", "2 characters"),
        (fixed("F", 2), "a\u0100", "2 characters"),
        (enum("E", "AB"), "C", '"A" and "B"'),
        (record("S", ("a", "int")), {}, 'needs "a" too'),
        (record("S", ("a", "int")), {"a": "1"}, "32 bits"),
        (record("S", ("a", "int")), 1, "needs an object"),
        (["null", "int"], "x", "no branch takes it"),
        ([], None, "no branch"),
    ],
)
def test_a_default_that_no_reader_can_use_is_refused(kind, default, said):
    with pytest.raises(InvalidSchema, match='field "f" of record "R": the default') as refused:
        parsed(record("R", ("f", kind, default)))

    assert said in str(refused.value)


# Size and depth.


def test_a_schema_may_be_nested_so_deep():
    schema = parse(nested(NESTING_MAX))

    assert schema.text == schema.normalized == nested(NESTING_MAX)
    schema.check_payload(b"\2" * NESTING_MAX + b"\2" + b"\0" * NESTING_MAX)


@pytest.mark.parametrize("depth", [NESTING_MAX + 1, 1_000, 30_000])
def test_a_schema_that_is_nested_deeper_is_refused(depth):
    for text in (
        nested(depth),
        "[" * depth,
        '{"type":"int","x":' + "[" * depth + "]" * depth + "}",
    ):
        with pytest.raises(InvalidSchema, match="nested deeper|no JSON"):
            parse(text)


def test_the_longest_text_is_taken_and_a_longer_one_is_not():
    head, tail = '{"type":"int","x":"', '"}'
    text = head + "y" * (SCHEMA_CHARACTERS_MAX - len(head) - len(tail)) + tail

    assert parse(text).text == text
    with pytest.raises(InvalidSchema, match="characters"):
        parse(text + " ")


@pytest.mark.parametrize("text", ["[" * SCHEMA_CHARACTERS_MAX, '"' * SCHEMA_CHARACTERS_MAX])
def test_long_nonsense_is_refused(text):
    with pytest.raises(InvalidSchema):
        parse(text)


def test_records_that_hold_one_another_too_deep_are_refused():
    chain = [record("R0", ("f", "int"))]
    chain += [record(f"R{i}", ("f", f"R{i - 1}")) for i in range(1, HOLDING_MAX + 2)]

    assert parsed(chain[:-1])
    with pytest.raises(InvalidSchema, match=f"{HOLDING_MAX + 1} levels deep"):
        parsed(chain)


def test_records_that_double_what_they_hold_cost_nothing():
    chain = [record("R0", ("f", "null"))]
    chain += [record(f"R{i}", ("f", f"R{i - 1}"), ("g", f"R{i - 1}")) for i in range(1, 60)]

    parsed(chain).check_payload(b"\x76")  # the last branch, and no byte more


@settings(max_examples=50)
@given(st.text(alphabet='{}[]":, \\abtypeRrcodnameflis01', max_size=60))
def test_no_text_is_more_than_refused(text):
    try:
        parse(text)
    except InvalidSchema:
        return


# Dependencies.

ADDRESS = Dependency("shop.Address", text_of(record("shop.Address", ("city", "string"))))
CUSTOMER = Dependency(
    "shop.Customer",
    text_of(record("shop.Customer", ("home", "Address"), ("work", "shop.Address"))),
    (ADDRESS,),
)
SUPPLIER = Dependency(
    "shop.Supplier", text_of(record("shop.Supplier", ("at", "shop.Address"))), (ADDRESS,)
)


def test_types_of_dependencies_are_used_by_name_however_they_are_come_by():
    schema = record("shop.Order", ("by", "Customer"), ("of", "shop.Supplier"), ("to", "Address"))

    ours = parsed(schema, CUSTOMER, SUPPLIER)

    assert ours.text == (
        '{"type":"record","name":"Order","namespace":"shop","fields":[{"name":"by",'
        '"type":"Customer"},{"name":"of","type":"Supplier"},{"name":"to","type":"Address"}]}'
    )
    assert '"type":"shop.Customer"' in ours.normalized
    ours.check_payload(b"\2a\2b\2c\2d")
    with pytest.raises(InvalidPayload, match='field "of.at.city"'):
        ours.check_payload(b"\2a\2b\4c")


def test_what_is_referred_to_can_be_written_in_where_it_is_used_first():
    schema = record("shop.Order", ("to", "Address"), ("by", "Customer"), ("of", "shop.Supplier"))

    ours = parsed(schema, CUSTOMER, SUPPLIER)

    resolved = record(
        "Order",
        ("to", record("Address", ("city", "string"))),
        ("by", record("Customer", ("home", "Address"), ("work", "Address"))),
        ("of", record("Supplier", ("at", "Address"))),
        namespace="shop",
    )
    assert json.loads(ours.resolved()) == resolved
    assert parse(ours.resolved()).normalized == parsed(resolved).normalized
    assert parse('"shop.Address"', [ADDRESS]).resolved() == (
        '{"type":"record","name":"Address","namespace":"shop","fields":'
        '[{"name":"city","type":"string"}]}'
    )


def test_what_is_defined_twice_alike_is_written_in_once():
    again = record("shop.Shop", ("of", "Customer"), ("at", record("Address", ("city", "string"))))

    resolved = parsed(again, CUSTOMER).resolved()

    assert resolved.count('"city"') == 1
    assert parse(resolved).resolved() == resolved


def test_references_too_deep_to_be_written_in_are_refused():
    dependency = Dependency("T0", text_of(record("T0", ("f", "int"))))
    for level in range(1, DEPENDENCY_DEPTH_MAX):
        kind = f"T{level - 1}"
        for _ in range(NESTING_MAX // 2):
            kind = array(kind)
        text = text_of(record(f"T{level}", ("f", kind)))
        dependency = Dependency(f"T{level}", text, (dependency,))

    ours = parse(f'"T{DEPENDENCY_DEPTH_MAX - 1}"', [dependency])
    with pytest.raises(InvalidSchema, match="nested too deep in one another"):
        ours.resolved()


@settings(max_examples=50)
@given(schemas())
def test_without_references_there_is_nothing_to_write_in(schema):
    ours = parsed(schema)

    assert ours.resolved() == ours.text


def test_a_schema_may_be_nothing_but_the_name_of_another():
    ours = parse('"shop.Address"', [ADDRESS])

    assert ours.text == ours.normalized == '"shop.Address"'
    ours.check_payload(b"\2a")


def test_a_dependency_that_is_not_used_does_no_harm():
    assert parse('"int"', [CUSTOMER]).text == '"int"'


def test_a_dependency_may_use_those_before_it():
    needy = Dependency("shop.Supplier", SUPPLIER.text)

    assert parse('"shop.Supplier"', [ADDRESS, needy])
    with pytest.raises(InvalidSchema, match='in dependency "shop.Supplier".*"shop.Address" is'):
        parse('"shop.Supplier"', [needy, ADDRESS])


def test_one_type_may_be_defined_in_several_dependencies_only_alike():
    inlined = record("shop.Address", ("city", {"type": "string"}))
    alike = Dependency("shop.Shop", text_of(record("shop.Shop", ("at", inlined))))
    other = Dependency("shop.Shop", text_of(record("shop.Shop", ("at", record("Address")))))

    assert parse('["shop.Shop","shop.Address"]', [ADDRESS, alike])
    with pytest.raises(InvalidSchema, match='"shop.Address" is defined otherwise'):
        parse('"shop.Shop"', [ADDRESS, other])


def test_what_a_dependency_defines_is_named_where_a_text_defines_it_again():
    again = record("shop.Shop", ("at", record("Address", ("city", "string"))))

    ours = parsed(again, ADDRESS)

    assert '"fields":[{"name":"at","type":"Address"}]' in ours.text
    assert parse(ours.text, [ADDRESS]).text == ours.text
    with pytest.raises(InvalidSchema, match="defined otherwise"):
        parsed(record("shop.Shop", ("at", record("Address", ("city", "bytes")))), ADDRESS)


def test_an_invalid_dependency_is_named():
    with pytest.raises(InvalidSchema, match=r'in dependency "a.B": at /: "nope"'):
        parse('"int"', [Dependency("a.B", '"nope"')])


def test_dependencies_that_share_theirs_are_read_once():
    dependency = Dependency("T0", text_of(record("T0", ("f", "int"))))
    for level in range(1, 80):
        text = text_of(record(f"T{level}", ("f", array(f"T{level - 1}"))))
        dependency = Dependency(f"T{level}", text, (dependency, dependency))

    assert parse('["T79","T0"]', [dependency])


def test_a_chain_of_dependencies_has_an_end():
    dependency = Dependency("T0", '"int"')
    for level in range(1, 5 * DEPENDENCY_DEPTH_MAX):
        dependency = Dependency(f"T{level}", '"int"', (dependency,))

    with pytest.raises(InvalidSchema, match="a chain of more than"):
        parse('"int"', [dependency])


# Payloads.


@settings(max_examples=40)
@given(st.data())
def test_whatever_is_written_with_a_schema_is_its_payload_and_nothing_shorter_or_longer(data):
    schema = data.draw(schemas())
    ours = parsed(schema)
    payload = encode(schema, data.draw(values(schema)))

    ours.check_payload(payload)
    ours.check_payload(memoryview(payload))
    for end in {0, len(payload) // 2, len(payload) - 1} - {-1, len(payload)}:
        with pytest.raises(InvalidPayload):
            ours.check_payload(payload[:end])
    with pytest.raises(InvalidPayload, match="ends at byte"):
        ours.check_payload(payload + b"\0")


@settings(max_examples=100)
@given(schemas(), st.lists(st.integers(0, 12) | st.integers(0, 255), max_size=30).map(bytes))
def test_whatever_bytes_are_taken_can_be_decoded(schema, payload):
    ours = parsed(schema)

    try:
        ours.check_payload(payload)
    except InvalidPayload:
        return
    decode(payload, schema)


ORDER = record(
    "Order",
    ("id", "long"),
    ("lines", array(record("Line", ("price", "double"), ("note", ["null", "string"])))),
    ("labels", map_of("string")),
    ("kind", enum("Kind", "AB")),
    ("paid", "boolean"),
    ("count", "int"),
    ("hash", fixed("Hash", 2)),
)
LINE = bytes(8) + b"\0"


@pytest.mark.parametrize(
    ("payload", "field", "said"),
    [
        (b"", "id", "the payload of 0 bytes ends in it"),
        (b"\xff" * 9 + b"\x02", "id", "more than 64 bits"),
        (b"\xff" * 10 + b"\1", "id", "more than 64 bits"),
        (b"\2\4" + bytes(8) + b"\2\2x" + bytes(7), "lines[1].price", "8 bytes expected, 7 remain"),
        (b"\2\4" + LINE + bytes(8) + b"\4", "lines[1].note", "branch 2 of a union that has 2"),
        (b"\2\2" + bytes(8) + b"\1", "lines[0].note", "branch -1 of a union"),
        (b"\2\2" + bytes(8) + b"\2\1", "lines[0].note", "a length of -1"),
        (b"\2\2" + bytes(8) + b"\2\4\xc3(", "lines[0].note", "not UTF-8"),
        (b"\2\2" + LINE + b"\2", "lines", "1 items announced, 0 bytes remain"),
        (b"\2\x80\x01" + LINE, "lines", "64 items announced, 9 bytes remain"),
        (b"\2\1\x10" + LINE, "lines", "a block that says it ends at byte 11 ends at byte 12"),
        (b"\2\0\4\2a\2b\2c", 'labels{"c"}', "ends in it"),
        (b"\2\0\2\2a\2\xff", 'labels{"a"}', "not UTF-8"),
        (b"\2\0\2\2\xff\2b", "labels{}", "not UTF-8"),
        (b"\2\0\0\4", "kind", 'symbol 2 of enum "Kind", which has 2'),
        (b"\2\0\0\1", "kind", "symbol -1"),
        (b"\2\0\0\0\2", "paid", "a boolean of 2"),
        (b"\2\0\0\0\1\x80\x80\x80\x80\x10", "count", "more than 32 bits"),
        (b"\2\0\0\0\1\x80\x80\x80\x80\x80\x01", "count", "more than 32 bits"),
        (b"\2\0\0\0\1\2\xaa", "hash", "2 bytes expected, 1 remain"),
    ],
)
def test_a_wrong_payload_is_refused_by_the_name_of_its_field(payload, field, said):
    with pytest.raises(InvalidPayload) as refused:
        parsed(ORDER).check_payload(payload)

    assert f'field "{field}" of record "Order"' in str(refused.value)
    assert said in str(refused.value)


@pytest.mark.parametrize(
    "payload",
    [
        b"\2\1\x12" + LINE + b"\0" + b"\0\0\1\xfe\xff\xff\xff\x0f..",  # a block that says its size
        b"\2\2" + LINE + b"\2" + LINE + b"\0" + b"\2\2a\2b\0" + b"\2\0\0..",  # two blocks
    ],
)
def test_a_payload_may_have_all_that_the_encoding_allows(payload):
    parsed(ORDER).check_payload(payload)
    decode(payload, ORDER)


def test_logical_types_do_not_narrow_what_may_be_written():
    date = parsed({"type": "int", "logicalType": "date"})
    moment = parsed({"type": "long", "logicalType": "timestamp-millis"})

    date.check_payload(b"\xff\xff\xff\xff\x0f")  # fastavro has no such year
    moment.check_payload(b"\xfe" + b"\xff" * 8 + b"\x01")


def test_a_long_list_is_walked_through_without_recursion():
    ours = parsed(LIST)

    ours.check_payload(b"\0\2" * 9_000 + b"\0\0")
    with pytest.raises(InvalidPayload, match="values inside of one another"):
        ours.check_payload(b"\0\2" * 500_000 + b"\0\0")


def test_items_that_take_no_bytes_cannot_be_announced_without_end():
    ours = parsed(record("R", ("a", array("null")), ("b", array(record("Empty")))))

    half, more = b"\x80\x80\x40\0", b"\x82\x80\x40\0"
    ours.check_payload(half + half)
    with pytest.raises(InvalidPayload, match='field "b".*take no bytes'):
        ours.check_payload(half + more)
    with pytest.raises(InvalidPayload, match="take no bytes"):
        ours.check_payload(b"\xfe" + b"\xff" * 8 + b"\x01\0\0")


def test_a_union_without_branches_has_no_payload():
    for payload in (b"", b"\0", b"\1"):
        with pytest.raises(InvalidPayload):
            parsed([]).check_payload(payload)
