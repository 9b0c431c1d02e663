"""Hostile schemas of Protobuf: refused or compiled, but nothing else happens."""

from __future__ import annotations

import base64
import tempfile
from contextlib import suppress
from pathlib import Path

import pytest
from google.protobuf.descriptor_pb2 import FileDescriptorProto
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.protobuf.compiler import FILES_MAX
from schemas.protobuf.schema import parse
from schemas.protobuf.source import NESTING_MAX, lay_out
from schemas.schema import SCHEMA_CHARACTERS_MAX, Dependency, InvalidSchema
from tests.schemas.protobuf.files import EVERYTHING, RULES, base64_of

EMPTY = 'syntax = "proto3";'


@pytest.fixture
def temporary(tmp_path, monkeypatch):
    """Where temporary directories are made, in an otherwise empty place."""
    directory = tmp_path / "a" / "temporary"
    directory.mkdir(parents=True)
    monkeypatch.setattr(tempfile, "tempdir", str(directory))
    return directory


def everything_below(path: Path) -> set[str]:
    return {str(each.relative_to(path)) for each in path.rglob("*")}


@pytest.mark.parametrize(
    "path",
    [
        "../escaped.proto",
        "../../escaped.proto",
        "in/../../escaped.proto",
        "/escaped.proto",
        "//escaped.proto",
        ".",
        "..",
        "",
        "in//escaped.proto",
        "in/",
        "./escaped.proto",
        "in\\..\\..\\escaped.proto",
        "esc\0aped.proto",
        "esc\naped.proto",
        "\ud800.proto",
        '"; message Injected {} //',
        "x" * 300,
        "/".join(["x" * 200] * 10),
    ],
)
def test_no_name_of_a_dependency_leads_out_of_the_directory(path, temporary, tmp_path):
    with pytest.raises(InvalidSchema, match="import path"):
        parse(EMPTY, [Dependency(path, EMPTY)])

    assert everything_below(tmp_path) == {"a", "a/temporary"}


@pytest.mark.parametrize(
    "path",
    ["../secret.proto", "/etc/passwd", "a/../../secret.proto", "nul\\0", "x" * 300, "google/type"],
)
def test_no_import_reads_what_is_not_in_the_directory(path, temporary, tmp_path):
    (temporary / "secret.proto").write_text(
        'syntax = "proto3"; message Secret {}', encoding="utf-8"
    )

    with pytest.raises(InvalidSchema) as refused:
        parse(f'syntax = "proto3"; import "{path}"; message M {{ Secret s = 1; }}')

    assert str(temporary) not in str(refused.value)


@pytest.mark.parametrize(
    ("text", "dependencies"),
    [
        (EMPTY, [Dependency("deep/in/a.proto", EMPTY)]),
        ("message {", []),
        ('syntax = "proto3"; import "a.proto";', [Dependency("a.proto", "message M")]),
    ],
    ids=["compiled", "refused", "refused within"],
)
def test_nothing_is_left_on_disk(text, dependencies, temporary, tmp_path):
    with suppress(InvalidSchema):
        parse(text, dependencies)

    assert everything_below(tmp_path) == {"a", "a/temporary"}


@pytest.mark.parametrize("paths", [["a.proto", "a.proto/b.proto"], ["google"], ["google/protobuf"]])
def test_a_path_that_is_a_file_and_a_directory_is_refused(paths):
    with pytest.raises(InvalidSchema, match="cannot both be import paths"):
        parse(EMPTY, [Dependency(path, EMPTY) for path in paths])


@pytest.mark.parametrize("path", ["default", "default/a.proto", "google/protobuf/descriptor.proto"])
def test_a_dependency_may_have_a_name_that_is_ours(path):
    own = Dependency(path, 'syntax = "proto3"; message Own {}')
    schema = parse(f'syntax = "proto3"; import "{path}"; message M {{}}', [own])

    assert FileDescriptorProto.FromString(schema.serialized()).name == "default"


@pytest.mark.parametrize(
    "text",
    [
        "message M {" * 90_000,
        'syntax = "proto3";' + "message M {" * 80 + "}" * 80,
        'syntax = "proto2"; message M {' + "optional group G = 1 {" * 40_000,
        'syntax = "proto3"; option (a) = ' + "{ a: " * 100_000,
        'syntax = "proto3"; option (a) = { a: ' + "[" * 500_000,
        'syntax = "proto3"; option (a) = ' + "a<" * 500_000,
        'syntax = "proto3"; option ' + "(" * 900_000,
    ],
    ids=["messages", "closed", "groups", "options", "lists", "angles", "parentheses"],
)
def test_deep_nesting_is_refused_before_it_is_compiled(text):
    with pytest.raises(InvalidSchema, match="nested"):
        parse(text)


def test_as_much_nesting_as_is_allowed_is_compiled():
    text = 'syntax = "proto3";' + "message M {" * NESTING_MAX + "}" * NESTING_MAX
    schema = parse(text)

    assert parse(schema.normalized).normalized == schema.normalized
    schema.check_payload(bytes([2 * NESTING_MAX]) + b"\0" * NESTING_MAX)


def test_descriptors_as_deep_as_decoders_go_are_refused():
    file = FileDescriptorProto(name="default")
    message = file.message_type.add(name="M")
    for _ in range(90):
        message = message.nested_type.add(name="M")

    with pytest.raises(InvalidSchema, match="nested more than 30 deep"):
        parse(base64_of(file))


