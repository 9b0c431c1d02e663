"""Protobuf schemas: what is parsed, and the texts that stand for it."""

from __future__ import annotations

import pytest
from google.protobuf.descriptor_pb2 import FileDescriptorProto
from hypothesis import given, settings

from schemas.protobuf.compiler import KNOWN, google_types
from schemas.protobuf.schema import parse
from schemas.schema import Dependency, InvalidSchema, SchemaType
from tests.schemas.protobuf.files import WELL_KNOWN, base64_of, files

ORDER = """\
syntax = "proto3";
package shop;

message Order {
  string id = 1;
  map<string, int32> counts = 2;
  Line line = 3;
  message Line {}
}"""

SPELLED_OTHERWISE = """
// what is ordered
syntax = 'proto3'; package shop;
message Order {
  shop.Order.Line line = 0x3;   /* last */
  map < string , int32 > counts = 2;
  string id = 1 [json_name = "id"];
  message Line { }
}
"""


def test_it_is_a_schema_of_type_protobuf():
    assert parse(ORDER).type is SchemaType.PROTOBUF


def test_the_text_is_the_source_in_one_layout_without_comments():
    crowded = "/* orders */ " + " ".join(ORDER.split())

    assert parse(ORDER).text == ORDER
    assert parse(crowded).text == ORDER


def test_the_text_keeps_names_and_order_as_they_came():
    text = parse(SPELLED_OTHERWISE).text

    assert "shop.Order.Line line = 0x3;" in text
    assert text.index("line") < text.index("counts")


def test_the_normal_form_is_alike_for_what_is_spelled_otherwise():
    assert parse(ORDER).normalized == parse(SPELLED_OTHERWISE).normalized


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("message M { int32 a = 1; int32 b = 2; }", "message M { int32 b = 2; int32 a = 1; }"),
        (
            "message M { map<string, M> a = 1; message N {} map<string, M> b = 2; }",
            "message M { map<string, M> b = 2; message N {} map<string, M> a = 1; }",
        ),
        ("message M { reserved 1, 2, 4 to 6, 7; }", "message M { reserved 1 to 2, 4 to 7; }"),
        ("enum E { A = 0; B = 1; C = 2; }", "enum E { A = 0; C = 2; B = 0x1; }"),
        (
            'option java_package = "a"; option cc_enable_arenas = true;',
            'option cc_enable_arenas = true; option java_package = "\\141";',
        ),
        (
            'import "google/protobuf/any.proto"; import public "google/protobuf/empty.proto";',
            'import public "google/protobuf/empty.proto"; import "google/protobuf/any.proto";',
        ),
        (
            "message M { oneof b { int32 x = 3; int32 y = 1; } oneof a { int32 z = 2; } }",
            "message M { oneof a { int32 z = 2; } oneof b { int32 y = 1; int32 x = 3; } }",
        ),
        (
            'import "confluent/meta.proto"; message M { int32 a = 1 '
            '[deprecated = true, (confluent.field_meta) = { doc: "d" tags: ["x", "y"] }]; }',
            'import "confluent/meta.proto"; message M { int32 a = 1 [(.confluent.field_meta) = '
            '{ tags: "x", tags: "y", doc: "d" }, deprecated = true]; }',
        ),
    ],
    ids=["fields", "maps", "reserved", "enum", "options", "imports", "oneofs", "custom options"],
)
def test_the_normal_form_sorts_what_has_no_order(one, other):
    first, second = (parse(f'syntax = "proto3"; {text}') for text in (one, other))

    assert first.text != second.text
    assert first.normalized == second.normalized


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("message A {} message B {}", "message B {} message A {}"),
        ("message M { message A {} message B {} }", "message M { message B {} message A {} }"),
        (
            "enum E { A = 0; B = 0; option allow_alias = true; }",
            "enum E { B = 0; A = 0; option allow_alias = true; }",
        ),
        ("message M { int32 a = 1; }", "message M { optional int32 a = 1; }"),
        ("message M { int32 a = 1; }", "message M { int32 a = 1 [json_name = 'A']; }"),
        ("message M {}", "message M { reserved 1; }"),
    ],
)
def test_the_normal_form_keeps_what_has_a_meaning(one, other):
    first, second = (parse(f'syntax = "proto3"; {text}') for text in (one, other))

    assert first.normalized != second.normalized


@settings(max_examples=15)
@given(files())
def test_texts_are_read_back_as_the_same_schema(file):
    schema = parse(base64_of(file))
    again, normal = parse(schema.text), parse(schema.normalized)

    assert again.text == schema.text
    assert again.serialized() == schema.serialized()
    assert again.normalized == normal.normalized == schema.normalized
    assert normal.says_the_same_as(file)


