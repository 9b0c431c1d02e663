"""Descriptors as .proto source: what is written is compiled back to the same."""

from __future__ import annotations

import base64

import pytest
from google.protobuf import descriptor_pb2
from google.protobuf.descriptor_pb2 import FieldDescriptorProto, FileDescriptorProto
from google.protobuf.descriptor_pool import DescriptorPool
from hypothesis import given, settings

from schemas.protobuf.compiler import DESCRIPTOR_PATH, compile_sources
from schemas.protobuf.names import json_name
from schemas.protobuf.normal import normal_form
from schemas.protobuf.schema import parse
from schemas.protobuf.source import lay_out
from schemas.protobuf.text import proto_source
from schemas.schema import Dependency, InvalidSchema
from tests.schemas.protobuf.files import (
    EVERYTHING,
    RULES,
    WELL_KNOWN,
    base64_of,
    files,
    module_file,
)


def recompiled(file: FileDescriptorProto, *dependencies: Dependency) -> FileDescriptorProto:
    """Give what a descriptor in base64 becomes on its way through source."""
    schema = parse(base64_of(file), dependencies)
    return FileDescriptorProto.FromString(schema.serialized())


def as_compiled(file: FileDescriptorProto) -> FileDescriptorProto:
    """Give a copy as the compiler would have it: it says nothing for proto2, and its own name."""
    copy = FileDescriptorProto()
    copy.CopyFrom(file)
    copy.name = "default"
    for extension in copy.extension:
        extension.json_name = json_name(extension.name)
    if copy.syntax == "proto2":
        copy.ClearField("syntax")
    return copy


@pytest.mark.parametrize("name", WELL_KNOWN)
def test_the_well_known_types_come_back_as_they_were(name):
    file = module_file(f"google.protobuf.{name}_pb2")

    assert recompiled(file) == as_compiled(file)


def test_the_descriptors_own_file_comes_back_as_it_was():
    compiled = compile_sources("default", {"default": lay_out('syntax = "proto3";')})
    (file,) = (each for each in compiled.file if each.name == DESCRIPTOR_PATH)
    expected = module_file("google.protobuf.descriptor_pb2")

    assert normal_form(file) == normal_form(expected)


@pytest.mark.parametrize(
    "name",
    ["annotations", "client", "distribution", "http", "monitored_resource", "quota", "resource"],
)
def test_files_of_googleapis_come_back_as_they_were(name):
    pytest.importorskip("google.api.annotations_pb2", reason="googleapis-common-protos")
    file = module_file(f"google.api.{name}_pb2")
    needed = [
        Dependency(path, parse(base64_of(module_file(module)), ()).text)
        for path in file.dependency
        if not path.startswith("google/protobuf/")
        and (module := path.removesuffix(".proto").replace("/", ".") + "_pb2")
    ]

    assert normal_form(recompiled(file, *needed)) == normal_form(file)


def test_all_that_a_file_can_say_comes_back_as_it_was():
    once = FileDescriptorProto.FromString(parse(EVERYTHING, [RULES]).serialized())

    assert recompiled(once, RULES) == once


def test_all_that_a_file_can_say_is_kept_by_the_normal_form():
    schema = parse(EVERYTHING, [RULES])
    again = parse(schema.normalized, [RULES])

    assert again.normalized == schema.normalized
    assert again.says_the_same_as(FileDescriptorProto.FromString(schema.serialized()))


@settings(max_examples=25)
@given(files())
def test_any_descriptor_comes_back_as_it_was(file):
    assert recompiled(file) == as_compiled(file)


def test_nested_messages_keep_their_order_whatever_the_fields_order_is():
    file = FileDescriptorProto(name="default", syntax="proto3")
    message = file.message_type.add(name="M")
    for name in ("BEntry", "N", "AEntry"):
        nested = message.nested_type.add(name=name)
        if name != "N":
            nested.options.map_entry = True
            nested.field.add(name="key", number=1, label=1, type=9)
            nested.field.add(name="value", number=2, label=1, type=9)
    for number, name in enumerate("ab", start=1):
        message.field.add(
            name=name, number=number, label=3, type=11, type_name=f".M.{name.upper()}Entry"
        )

    written = recompiled(file)

    assert [nested.name for nested in written.message_type[0].nested_type] == [
        "BEntry",
        "N",
        "AEntry",
    ]


