"""Which Avro schemas read what others wrote, held against Apache Avro's own tables and code.

The tables are those of Apache Avro's tests (TestSchemaCompatibility and its companions in Java,
test_compatibility.py in Python). Its tests have one record that holds itself, of which no value
ends and which is no schema here; it holds a list of itself instead.
"""

from __future__ import annotations

import json

import avro.compatibility
import avro.errors
import avro.schema
import pytest
from fastavro.read import SchemaResolutionError
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from schemas.avro.compatibility import incompatibilities
from schemas.avro.parser import NESTING_MAX, read
from schemas.avro.schema import parse
from schemas.schema import Dependency, InvalidSchema
from tests.schemas.avro.schemas import (
    array,
    decode,
    encode,
    enum,
    fixed,
    map_of,
    mutated,
    record,
    schemas,
    text_of,
    values,
)

NAME_MISMATCH = "NAME_MISMATCH"
FIXED_SIZE_MISMATCH = "FIXED_SIZE_MISMATCH"
MISSING_ENUM_SYMBOLS = "MISSING_ENUM_SYMBOLS"
READER_FIELD_MISSING_DEFAULT_VALUE = "READER_FIELD_MISSING_DEFAULT_VALUE"
TYPE_MISMATCH = "TYPE_MISMATCH"
MISSING_UNION_BRANCH = "MISSING_UNION_BRANCH"


def found(reader, writer):
    return parse(text_of(reader)).incompatibilities(parse(text_of(writer)))


def rules(reader, writer):
    return [(each.rule, each.path) for each in found(reader, writer)]


def aliased(schema, *aliases):
    return {**schema, "aliases": list(aliases)}


def field(name, kind, *aliases):
    return {"name": name, "type": kind, "aliases": list(aliases)}


# What Apache Avro's tests have.

E1_AB, E1_ABC, E1_BC, E2_AB = (
    enum("Enum1", "AB"),
    enum("Enum1", "ABC"),
    enum("Enum1", "BC"),
    enum("Enum2", "AB"),
)
FIXED4, FIXED8 = fixed("Fixed", 4), fixed("Fixed", 8)
EMPTY1, EMPTY2 = record("Record1"), record("Record2")
A_INT, A_LONG = record("Record1", ("a", "int")), record("Record1", ("a", "long"))
A_INT_B_INT = record("Record1", ("a", "int"), ("b", "int"))
A_DINT = record("Record1", ("a", "int", 0))
A_INT_B_DINT = record("Record1", ("a", "int"), ("b", "int", 0))
A_DINT_B_DINT = record("Record1", ("a", "int", 0), ("b", "int", 0))


def a_and(kind, *default):
    return record("Record1", ("a", "int", 0), ("b", kind, *default))


def list_of(kind):
    return record("List", ("head", kind), ("tail", array("List")))


def with_enum(symbols, enum_default, *field_default):
    return record("Record", ("Field", enum("Enum", symbols, default=enum_default), *field_default))


def in_array(namespace):
    inner = record("InnerRecord1", ("a", "int"), namespace=namespace)
    return record("Record1", ("f1", ["null", array(inner)]))


