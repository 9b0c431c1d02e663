"""What keeps a Protobuf schema from reading what was written with another.

The first tables are facts about the public registry's rules: what it reports, and where.
"""

from __future__ import annotations

from typing import Any

import pytest
from google.protobuf import message_factory
from google.protobuf.descriptor_pb2 import FieldDescriptorProto, FileDescriptorProto
from google.protobuf.descriptor_pool import DescriptorPool
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.protobuf.compatibility import COMPATIBLE, incompatibilities
from schemas.protobuf.payload import check_message
from schemas.protobuf.schema import parse
from schemas.protobuf.types import Types
from schemas.schema import Dependency, Incompatibility

P3 = 'syntax = "proto3"; '
P2 = 'syntax = "proto2"; '


def found(writer: str, reader: str) -> list[str]:
    return [f"{each.rule} {each.path}" for each in compared(writer, reader)]


def compared(writer: str, reader: str) -> list[Incompatibility]:
    return parse(reader).incompatibilities(parse(writer))


def message(fields: str, beside: str = "") -> str:
    return f"{P3}message M {{ {fields} }} {beside}"


SAFE = [
    # what changes, the writer's schema, the reader's schema
    ("field added", message("string a = 1;"), message("string a = 1; float b = 2;")),
    ("field removed", message("string a = 1; string b = 2;"), message("string a = 1;")),
    ("field renumbered", message("string a = 1;"), message("string a = 2;")),
    ("field renamed", message("string a = 1;"), message("string b = 1;")),
    ("message added", message(""), message("", "message N {}")),
    ("nested message added", message(""), message("message N {}")),
    (
        "messages swapped",
        f"{P3}message A {{}} message B {{}}",
        f"{P3}message B {{}} message A {{}}",
    ),
    ("enum added", message(""), message("", "enum E { A = 0; }")),
    ("enum removed", message("enum E { A = 0; }"), message("")),
    (
        "constants added, removed and renamed",
        f"{P3}enum E {{ A = 0; B = 1; C = 2; }}",
        f"{P3}enum E {{ A = 0; RENAMED = 1; D = 3; }}",
    ),
    (
        "number to enum",
        message("int32 a = 1;", "enum E { A = 0; }"),
        message("E a = 1;", "enum E { A = 0; }"),
    ),
    (
        "one enum to another",
        message("E a = 1;", "enum E { A = 0; }"),
        message("F a = 1;", "enum F { B = 0; }"),
    ),
    ("proto3 optional added", message("int32 a = 1;"), message("optional int32 a = 1;")),
    ("proto3 optional removed", message("optional int32 a = 1;"), message("int32 a = 1;")),
    ("string becomes repeated", message("string a = 1;"), message("repeated string a = 1;")),
    ("bytes stop repeating", message("repeated bytes a = 1;"), message("bytes a = 1;")),
    ("message becomes repeated", message("M a = 1;"), message("repeated M a = 1;")),
    ("name qualified", message("N a = 1; message N {}"), message(".M.N a = 1; message N {}")),
    (
        "name qualified in a map",
        message("map<string, N> a = 1; message N {}"),
        message("map<string, M.N> a = 1; message N {}"),
    ),
    (
        "oneof added around new fields",
        message(""),
        message("oneof o { int32 a = 1; int32 b = 2; }"),
    ),
    (
        "one field moved into a new oneof",
        message("int32 a = 1; int32 b = 2;"),
        message("oneof o { int32 a = 1; int32 c = 3; } int32 b = 2;"),
    ),
    (
        "oneof grows",
        message("oneof o { int32 a = 1; }"),
        message("oneof o { int32 a = 1; int32 b = 2; }"),
    ),
    ("oneof removed with all its fields", message("oneof o { int32 a = 1; }"), message("")),
    (
        "oneof renamed",
        message("oneof o { int32 a = 1; int32 b = 2; }"),
        message("oneof renamed { int32 a = 1; int32 b = 2; }"),
    ),
    (
        "field moved out of its oneof",
        message("oneof o { int32 a = 1; int32 b = 2; }"),
        message("oneof o { int32 a = 1; } int32 b = 2;"),
    ),
    (
        "oneof split",
        message("oneof o { int32 a = 1; int32 b = 2; }"),
        message("oneof o { int32 a = 1; } oneof p { int32 b = 2; }"),
    ),
    (
        "required left to proto3",
        f"{P2}message M {{ required int32 a = 1; required string b = 2; }}",
        message("int32 a = 1; string b = 2;"),
    ),
    (
        "required string made optional",
        f"{P2}message M {{ required string a = 1; }}",
        f"{P2}message M {{ optional string a = 1; }}",
    ),
    (
        "group renamed",
        f"{P2}message M {{ optional group A = 1 {{ optional int32 x = 1; }} }}",
        f"{P2}message M {{ optional group B = 1 {{ optional int64 x = 1; }} }}",
    ),
    (
        "group removed",
        f"{P2}message M {{ optional group A = 1 {{ optional int32 x = 1; }} }}",
        f"{P2}message M {{ }}",
    ),
    (
        "service, options and reserved",
        message("int32 a = 1;", "service S { rpc R(M) returns (M); }"),
        message('int32 a = 1 [deprecated = true]; reserved 7; reserved "x";'),
    ),
]