def test_a_thousand_fields_are_fine_and_one_three_hundred_times_is_not():
    many = "".join(f"int32 field_{number} = {number};" for number in range(1, 1_001))
    same = "int32 field = 1;" * 300

    assert parse(f'syntax = "proto3"; message M {{ {many} }}').text.count("\n") > 1_000
    with pytest.raises(InvalidSchema, match="field"):
        parse(f'syntax = "proto3"; message M {{ {same} }}')


@pytest.mark.parametrize(
    "text",
    [
        "message M {}" * 20_000,
        "message " + "M" * SCHEMA_CHARACTERS_MAX,
        'syntax = "proto3"; message M { ' + "int32 x = 1 [" + "deprecated = true," * 40_000,
        ";" * 1_000_000,
        "$" * 1_000_000,
        '"' + "\\" * 1_000_000,
        "/*" * 500_000,
        "CgZ" * 300_000,
    ],
    ids=["messages", "name", "options", "empty", "strange", "string", "comments", "base64"],
)
def test_long_texts_are_refused_soon(text):
    with pytest.raises(InvalidSchema):
        parse(text)


@pytest.mark.parametrize(
    "text",
    [
        'syntax = "proto3"; message M { string s = 1 [json_name = "\ud800"]; }',
        "\ud800",
        "\0",
        'syntax = "proto3"; option java_package = "a\0b";',
        'syntax = "proto3"; option java_package = "\\377";',
        'syntax = "proto3"; option java_package = "\\ud800";',
        'syntax = "proto3"; message M { int32 x = 99999999999999999999999; }',
        'syntax = "proto2"; message M { optional float x = 1 [default = 1e99999]; reserved 0; }',
        'syntax = "proto3"; message M { reserved 1 to -1; }',
        'syntax = "proto3"; enum E { A = 0; reserved max to 1; }',
        'syntax = "proto3"; import "google/protobuf/descriptor.proto"; extend google.protobuf.'
        "FieldOptions { int32 x = 1; }",
        'syntax = "proto3"; package google.protobuf; message FieldOptions {}',
        'syntax = "proto3"; package google.protobuf; message M { FieldOptions x = 1; }',
        'syntax = "proto3"; message M { map<string, M.XEntry> x = 1; M.XEntry y = 1; }',
    ],
)
def test_strange_texts_are_refused(text):
    with pytest.raises(InvalidSchema):
        parse(text)


def test_imports_in_a_circle_are_refused():
    first = Dependency("a.proto", 'syntax = "proto3"; import "b.proto";')
    second = Dependency("b.proto", 'syntax = "proto3"; import "a.proto";')

    with pytest.raises(InvalidSchema, match="recursively imports itself"):
        parse('syntax = "proto3"; import "a.proto";', [first, second])
    with pytest.raises(InvalidSchema, match="recursively imports itself"):
        parse('syntax = "proto3"; import "default";')


def test_references_may_be_many_and_shared_but_not_any_number():
    shared = Dependency("shared.proto", EMPTY)
    for number in range(40):  # with 2 to the 40th ways through them
        shared = Dependency(f"{number}.proto", EMPTY, (shared, shared))
    too_many = [Dependency(f"{number}.proto", EMPTY) for number in range(FILES_MAX)]

    assert parse(EMPTY, [shared])
    with pytest.raises(InvalidSchema, match="at most 1000"):
        parse(EMPTY, too_many)


@settings(max_examples=25)
@given(
    st.lists(
        st.tuples(st.integers(0, 10**6), st.sampled_from(["drop", "double", "swap"])),
        min_size=1,
        max_size=4,
    )
)
def test_damaged_sources_are_refused_or_mean_what_they_say(changes):
    tokens = lay_out(EVERYTHING).text.split()
    for number, change in changes:
        index = number % (len(tokens) - 1)
        if change == "drop":
            del tokens[index]
        elif change == "double":
            tokens.insert(index, tokens[index])
        else:
            tokens[index : index + 2] = reversed(tokens[index : index + 2])
    with suppress(InvalidSchema):
        schema = parse(" ".join(tokens), [RULES])
        assert parse(schema.text, [RULES]).serialized() == schema.serialized()


SERIALIZED = parse(
    'syntax = "proto2"; package shop; message A { optional int32 x = 1 [default = 3]; '
    'map<string, A> m = 2; oneof o { string s = 3; } optional bytes b = 5 [default = "\\377"]; '
    "optional group G = 4 {} extensions 10 to 20; optional E e = 6 [default = B]; reserved 30; } "
    "enum E { C = 0; B = 1; } extend A { optional int32 q = 10; }"
).serialized()


@settings(max_examples=25)
@given(st.lists(st.tuples(st.integers(0, len(SERIALIZED) - 1), st.integers(0, 255)), max_size=3))
def test_damaged_descriptors_are_refused_or_mean_what_they_say(changes):
    damaged = bytearray(SERIALIZED)
    for index, byte in changes:
        damaged[index] = byte
    with suppress(InvalidSchema):
        schema = parse(base64.b64encode(damaged).decode())
        assert schema.says_the_same_as(FileDescriptorProto.FromString(bytes(damaged)))