COMPATIBLE = [
    *[(each, each) for each in ("boolean", "int", "long", "string", "bytes", "null")],
    ("long", "int"),
    ("float", "int"),
    ("float", "long"),
    ("double", "int"),
    ("double", "long"),
    ("double", "float"),
    ("string", "bytes"),
    ("bytes", "string"),
    (array("int"), array("int")),
    (array("long"), array("int")),
    (map_of("int"), map_of("int")),
    (map_of("long"), map_of("int")),
    (E1_AB, E1_AB),
    (E1_ABC, E1_AB),
    (enum("Enum1", "AB", default="A"), E1_ABC),
    (E1_AB, {**E1_AB, "namespace": "n1"}),
    ({**E1_AB, "namespace": "n1"}, E1_AB),
    ({**E1_AB, "namespace": "n1"}, {**E1_AB, "namespace": "n2"}),
    # Unions.
    ([], []),
    *[([each], []) for each in ("float", "int", "long", "double", "string", "bytes")],
    (["float"], ["int"]),
    (["float"], ["long"]),
    (["float"], ["int", "long"]),
    (["int"], ["int"]),
    (["int", "string"], ["string", "int"]),
    (["long"], ["int"]),
    (["double"], ["int"]),
    (["double"], ["long"]),
    (["double"], ["float"]),
    (["string"], ["bytes"]),
    (["bytes"], ["string"]),
    (["double"], ["int", "float"]),
    # A reader that reads every branch.
    ("float", ["int", "float"]),
    ("long", ["int", "long"]),
    ("double", ["int", "float"]),
    ("double", ["int", "long", "float", "double"]),
    ("float", ["float"]),
    (["int"], "int"),
    ("int", ["int"]),
    # Named types.
    (FIXED4, FIXED4),
    (EMPTY1, EMPTY1),
    (EMPTY1, A_INT),
    (A_INT, A_INT),
    (A_DINT, A_INT),
    (A_DINT, A_DINT),
    (A_INT, A_DINT),
    (A_LONG, A_INT),
    (A_INT, A_INT_B_INT),
    (A_DINT, A_INT_B_INT),
    (A_INT_B_DINT, A_INT),
    (A_DINT_B_DINT, EMPTY1),
    (A_DINT_B_DINT, A_INT),
    (A_INT_B_INT, A_DINT_B_DINT),
    (list_of("int"), list_of("int")),
    (list_of("long"), list_of("long")),
    (list_of("long"), list_of("int")),
    (with_enum("AB", "A"), with_enum("ABC", "A")),
    (with_enum("AB", "B", "A"), with_enum("ABC", "A", "B")),
    (in_array("ns1"), in_array("ns2")),
    (record("Record", ("f1", "int")), record("ns.Record", ("f1", "int"))),
    # Aliases.
    (
        {"type": "record", "name": "foo", "fields": [field("bar", "int", "f1")]},
        record("foo", ("f1", "int"), ("f2", "string")),
    ),
    (
        aliased(record("other", ("f1", "int")), "foo"),
        record("foo", ("f1", "int"), ("f2", "string")),
    ),
]