BREAKING = [
    # the writer's schema, the reader's, what is found, and a reader that follows the remedies
    (
        f"{P3}package a; message M {{}}",
        f"{P3}package b; message M {{}}",
        ["PACKAGE_CHANGED #/"],
        f"{P3}package a; message M {{}}",
    ),
    (
        message("", "message N { message Deep {} } message Other {}"),
        message("", "message N {}"),
        ["MESSAGE_REMOVED #/N/Deep", "MESSAGE_REMOVED #/Other"],
        message("", "message N { message Deep {} } message Other {}"),
    ),
    (
        message("int32 a = 1;"),
        message("N a = 1; message N {}"),
        ["FIELD_KIND_CHANGED #/M/1"],
        message("reserved 1; N a = 2; message N {}"),
    ),
    (
        message("map<string, int32> a = 1;"),
        message("repeated string a = 1;"),
        ["FIELD_KIND_CHANGED #/M/1"],
        message("map<string, int32> a = 1; repeated string b = 2;"),
    ),
    (
        message("int32 a = 1;"),
        message("string a = 1;"),
        ["FIELD_SCALAR_KIND_CHANGED #/M/1"],
        message("reserved 1; string a = 2;"),
    ),
    (
        message("map<string, int32> a = 1; map<int32, string> b = 2;"),
        message("map<string, string> a = 1; map<string, string> b = 2;"),
        ["FIELD_SCALAR_KIND_CHANGED #/M/1", "FIELD_SCALAR_KIND_CHANGED #/M/2"],
        message("reserved 1, 2; map<string, string> a = 3; map<string, string> b = 4;"),
    ),
    (
        message("N a = 1;", "message N {} message O {}"),
        message("O a = 1;", "message N {} message O {}"),
        ["FIELD_NAMED_TYPE_CHANGED #/M/1"],
        message("reserved 1; O a = 2;", "message N {} message O {}"),
    ),
    (
        message("map<string, N> a = 1;", "message N {} message O {}"),
        message("map<string, O> a = 1;", "message N {} message O {}"),
        ["FIELD_NAMED_TYPE_CHANGED #/M/1"],
        message("reserved 1; map<string, O> a = 2;", "message N {} message O {}"),
    ),
    (
        message("optional int32 a = 1; repeated double b = 2;"),
        message("repeated int32 a = 1; optional double b = 2;"),
        ["FIELD_NUMERIC_LABEL_CHANGED #/M/1", "FIELD_NUMERIC_LABEL_CHANGED #/M/2"],
        message("optional int32 a = 1; repeated double b = 2; repeated int32 c = 3;"),
    ),
    (
        f"{P2}message M {{ required int32 a = 1; optional bool b = 2; }}",
        f"{P2}message M {{ optional int32 a = 1; required bool b = 2; }}",
        ["FIELD_NUMERIC_LABEL_CHANGED #/M/1", "FIELD_NUMERIC_LABEL_CHANGED #/M/2"],
        f"{P2}message M {{ required int32 a = 1; optional bool b = 2; }}",
    ),
    (
        f"{P2}message M {{ }}",
        f"{P2}message M {{ required string a = 1; }}",
        ["REQUIRED_FIELD_ADDED #/M/1"],
        f"{P2}message M {{ optional string a = 1; }}",
    ),
    (
        f"{P2}message M {{ required string a = 1; }}",
        f"{P2}message M {{ }}",
        ["REQUIRED_FIELD_REMOVED #/M/1"],
        f"{P2}message M {{ required string a = 1 [deprecated = true]; }}",
    ),
    (
        message("oneof o { int32 a = 1; int32 b = 2; }"),
        message("oneof o { int32 a = 1; }"),
        ["ONEOF_FIELD_REMOVED #/M/o/2"],
        message("oneof o { int32 a = 1; int32 b = 2 [deprecated = true]; }"),
    ),
    (
        message("oneof o { int32 a = 1; int32 b = 2; }"),
        message("oneof renamed { int32 a = 1; }"),
        ["ONEOF_FIELD_REMOVED #/M/o/2"],
        message("oneof renamed { int32 a = 1; int32 b = 2; }"),
    ),
    (
        message("int32 a = 1; optional int32 b = 2;"),
        message("oneof o { int32 a = 1; int32 b = 2; int32 c = 3; }"),
        ["MULTIPLE_FIELDS_MOVED_TO_ONEOF #/M/o"],
        message("oneof o { int32 a = 1; int32 c = 3; } optional int32 b = 2;"),
    ),
    (
        message("int32 a = 1; oneof o { int32 b = 2; }"),
        message("oneof o { int32 a = 1; int32 b = 2; }"),
        ["FIELD_MOVED_TO_EXISTING_ONEOF #/M/o"],
        message("int32 a = 1; oneof o { int32 b = 2; }"),
    ),
    (
        message("oneof o { int32 a = 1; } oneof p { int32 b = 2; }"),
        message("oneof q { int32 a = 1; int32 b = 2; }"),
        ["FIELD_MOVED_TO_EXISTING_ONEOF #/M/q"],
        message("oneof o { int32 a = 1; } oneof p { int32 b = 2; }"),
    ),
    (
        message("oneof o { float a = 1; int32 b = 2; }"),
        message("oneof renamed { float a = 1; string b = 2; }"),
        ["FIELD_SCALAR_KIND_CHANGED #/M/renamed/2"],
        message("oneof renamed { float a = 1; int32 b = 2; string c = 3; }"),
    ),
    (
        message("oneof o { float a = 1; int32 b = 2; }"),
        message("float a = 1; sint64 b = 2;"),
        ["FIELD_SCALAR_KIND_CHANGED #/M/2"],
        message("float a = 1; int32 b = 2; sint64 c = 3;"),
    ),
]