def test_an_own_extension_of_an_option_that_no_file_declares_is_refused():
    file = FileDescriptorProto(name="default", syntax="proto3")
    file.options.MergeFromString(b"\x82\xb5\x18\x01x")

    with pytest.raises(InvalidSchema, match="option number 50000, which no imported file declares"):
        parse(base64_of(file))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"syntax": "editions", "edition": "EDITION_2023"}, "only proto2 and proto3"),
        ({"message_type": [{"name": "A {} message B"}]}, "invalid name"),
        ({"package": "a; message B {}"}, "invalid name"),
        ({"dependency": ["missing.proto"]}, "register that file"),
        ({"dependency": ["../../etc/passwd"]}, "cannot be an import path"),
        ({"message_type": [{"name": "A", "oneof_decl": [{"name": "empty"}]}]}, "Empty oneof"),
    ],
)
def test_descriptors_that_no_source_says_are_refused(change, said):
    with pytest.raises(InvalidSchema, match=said):
        parse(base64_of(FileDescriptorProto(**change)))


@pytest.mark.parametrize("damaged", ["java_package", "reserved", "pattern", "json_name", "default"])
def test_text_that_is_no_utf8_is_refused_wherever_it_is(damaged):
    source = (
        'syntax = "proto2"; import "rules.proto"; option java_package = "java_package"; '
        'option (rules.file) = { pattern: "pattern" }; message M { reserved "reserved"; '
        'optional string s = 1 [json_name = "json_name", default = "default"]; }'
    )
    serialized = parse(source, [RULES]).serialized()
    before = damaged.encode()
    serialized = serialized.replace(before, b"\xff" + before[1:], 2 if damaged == "default" else 1)

    with pytest.raises(InvalidSchema):
        parse(base64.b64encode(serialized).decode(), [RULES])


@pytest.mark.parametrize(
    "option", ['named { key: "\\377" }', 'named { key: "k" value { pattern: "\\377" } }']
)
def test_text_that_is_no_utf8_is_refused_in_maps(option):
    with pytest.raises(InvalidSchema, match="no UTF-8"):
        parse(
            f'syntax = "proto2"; import "rules.proto"; option (rules.file) = {{ {option} }};',
            [RULES],
        )


def test_a_custom_option_of_another_type_is_refused():
    file = FileDescriptorProto(name="default", syntax="proto3", dependency=["rules.proto"])
    file.options.MergeFromString(b"\x82\xb5\x18\x01\x08")

    with pytest.raises(InvalidSchema, match="damaged"):
        parse(base64_of(file), [RULES])


@pytest.mark.parametrize("default", ["0x10", "infinity", "1e400", "", "1]; reserved 2; //"])
def test_a_float_has_a_number_as_its_default(default):
    file = FileDescriptorProto(name="default")
    field = file.message_type.add(name="M").field.add(name="f", number=1, label=1, json_name="f")
    field.type, field.default_value = FieldDescriptorProto.TYPE_FLOAT, default

    with pytest.raises(InvalidSchema):
        parse(base64_of(file))


def test_a_default_cannot_bring_statements_with_it():
    file = FileDescriptorProto(name="default")
    field = file.message_type.add(name="M").field.add(name="f", number=1, label=1, json_name="f")
    field.type, field.default_value = FieldDescriptorProto.TYPE_BYTES, 'x"]; reserved 9; //'

    written = recompiled(file).message_type[0]

    assert not written.reserved_range
    assert written.field[0].default_value == 'x\\"]; reserved 9; //'


def test_the_source_is_in_the_fixed_layout():
    file = module_file("google.protobuf.struct_pb2")
    pool = DescriptorPool()
    pool.Add(module_file("google.protobuf.descriptor_pb2"))
    source = proto_source(file, pool)

    assert lay_out(source).text == source
    assert source.startswith('syntax = "proto3";\npackage google.protobuf;\n')
    assert isinstance(descriptor_pb2.DESCRIPTOR.name, str)


def test_a_map_entry_is_not_written_out():
    with pytest.raises(InvalidSchema, match="map_entry should not be set explicitly"):
        parse(
            'syntax = "proto3"; message M { repeated AEntry a = 1; message AEntry { '
            "option map_entry = true; string key = 1; int32 value = 2; } }"
        )


@pytest.mark.parametrize("strange", ["third field", "two maps of one entry", "group elsewhere"])
def test_what_compilers_never_make_is_refused(strange):
    file = FileDescriptorProto(name="default")
    message = file.message_type.add(name="M")
    entry = message.nested_type.add(name="AEntry")
    for number, name in enumerate(("key", "value"), start=1):
        entry.field.add(name=name, number=number, label=1, type=9, json_name=name)
    message.field.add(name="a", number=1, label=3, type=11, type_name=".M.AEntry", json_name="a")
    entry.options.map_entry = True
    if strange == "third field":
        entry.field.add(name="more", number=3, label=1, type=9, json_name="more")
    elif strange == "two maps of one entry":
        message.field.add().CopyFrom(message.field[0])
        message.field[1].name, message.field[1].json_name, message.field[1].number = "b", "b", 2
    else:
        message.field.add(name="m", number=2, label=1, type=10, type_name=".M", json_name="m")

    with pytest.raises(InvalidSchema):
        parse(base64_of(file))