MISMATCHED_TYPES = [
    ("null", "int"),
    ("null", "long"),
    ("boolean", "int"),
    ("int", "null"),
    ("int", "boolean"),
    ("int", "long"),
    ("int", "float"),
    ("int", "double"),
    ("long", "float"),
    ("long", "double"),
    ("float", "double"),
    ("double", "string"),
    (FIXED4, "string"),
    ("string", "boolean"),
    ("string", "int"),
    ("bytes", "null"),
    ("bytes", "int"),
    (A_INT, "int"),
    (map_of("int"), array("int")),
    (array("int"), map_of("int")),
    ("int", E2_AB),
    (E2_AB, "int"),
    ("int", "string"),
    (map_of("string"), array("string")),
]
INT_AND = {
    "string": ["int", "string"],
    "record": ["int", record("Record1", ("field1", "int"))],
    "enum": ["int", E1_AB],
    "fixed": ["int", FIXED4],
    "boolean": ["int", "boolean"],
    "array": ["int", array("int")],
    "map": ["int", map_of("int")],
    "null": ["int", "null"],
}
INCOMPATIBLE = [
    *[(reader, writer, [(TYPE_MISMATCH, "/")]) for reader, writer in MISMATCHED_TYPES],
    (array("int"), array("long"), [(TYPE_MISMATCH, "/items")]),
    (map_of("int"), map_of("long"), [(TYPE_MISMATCH, "/values")]),
    ("float", ["int", "long", "float", "double"], [(TYPE_MISMATCH, "/3")]),
    ("long", ["int", "float"], [(TYPE_MISMATCH, "/1")]),
    ("int", ["int", "float"], [(TYPE_MISMATCH, "/1")]),
    (list_of("int"), list_of("long"), [(TYPE_MISMATCH, "/fields/0/type")]),
    (
        record("Account", ("age", "int")),
        record("Account", ("age", ["null", "int"], None)),
        [(TYPE_MISMATCH, "/fields/0/type/0")],
    ),
    # Unions of the reader.
    *[(["int"], writer, [(MISSING_UNION_BRANCH, "/1")]) for writer in INT_AND.values()],
    (["string"], ["int", "string"], [(MISSING_UNION_BRANCH, "/0")]),
    (["int", "string"], ["int", "string", "long"], [(MISSING_UNION_BRANCH, "/2")]),
    (
        ["int", record("Record1", ("field1", "int"))],
        ["int", record("Record2", ("field1", "int"))],
        [(MISSING_UNION_BRANCH, "/1")],
    ),
    *[
        (["int"], [each], [(MISSING_UNION_BRANCH, "/0")])
        for each in ("long", "float", "double", "bytes")
    ],
    (
        ["int"],
        ["int", "long", "float", "double"],
        [(MISSING_UNION_BRANCH, f"/{i}") for i in (1, 2, 3)],
    ),
    (
        a_and(["int"], 0),
        a_and(["int", "string"], 0),
        [(MISSING_UNION_BRANCH, "/fields/1/type/1")],
    ),
    # Names, sizes, symbols.
    (E1_AB, E2_AB, [(NAME_MISMATCH, "/name")]),
    (EMPTY2, EMPTY1, [(NAME_MISMATCH, "/name")]),
    (FIXED4, fixed("AnotherName", 4), [(NAME_MISMATCH, "/name")]),
    (a_and(E1_AB), a_and(E2_AB), [(NAME_MISMATCH, "/fields/1/type/name")]),
    (FIXED4, FIXED8, [(FIXED_SIZE_MISMATCH, "/size")]),
    (FIXED8, FIXED4, [(FIXED_SIZE_MISMATCH, "/size")]),
    (a_and(FIXED8), a_and(FIXED4), [(FIXED_SIZE_MISMATCH, "/fields/1/type/size")]),
    (a_and(FIXED4), a_and(FIXED8), [(FIXED_SIZE_MISMATCH, "/fields/1/type/size")]),
    (E1_AB, E1_ABC, [(MISSING_ENUM_SYMBOLS, "/symbols")]),
    (E1_BC, E1_ABC, [(MISSING_ENUM_SYMBOLS, "/symbols")]),
    (
        record("Record1", ("field1", E1_AB)),
        record("Record1", ("field1", E1_ABC)),
        [(MISSING_ENUM_SYMBOLS, "/fields/0/type/symbols")],
    ),
    # Fields.
    (A_INT, EMPTY1, [(READER_FIELD_MISSING_DEFAULT_VALUE, "/fields/0")]),
    (A_INT_B_DINT, EMPTY1, [(READER_FIELD_MISSING_DEFAULT_VALUE, "/fields/0")]),
    (
        record("Record", ("old1", "int"), ("new", "int")),
        record("Record", ("old1", "int"), ("old2", "string")),
        [(READER_FIELD_MISSING_DEFAULT_VALUE, "/fields/1")],
    ),
    # All of it at once.
    (
        record(
            "base",
            ("symbols", enum("symbols_type", "AC")),
            ("name", enum("name_type", "ABCD")),
            ("type", "string"),
            (
                "sub",
                record(
                    "sub_type",
                    ("same", "long", 42),
                    ("extra", "long"),
                    ("length", fixed("length_type", 4)),
                    ("branches", ["boolean"]),
                    ("no_union", ["boolean"]),
                    (
                        "elsewhere",
                        record("not_a.A", ("x", "boolean", True), ("y", array("string"))),
                    ),
                ),
            ),
        ),
        record(
            "base",
            ("symbols", enum("symbols_type", "ABCD")),
            ("name", enum("name_type_ERR", "ABCD")),
            ("type", "long"),
            (
                "sub",
                record(
                    "sub_type",
                    ("same", "long", 42),
                    ("length", fixed("length_type", 8)),
                    ("branches", ["boolean", "double", "string"]),
                    ("no_union", "long"),
                    ("elsewhere", record("a.A", ("x", "boolean", True), ("y", array("boolean")))),
                ),
            ),
        ),
        [
            (MISSING_ENUM_SYMBOLS, "/fields/0/type/symbols"),
            (NAME_MISMATCH, "/fields/1/type/name"),
            (TYPE_MISMATCH, "/fields/2/type"),
            (READER_FIELD_MISSING_DEFAULT_VALUE, "/fields/3/type/fields/1"),
            (FIXED_SIZE_MISMATCH, "/fields/3/type/fields/2/type/size"),
            (MISSING_UNION_BRANCH, "/fields/3/type/fields/3/type/1"),
            (MISSING_UNION_BRANCH, "/fields/3/type/fields/3/type/2"),
            (MISSING_UNION_BRANCH, "/fields/3/type/fields/4/type"),
            (TYPE_MISMATCH, "/fields/3/type/fields/5/type/fields/1/type/items"),
        ],
    ),
]