STRICTER = [
    # what the public registry lets pass, though readers break or lose what was written
    (
        message("repeated int32 a = 1;"),
        message("int32 a = 1;"),
        ["FIELD_NUMERIC_LABEL_CHANGED #/M/1"],
    ),
    (
        message("E a = 1; enum E { A = 0; }"),
        message("repeated E a = 1; enum E { A = 0; }"),
        ["FIELD_NUMERIC_LABEL_CHANGED #/M/1"],
    ),
    (
        f"{P2}message M {{ optional string a = 1; repeated M b = 2; }}",
        f"{P2}message M {{ required string a = 1; required M b = 2; }}",
        ["REQUIRED_FIELD_ADDED #/M/1", "REQUIRED_FIELD_ADDED #/M/2"],
    ),
    (
        message("int32 a = 1;"),
        f"{P2}message M {{ required int32 a = 1; }}",
        ["FIELD_NUMERIC_LABEL_CHANGED #/M/1"],
    ),
    (
        f"{P2}message M {{ optional group G = 1 {{ optional int32 x = 1; }} }}",
        f"{P2}message M {{ optional G g = 1; message G {{ optional int32 x = 1; }} }}",
        ["FIELD_KIND_CHANGED #/M/1"],
    ),
    (
        f"{P2}message M {{ optional group G = 1 {{ optional int32 x = 1; }} }}",
        f"{P2}message M {{ optional group G = 1 {{ optional string x = 1; }} }}",
        ["FIELD_SCALAR_KIND_CHANGED #/M/G/1"],
    ),
    (
        f"{P2}message M {{ extensions 10 to 20; }} extend M {{ optional int32 a = 10; }}",
        f"{P2}message M {{ optional string a = 10; }}",
        ["FIELD_SCALAR_KIND_CHANGED #/M/10"],
    ),
]