def test_a_descriptor_in_base64_is_told_as_source():
    described = FileDescriptorProto.FromString(parse(ORDER).serialized())
    described.name = "somebody/elses/name.proto"
    schema = parse(base64_of(described))

    assert schema.text == ORDER.replace("Line line", ".shop.Order.Line line")
    assert schema.serialized() == parse(ORDER).serialized()
    assert schema.normalized == parse(ORDER).normalized


def test_the_serialized_form_is_the_files_own_descriptor():
    described = FileDescriptorProto.FromString(parse(ORDER).serialized())

    assert described.name == "default"
    assert [message.name for message in described.message_type] == ["Order"]
    assert not described.HasField("source_code_info")


@pytest.mark.parametrize("name", WELL_KNOWN)
def test_the_well_known_types_can_always_be_imported(name):
    path = f"google/protobuf/{name.replace('.', '/')}.proto"
    schema = parse(f'syntax = "proto3"; import "{path}";')

    assert FileDescriptorProto.FromString(schema.serialized()).dependency == [path]


@pytest.mark.parametrize(
    "name",
    [
        *(f"google/type/{path.name}" for path in sorted(google_types().glob("*.proto"))),
        *(str(path.relative_to(KNOWN)) for path in sorted(KNOWN.rglob("*.proto"))),
    ],
)
def test_what_the_public_registry_knows_can_always_be_imported(name):
    assert parse(f'syntax = "proto3"; import "{name}";').serialized()


def test_imports_are_found_among_dependencies_of_all_depths():
    inner = Dependency("deep/inner.proto", 'syntax = "proto3"; package in; message I {}')
    outer = Dependency(
        "outer.proto",
        'syntax = "proto3"; import public "deep/inner.proto"; message O { in.I i = 1; }',
        (inner,),
    )
    text = 'syntax = "proto3"; import "outer.proto"; message M { O o = 1; in.I i = 2; }'

    assert ".in.I i = 2;" in parse(text, [outer, inner]).normalized


def test_a_dependency_stands_in_front_of_what_is_known():
    own = Dependency("google/type/date.proto", 'syntax = "proto3"; message Own {}')

    assert parse(
        'syntax = "proto3"; import "google/type/date.proto"; message M { Own o = 1; }', [own]
    )


def test_the_options_of_the_installed_library_are_known():
    schema = parse('syntax = "proto3"; message M { string card = 1 [debug_redact = true]; }')

    assert "string card = 1 [debug_redact = true];" in schema.normalized


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            'syntax = "proto3";\nmessage M {\n  Foo x = 1;\n}',
            'line 3, column 3: "Foo" is',
        ),
        ('syntax = "proto3"; // é\n\n  message M { int32 x = 1 }', "line 3, column 27: Expected"),
        ('syntax = "proto3"; message M {', "line 1, column 30: Reached end"),
        ("message M { int32 x = 1; }", 'Expected "required"'),
        (
            'syntax = "proto9"; message M {}',
            'column 10: Unrecognized syntax identifier "proto9"',
        ),
        ('edition = "2023"; message M {}', "only proto2 and proto3"),
        ('syntax = "proto3"; import "other.proto";', "name it among the references"),
        ('syntax = "proto3"; message M { int32 x = 1; int32 y = 1; }', "number 1 has"),
        ('syntax = "proto3"; message M { int32 x = 19500; }', "19000 through 19999"),
        ('syntax = "proto3"; message M {} message M {}', '"M" is already defined'),
        ('syntax = "proto3"; enum E { A = 1; }', "line 1, column"),
        ('{"type": "record"}', "line 1, column 1"),
        ("", "neither .proto source nor"),
        ("  \n", "neither .proto source nor"),
        ("CgxvcmRlci5wcm90b0", "line 1, column 1"),
        ("AAAAAAAA", "neither .proto source nor"),
    ],
)
def test_an_error_names_its_place_in_the_text_as_it_came(text, said):
    with pytest.raises(InvalidSchema) as refused:
        parse(text)

    assert said in str(refused.value)


def test_an_error_in_an_import_names_the_import():
    broken = Dependency("broken.proto", 'syntax = "proto3";\nmessage M { Foo x = 1; }')
    worse = Dependency("worse.proto", "message {{ $")

    with pytest.raises(InvalidSchema, match=r'broken\.proto: line 2, column 13: "Foo"'):
        parse('syntax = "proto3"; import "broken.proto";', [broken])
    with pytest.raises(InvalidSchema, match=r"worse\.proto: line 1, column 12: '\$'"):
        parse('syntax = "proto3";', [worse])


def test_one_import_path_cannot_be_two_schemas():
    one = Dependency("a.proto", 'syntax = "proto3";')
    other = Dependency("a.proto", 'syntax = "proto3"; message M {}')
    between = Dependency("b.proto", 'syntax = "proto3"; import "a.proto";', (other,))

    with pytest.raises(InvalidSchema, match=r"'a\.proto' is two different schemas"):
        parse('syntax = "proto3";', [one, between])