@pytest.mark.parametrize(("reader", "writer"), COMPATIBLE)
def test_what_apache_avro_reads_is_read(reader, writer):
    assert rules(reader, writer) == []


@pytest.mark.parametrize(("reader", "writer", "expected"), INCOMPATIBLE)
def test_what_apache_avro_does_not_read_is_not_read_for_the_same_reasons(reader, writer, expected):
    assert rules(reader, writer) == expected


# What its tests do not have.


@pytest.mark.parametrize(
    ("reader", "writer", "expected"),
    [
        # An alias is a full name, or one in the namespace of what it is an alias of.
        (aliased(fixed("a.New", 1), "Old"), fixed("a.Old", 1), []),
        (aliased(fixed("a.New", 1), "b.Old"), fixed("b.Old", 1), []),
        (aliased(fixed("a.New", 1), "Old"), fixed("b.Old", 1), [(NAME_MISMATCH, "/name")]),
        (aliased(fixed("a.New", 1), ".Old"), fixed("Old", 1), []),  # Java reads it and says no
        (fixed("a.New", 1), aliased(fixed("a.Old", 1), "New"), [(NAME_MISMATCH, "/name")]),
        (["null", aliased(record("New"), "Old")], ["null", record("Old")], []),
        # Names and fields that do not match are told together.
        (
            record("New", ("f", "int")),
            record("Old", ("f", "string")),
            [(NAME_MISMATCH, "/name"), (TYPE_MISMATCH, "/fields/0/type")],
        ),
        # An enum's default stands for symbols, not for the field.
        (
            record("R", ("f", enum("E", "A", default="A"))),
            record("R"),
            [(READER_FIELD_MISSING_DEFAULT_VALUE, "/fields/0")],
        ),
        # Java and fastavro fail on it.
        (
            {"type": "record", "name": "R", "fields": [field("a", "int", "b")]},
            record("R", ("a", "int"), ("b", "int")),
            [(NAME_MISMATCH, "/fields/0/aliases")],
        ),
        # A type that is used twice is told once.
        (
            record("R", ("f", fixed("F", 1)), ("g", "F"), ("h", array("F"))),
            record("R", ("f", fixed("F", 2)), ("g", "F"), ("h", array("F"))),
            [(FIXED_SIZE_MISMATCH, "/fields/0/type/size")],
        ),
        # A record of the right name does not do if it does not fit.
        (
            ["null", record("R", ("f", "int"))],
            ["null", record("R", ("f", "string"))],
            [(MISSING_UNION_BRANCH, "/1")],
        ),
        (
            [record("a.R", ("f", "int")), record("b.R", ("f", "string"))],
            record("c.R", ("f", "string")),
            [],
        ),
        (array(["int"]), array(["int", "string"]), [(MISSING_UNION_BRANCH, "/items/1")]),
        ("int", [], []),
        ([], "int", [(MISSING_UNION_BRANCH, "/")]),
        ({"type": "int", "logicalType": "date"}, "int", []),
        ({"type": "error", "name": "R", "fields": []}, record("R"), []),
    ],
)  # fmt: skip
def test_what_is_read_beyond_the_tables(reader, writer, expected):
    assert rules(reader, writer) == expected


def test_what_recursive_types_assume_of_one_another_is_taken_back():
    """While n.A is compared, n.B is taken to fit since n.A is, and then n.A does not fit.

    Apache Avro keeps the verdict on n.B, and calls compatible what nobody can read.
    """
    a = record("n.A", ("b", ["null", record("B", ("a", ["null", "A"]))]), ("x", "int"))
    either = [a, record("m.A", ("x", "string"))]
    reader = record("Root", ("first", array(either)), ("second", "n.B"))
    a = record("n.A", ("b", ["null", record("B", ("a", ["null", "A"]))]), ("x", "string"))
    writer = record("Root", ("first", array([a])), ("second", "n.B"))
    never_read = {"first": [], "second": {"a": {"b": None, "x": "no number"}}}

    assert rules(reader, writer) == [(MISSING_UNION_BRANCH, "/fields/1/type/fields/0/type/1")]
    assert judged_by_apache(reader, writer) == set()
    with pytest.raises(SchemaResolutionError, match="string is not int"):
        decode(encode(writer, never_read), writer, reader)