@pytest.mark.parametrize(
    ("writer", "reader"), [row[1:] for row in SAFE], ids=[row[0] for row in SAFE]
)
def test_what_the_rules_let_pass_is_compatible(writer, reader):
    assert found(writer, reader) == []


@pytest.mark.parametrize(("writer", "reader", "expected", "remedied"), BREAKING)
def test_all_violations_are_found_where_they_are_and_can_be_remedied(
    writer, reader, expected, remedied
):
    assert found(writer, reader) == expected
    assert found(writer, remedied) == []


@pytest.mark.parametrize(("writer", "reader", "expected"), STRICTER)
def test_what_breaks_readers_is_found_where_the_public_registry_is_silent(writer, reader, expected):
    assert found(writer, reader) == expected


FAMILIES = [
    ["int32", "int64", "uint32", "uint64", "bool", "E"],
    ["sint32", "sint64"],
    ["fixed32", "sfixed32"],
    ["fixed64", "sfixed64"],
    ["string", "bytes"],
    ["float"],
    ["double"],
]


def test_scalars_can_be_exchanged_within_their_family_alone():
    types = [name for family in FAMILIES for name in family]
    family_of = {name: family for family in FAMILIES for name in family}
    # Field n * i + j is read as the i-th type and was written as the j-th.
    reader, writer = (
        "".join(
            f"{(one, other)[side]} f{i}x{j} = {len(types) * i + j + 1};"
            for i, one in enumerate(types)
            for j, other in enumerate(types)
        )
        for side in (0, 1)
    )
    enum = "enum E { A = 0; }"
    refused = {
        int(each.path.rpartition("/")[2]): each
        for each in compared(message(writer, enum), message(reader, enum))
    }

    for i, one in enumerate(types):
        for j, other in enumerate(types):
            problem = refused.get(len(types) * i + j + 1)
            assert (problem is None) == (other in family_of[one]), (one, other)
            if problem is not None:
                assert problem.rule == "FIELD_SCALAR_KIND_CHANGED"
                assert (problem.reader, problem.writer) == (one, other)


HOME = (
    "package far; message Home { int32 id = 1; Room room = 2; message Room { M m = 1; } } "
    "message M { Home h = 1; int32 x = 2; }"
)
USES = f'{P3}import "home.proto"; message Mine {{ far.Home home = 1; map<string, far.M> ms = 2; }}'


def imported(text: str, home: str = HOME) -> Any:
    return parse(text, [Dependency("home.proto", P3 + home)])


def test_imported_messages_are_compared_by_what_is_in_them():
    changed = HOME.replace("int32 x", "string x")
    problems = imported(USES, changed).incompatibilities(imported(USES))

    assert sorted(f"{each.rule} {each.path}" for each in problems) == [
        "FIELD_NAMED_TYPE_CHANGED #/Home/2",
        "FIELD_NAMED_TYPE_CHANGED #/Home/Room/1",
        "FIELD_NAMED_TYPE_CHANGED #/M/1",
        "FIELD_NAMED_TYPE_CHANGED #/Mine/1",
        "FIELD_NAMED_TYPE_CHANGED #/Mine/2",
        "FIELD_SCALAR_KIND_CHANGED #/M/2",
    ]
    assert imported(USES).incompatibilities(imported(USES)) == []