def test_a_field_of_a_recursive_type_is_told_once_and_not_for_every_place_that_follows():
    def tree(*more):
        return record("Tree", ("left", ["null", "Tree"]), ("right", ["null", "Tree"]), *more)

    assert rules(tree(("value", "int")), tree()) == [
        (READER_FIELD_MISSING_DEFAULT_VALUE, "/fields/2")
    ]


def test_recursive_types_are_compared_to_an_end():
    tree = record("Tree", ("value", "int"), ("children", array("Tree")), ("by", map_of("Tree")))
    wider = record("Tree", ("value", "long"), ("children", array("Tree")), ("by", map_of("Tree")))

    assert rules(tree, tree) == rules(wider, tree) == []
    assert rules(tree, wider) == [(TYPE_MISMATCH, "/fields/0/type")]


def test_types_of_dependencies_are_compared():
    def order(city):
        address = Dependency("Address", text_of(record("Address", ("city", city))))
        return parse(text_of(record("Order", ("to", "Address"), ("of", "Address"))), [address])

    (told,) = order("int").incompatibilities(order("string"))

    assert (told.rule, told.path) == (TYPE_MISMATCH, "/fields/0/type/fields/0/type")
    assert order("string").incompatibilities(order("bytes")) == []


# What people are told.


@pytest.mark.parametrize(
    ("reader", "writer", "why", "remedy"),
    [
        (
            record("User", ("age", "int")),
            record("User"),
            'field "age" (int) of record "User" is not among the fields of the writer\'s record '
            '"User", and has no default',
            'give field "age" a default, for instance "default": 0, '
            'or "default": null with type ["null", "int"]',
        ),
        (
            record("User", ("age", "int")),
            record("User", ("years", "int"), ("name", "string")),
            "has no default",
            'or, if it is "years" renamed, "aliases": ["years"]',
        ),
        (
            record("User", ("age", "int")),
            record("User", ("age", "long")),
            'field "age" was written as long, which cannot be read as int',
            'let field "age" be long again, or float or double, which can be read from it; '
            "or give the new type to a new field that has a default",
        ),
        (
            record("User", ("age", "int")),
            record("User", ("age", ["null", "int"])),
            "the writer's union of null and int may hold null, which cannot be read as int",
            'let field "age" be a union that takes null too: ["null", "int"]',
        ),
        (
            record("User", ("tags", array(map_of("int")))),
            record("User", ("tags", array(map_of("string")))),
            'each value of each item of field "tags" was written as string',
            'let each value of each item of field "tags" be string again',
        ),
        (
            enum("Suit", ["HEARTS", "CLUBS"]),
            enum("Suit", ["HEARTS", "SPADES"]),
            'enum "Suit" of the schema lacks the symbol "SPADES"',
            'keep the symbol "SPADES" in enum "Suit", or give it a default, '
            'for instance "default": "HEARTS"',
        ),
        (
            fixed("F", 4),
            fixed("F", 8),
            'was written as fixed "F" of 8 bytes, and is read as fixed "F" of 4 bytes',
            'let "size" of fixed "F" be 8 again',
        ),
        (
            record("a.New"),
            record("b.Old"),
            'was written as record "b.Old", and record "a.New" has no alias of that name',
            'give record "a.New" "aliases": ["b.Old"], or name it "Old" again',
        ),
        (
            record("R", ("f", ["null", "int"])),
            record("R", ("f", ["null", "int", "string"])),
            'field "f" may have been written as string, '
            "for which the reader's union of null and int has no branch",
            'add string to the union of field "f"',
        ),
        (
            record("R", ("to", ["null", record("Address", ("zip", "int"), ("city", "string"))])),
            record("R", ("to", ["null", record("Address", ("zip", "string"))])),
            'record "Address" has a branch that does not read it: field "to.zip" was written as '
            'string, which cannot be read as int; field "to.city" (string) of record "Address" is '
            "not among",
            'let field "to.zip" be string again, or bytes, which can be read from it; or give the '
            'new type to a new field that has a default; give field "to.city" a default',
        ),
    ],
)
def test_a_violation_names_the_place_both_types_and_what_helps(reader, writer, why, remedy):
    told = found(reader, writer)[0]

    assert why in told.why
    assert remedy in told.remedy