def test_imported_messages_may_come_from_another_package_or_file():
    moved = imported(USES.replace("far.", "near."), HOME.replace("package far", "package near"))
    inlined = parse(
        P3
        + "package far; message Mine { Home home = 1; map<string, M> ms = 2; } "
        + HOME.removeprefix("package far; ")
    )
    within = imported(P3 + 'package far; import "home.proto"; message Mine { Home home = 1; }')

    assert moved.incompatibilities(imported(USES)) == []
    assert inlined.incompatibilities(within) == []
    assert [each.rule for each in within.incompatibilities(inlined)] == ["MESSAGE_REMOVED"] * 2


def test_a_chain_of_imported_messages_may_be_long():
    def chain(end: str) -> Any:
        links = "".join(f"message M{n} {{ M{n + 1} next = 1; }}" for n in range(500))
        home = f"{links} message M500 {{ {end} x = 1; }}"
        return imported(f'{P3}import "home.proto"; message Mine {{ M0 first = 1; }}', home)

    problems = chain("string").incompatibilities(chain("int32"))

    assert len(problems) == 502
    assert {each.rule for each in problems[:-1]} >= {"FIELD_NAMED_TYPE_CHANGED"}


def test_a_violation_says_what_why_and_what_to_do():
    writer = f"{P3}package shop; message Order {{ int32 amount = 3; }}"
    reader = f"{P3}package shop; message Order {{ Money amount = 3; message Money {{}} }}"
    (problem,) = compared(writer, reader)

    assert problem == Incompatibility(
        rule="FIELD_KIND_CHANGED",
        path="#/Order/3",
        reader="shop.Order.Money",
        writer="int32",
        why="field amount (3) of message Order is int32 for writers and shop.Order.Money for "
        "readers: a scalar is no message",
        remedy="keep 3 as int32, and take a new field number for shop.Order.Money; if nobody "
        "needs the old one, 'reserved 3;' in its place",
    )


_F = FieldDescriptorProto
TYPES = [*(n for k, n in _F.Type.items() if k != "TYPE_GROUP")]
NEAR = {  # what a type is often changed to
    _F.TYPE_INT32: _F.TYPE_INT64,
    _F.TYPE_STRING: _F.TYPE_BYTES,
    _F.TYPE_BYTES: _F.TYPE_STRING,
    _F.TYPE_FIXED32: _F.TYPE_SFIXED32,
    _F.TYPE_DOUBLE: _F.TYPE_FLOAT,
    _F.TYPE_ENUM: _F.TYPE_BOOL,
    _F.TYPE_UINT64: _F.TYPE_ENUM,
}
Fields = dict[int, tuple[int, int, bool]]
"""Type, label, and whether it is in the oneof, by number."""


@st.composite
def schemas(draw: Any) -> tuple[FileDescriptorProto, FileDescriptorProto]:
    """Draw a writer's file, and a reader's which is much like it."""
    field = st.tuples(st.sampled_from(TYPES), st.sampled_from([1, 1, 2, 3]), st.booleans())
    shape = st.dictionaries(st.integers(1, 6), field, max_size=5)
    writer: dict[str, Fields] = {name: draw(shape) for name in ("A", "B")}
    reader: dict[str, Fields] = {}
    for name, fields in writer.items():
        reader[name] = changed = dict(fields)
        for number in list(changed):
            kind, label, in_oneof = changed[number]
            match draw(st.sampled_from(["keep", "keep", "keep", "near", "label", "oneof", "drop"])):
                case "near":
                    changed[number] = (NEAR.get(kind, kind), label, in_oneof)
                case "label":
                    changed[number] = (kind, draw(st.sampled_from([1, 2, 3])), in_oneof)
                case "oneof":
                    changed[number] = (kind, label, not in_oneof)
                case "drop":
                    del changed[number]
        changed.update(draw(st.dictionaries(st.integers(7, 8), field, max_size=1)))
    syntax = st.sampled_from(["proto2", "proto2", "proto3"])
    return file_of(writer, draw(syntax)), file_of(reader, draw(syntax))


def file_of(messages: dict[str, Fields], syntax: str) -> FileDescriptorProto:
    file = FileDescriptorProto(name="f.proto", syntax=syntax)
    enum = file.enum_type.add(name="E")
    enum.value.add(name="ZERO", number=0)
    enum.value.add(name="ONE", number=1)
    for name, fields in messages.items():
        described = file.message_type.add(name=name)
        if any(in_oneof and label == 1 for _, label, in_oneof in fields.values()):
            described.oneof_decl.add(name="o")
        for number, (kind, label, in_oneof) in fields.items():
            field = described.field.add(name=f"f{number}", number=number, type=kind, label=label)
            if label == 2 and (syntax == "proto3" or kind in {_F.TYPE_MESSAGE, _F.TYPE_ENUM}):
                field.label = 1  # it would have to be within itself, or one of the constants
            if kind == _F.TYPE_MESSAGE:
                field.type_name = ".B"
            elif kind == _F.TYPE_ENUM:
                field.type_name = ".E"
            if in_oneof and described.oneof_decl and field.label == 1 == label:
                field.oneof_index = 0
    return file


def class_of(file: FileDescriptorProto, name: str) -> Any:
    pool = DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(name))


VALUES: dict[int, st.SearchStrategy[Any]] = {
    _F.TYPE_STRING: st.text(max_size=5),
    _F.TYPE_BYTES: st.text(max_size=5).map(str.encode),  # as a string, bytes have to be UTF-8
    _F.TYPE_BOOL: st.booleans(),
    _F.TYPE_FLOAT: st.floats(width=32),
    _F.TYPE_DOUBLE: st.floats(),
    _F.TYPE_ENUM: st.integers(0, 1),
    _F.TYPE_UINT32: st.integers(0, 2**32 - 1),
    _F.TYPE_FIXED32: st.integers(0, 2**32 - 1),
    _F.TYPE_UINT64: st.integers(0, 2**64 - 1),
    _F.TYPE_FIXED64: st.integers(0, 2**64 - 1),
    _F.TYPE_INT64: st.integers(-(2**63), 2**63 - 1),
    _F.TYPE_SINT64: st.integers(-(2**63), 2**63 - 1),
    _F.TYPE_SFIXED64: st.integers(-(2**63), 2**63 - 1),
}


def fill(message: Any, draw: Any, depth: int = 0) -> None:
    """Set fields of a message to anything; what is required always."""
    for field in message.DESCRIPTOR.fields:
        if not field.is_required and not draw(st.booleans()):
            continue
        if field.type == field.TYPE_MESSAGE:
            if depth < 2:
                inner = getattr(message, field.name)
                fill(inner.add() if field.is_repeated else inner, draw, depth + 1)
                if not field.is_repeated:
                    inner.SetInParent()
            continue
        value = draw(VALUES.get(field.type, st.integers(-(2**31), 2**31 - 1)))
        if field.is_repeated:
            getattr(message, field.name).extend([value, value])
        else:
            setattr(message, field.name, value)


@given(schemas(), st.data())
def test_whatever_is_called_compatible_can_be_read(pair, data):
    writer, reader = pair
    problems = incompatibilities(Types(reader, ()), Types(writer, ()))
    for problem in problems:
        assert problem.rule not in COMPATIBLE
        assert all((problem.path.startswith("#/"), problem.why, problem.remedy))
        assert problem.reader or problem.writer
    if not problems:
        for name in ("A", "B"):
            written = class_of(writer, name)()
            fill(written, data.draw)
            check_message(class_of(reader, name).DESCRIPTOR, written.SerializeToString())


@settings(max_examples=15)
@given(schemas())
def test_a_schema_reads_itself(pair):
    for file in pair:
        assert incompatibilities(Types(file, ()), Types(file, ())) == []