@pytest.mark.parametrize(
    ("kind", "default"),
    [
        ("null", "null"),
        ("boolean", "false"),
        ("string", '""'),
        (array("int"), "[]"),
        (map_of("int"), "{}"),
        (enum("E", "AB"), '"A"'),
        (["null", "int"], "null"),
        (["int", "null"], "null"),
        (["string", "int"], '""'),
    ],
)
def test_a_default_that_is_proposed_makes_it_pass(kind, default):
    (told,) = found(record("R", ("f", kind)), record("R"))

    assert f'for instance "default": {default}' in told.remedy
    assert rules(record("R", ("f", kind, json.loads(default))), record("R")) == []


# Held against other implementations.


def judged_by_apache(reader, writer):
    """Ask Apache Avro for Python. Returns: its rules; assumes that it knows the schemas."""
    try:
        pair = [avro.schema.parse(text_of(each)) for each in (reader, writer)]
    except avro.errors.AvroException:
        assume(False)
    checker = avro.compatibility.ReaderWriterCompatibilityChecker()
    result = checker.get_compatibility(*pair)
    kinds = avro.compatibility.SchemaCompatibilityType
    assert (result.compatibility is kinds.compatible) == (not result.incompatibilities)
    return {each.name.upper() for each in result.incompatibilities}


def parse_or_skip(schema):
    try:
        return parse(text_of(schema))
    except InvalidSchema:
        assume(False)


@settings(max_examples=40)
@given(st.data())
def test_verdicts_are_those_of_apache_avro(data):
    writer = data.draw(schemas())
    reader = data.draw(mutated(writer))
    if data.draw(st.booleans()):
        reader, writer = writer, reader
    ours = parse_or_skip(reader).incompatibilities(parse_or_skip(writer))
    told = {each.rule for each in ours}
    theirs = judged_by_apache(reader, writer)

    for each in ours:
        assert each.path.startswith("/")
        assert each.why
        assert each.remedy
    if any(each.path.endswith("/aliases") for each in ours):
        return  # a field that matches two of the writer's: they take the first, Java fails
    assert bool(told) == bool(theirs)
    if READER_FIELD_MISSING_DEFAULT_VALUE in told - theirs:
        theirs = theirs - {TYPE_MISMATCH} | {READER_FIELD_MISSING_DEFAULT_VALUE}
        told -= {TYPE_MISMATCH}  # a field that is an enum with a default: they compare it
    # What they assume of recursive types they do not take back, so they may miss a branch.
    assert told - {MISSING_UNION_BRANCH} == theirs - {MISSING_UNION_BRANCH}
    assert theirs <= told


@settings(max_examples=40)
@given(st.data())
def test_what_is_called_compatible_is_decoded_by_fastavro(data):
    writer = data.draw(schemas())
    reader = data.draw(mutated(writer))
    ours = parse_or_skip(reader)
    assume(not ours.incompatibilities(parse_or_skip(writer)))
    payload = encode(writer, data.draw(values(writer)))

    value = decode(payload, writer, reader)

    ours.check_payload(encode(reader, value))  # its defaults are filled in


# Size and depth.


@pytest.mark.parametrize("optional", [True, False])
def test_schemas_as_deep_as_they_may_be_are_compared(optional):
    def deep(kind):
        for _ in range(NESTING_MAX // 2):
            kind = array([kind]) if optional else array(array(kind))
        return kind

    assert rules(deep("long"), deep("int")) == []
    assert len(rules(deep("int"), deep("string"))) == 1


def test_long_chains_of_references_are_compared_without_recursion():
    def chain(kind):
        links = [record("R0", ("f", [kind]))]
        links += [record(f"R{i}", ("f", ["null", f"R{i - 1}"])) for i in range(1, 300)]
        return links

    told = found(chain("int"), chain("string"))

    assert len(told) == 300
    assert max(len(each.why) + len(each.remedy) for each in told) < 2_000
    assert rules(chain("long"), chain("int")) == []


def test_schemas_that_would_take_for_ever_to_compare_are_refused():
    reader, _ = read(text_of([record(f"n{i}.R", ("f", "int")) for i in range(100)]), {})
    writer, _ = read(text_of([record(f"n{i}.R") for i in range(100)]), {})

    assert len(incompatibilities(reader, writer)) == 100  # each told apart from 100 others
    with pytest.raises(InvalidSchema, match="too many steps"):
        incompatibilities(reader, writer, steps_max=10_000)
