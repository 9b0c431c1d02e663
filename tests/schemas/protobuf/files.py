"""Files for the tests of Protobuf: drawn, written out, and those that the libraries bring."""

from __future__ import annotations

import base64
from importlib import import_module
from typing import Any

from google.protobuf.descriptor_pb2 import (
    DescriptorProto,
    EnumDescriptorProto,
    FieldDescriptorProto,
    FileDescriptorProto,
)
from hypothesis import strategies as st

from schemas.protobuf import compiler
from schemas.protobuf.names import json_name
from schemas.schema import Dependency

WELL_KNOWN = tuple(name for name in compiler.WELL_KNOWN if name != "descriptor")

CUSTOM_OPTIONS = """
syntax = "proto2";
package rules;
import "google/protobuf/descriptor.proto";
import "google/protobuf/any.proto";
enum Level { LOW = 0; HIGH = 1; }
message Rule {
  optional string pattern = 1;
  repeated int32 codes = 2;
  optional Rule inner = 3;
  map<string, Rule> named = 4;
  optional double ratio = 5;
  optional Level level = 6;
  optional bytes raw = 7;
  optional group Limits = 8 { optional sint64 low = 1; }
  optional google.protobuf.Any any = 9;
  extensions 100 to 200;
}
extend Rule { optional bool strict = 100; }
extend google.protobuf.FileOptions { optional Rule file = 50000; }
extend google.protobuf.MessageOptions { repeated Rule message = 50000; }
extend google.protobuf.FieldOptions {
  optional string text = 50000;
  repeated sint32 numbers = 50001;
  optional float share = 50002;
  optional Level level = 50003;
  optional bytes raw = 50004;
  optional bool flag = 50005;
  optional group Boxed = 50006 { optional int32 size = 1; }
}
extend google.protobuf.OneofOptions { optional int32 oneof = 50000; }
extend google.protobuf.EnumOptions { optional int32 enum = 50000; }
extend google.protobuf.EnumValueOptions { optional int32 value = 50000; }
extend google.protobuf.ServiceOptions { optional int32 service = 50000; }
extend google.protobuf.MethodOptions { optional Rule method = 50000; }
"""

EVERYTHING = """
syntax = "proto2";
package shop;
import public "google/protobuf/any.proto";
import weak "google/protobuf/empty.proto";
import "rules.proto";
option java_package = "com.shop";
option (rules.file) = {
  pattern: "a\\"b\\n\\303\\251" codes: [1, -2] inner { inner {} }
  named { key: "k" value { ratio: -inf } } level: HIGH raw: "\\377\\000"
  Limits { low: -9223372036854775808 } [rules.strict]: true
  any { type_url: "type.googleapis.com/google.protobuf.Empty" value: "" }
};
message Order {
  option (rules.message) = { ratio: nan };
  option (rules.message) = { ratio: 1e300 };
  option deprecated = true;
  required string id = 1 [(rules.text) = "'\\"\\\\", (rules.raw) = "\\001\\200", json_name = "ID"];
  message Line { extend Order { optional Line extra = 101; } }
  repeated int32 counts = 2 [packed = true, (rules.numbers) = 1, (rules.numbers) = -2];
  map<string, Line> lines = 3 [(rules.flag) = false, (rules.share) = -0.25];
  message Between {}
  optional group Address = 4 [(rules.level) = HIGH] {
    optional string street = 1 [default = "\\"Straße\\"\\n"];
    message Inner {}
    optional group Deep = 2 { optional bytes raw = 1 [default = "\\000\\377'"]; }
  }
  oneof payment {
    option (rules.oneof) = 7;
    Card card = 5;
    group Cash = 6 [(rules.boxed) = { size: 3 }] { optional double amount = 1 [default = -inf]; }
  }
  message Card { optional Kind kind = 1 [default = GOLD]; }
  enum Kind { option allow_alias = true; option (rules.enum) = 1; NONE = 0; GOLD = 1; TOP = 1
    [deprecated = true, (rules.value) = 3]; BAD = -1; reserved -9 to -5, 7, 50 to max;
    reserved "OLD", "OLDER"; }
  extensions 100 to 199, 300;
  extensions 1000 to max;
  reserved 10 to 20, 25;
  reserved "gone";
}
extend Order { optional int32 first = 102; repeated group Many = 103 { optional int32 x = 1; } }
extend Order { optional Order.Kind kind = 104 [default = TOP]; }
message Set { option message_set_wire_format = true; extensions 4 to max; }
service Shop {
  option (rules.service) = 1;
  rpc Buy(Order) returns (stream Order.Card);
  rpc Look(stream .google.protobuf.Any) returns (Order) {
    option idempotency_level = IDEMPOTENT;
    option (rules.method) = { pattern: "x" };
  }
}
"""

RULES = Dependency("rules.proto", CUSTOM_OPTIONS)

_F = FieldDescriptorProto
SCALAR_TYPES = [
    number
    for name, number in _F.Type.items()
    if name not in {"TYPE_MESSAGE", "TYPE_GROUP", "TYPE_ENUM"}
]
_KEY_TYPES = [_F.TYPE_STRING, _F.TYPE_INT32, _F.TYPE_FIXED64, _F.TYPE_BOOL]
_DEFAULTS = {
    _F.TYPE_DOUBLE: ["1.5", "-inf", "nan", "-0"],
    _F.TYPE_FLOAT: ["0.1", "inf", "3"],
    _F.TYPE_BOOL: ["true", "false"],
    _F.TYPE_STRING: ["", "plain", "quote\" ' \\ \n\t\x01", "é ☃ \U0001f600", "{};//"],
    _F.TYPE_BYTES: ["", "a\\000\\377\\\"\\'\\\\b"],
}


def module_file(name: str) -> FileDescriptorProto:
    """Copy the descriptor of a generated module, without its path."""
    file = FileDescriptorProto()
    import_module(name).DESCRIPTOR.CopyToProto(file)
    return file


def base64_of(file: FileDescriptorProto) -> str:
    return base64.b64encode(file.SerializeToString()).decode()


@st.composite
def files(draw: Any) -> FileDescriptorProto:
    """Draw files as compilers describe them: everything linked, in the order of a source."""
    file = FileDescriptorProto(name="default")
    if draw(st.booleans()):
        file.syntax = "proto3"
    file.package = draw(st.sampled_from(["", "shop", "deeply.nested.shop"]))
    if draw(st.booleans()):
        file.options.java_package = draw(st.sampled_from(["com.shop", "\"'\\\n"]))
        file.options.optimize_for = draw(st.sampled_from([1, 2, 3]))
    scope = f".{file.package}" if file.package else ""
    drawing = _Drawing(draw, proto3=file.syntax == "proto3")
    drawing.messages(file.message_type, scope, depth=0)
    for number in range(draw(st.integers(0, 2))):
        drawing.enum(file.enum_type.add(name=f"E{number}"), f"{scope}.E{number}")
    for message, full_name in reversed(drawing.undone):  # a parent copies its children
        drawing.body(message, full_name)
    if drawing.extensible and file.syntax != "proto3":
        extendee = draw(st.sampled_from(drawing.extensible))
        extension = file.extension.add(name="ext", extendee=extendee, number=1001)
        drawing.scalar(extension, label=_F.LABEL_OPTIONAL)
    if drawing.message_names and draw(st.booleans()):
        service = file.service.add(name="S")
        for number in range(draw(st.integers(0, 2))):
            given = draw(st.sampled_from(drawing.message_names))
            method = service.method.add(name=f"R{number}", input_type=given, output_type=given)
            if draw(st.booleans()):
                method.server_streaming = True
                method.options.deprecated = True
    if not file.package:
        file.ClearField("package")
    return file


class _Drawing:
    def __init__(self, draw: Any, *, proto3: bool) -> None:
        self.draw, self.proto3 = draw, proto3
        self.message_names: list[str] = []
        self.enum_names: list[str] = []
        self.extensible: list[str] = []
        self.undone: list[tuple[DescriptorProto, str]] = []

    def messages(self, into: Any, scope: str, *, depth: int) -> None:
        for number in range(self.draw(st.integers(0, 2 if depth < 2 else 0))):
            message = into.add(name=f"M{number}")
            full_name = f"{scope}.M{number}"
            self.message_names.append(full_name)
            self.undone.append((message, full_name))
            self.messages(message.nested_type, full_name, depth=depth + 1)
            if self.draw(st.booleans()):
                self.enum(message.enum_type.add(name="In"), f"{full_name}.In")

    def enum(self, enum: EnumDescriptorProto, full_name: str) -> None:
        self.enum_names.append(full_name)
        prefix = full_name.replace(".", "_").upper()
        for number in (0, *self.draw(st.sampled_from([(), (1, -1), (2, 2, 5)]))):
            if number in {value.number for value in enum.value}:
                enum.options.allow_alias = True
            enum.value.add(name=f"{prefix}_{len(enum.value)}", number=number)
        if self.draw(st.booleans()):
            enum.reserved_range.add(start=10, end=12)
            enum.reserved_range.add(start=100, end=2**31 - 1)
            enum.reserved_name.append("GONE")

    def body(self, message: DescriptorProto, full_name: str) -> None:
        """Fill a message whose nested messages are there already; its own entries come first."""
        nested = list(message.nested_type)
        del message.nested_type[:]
        numbers = self.draw(st.lists(st.integers(1, 900), unique=True, max_size=5))
        oneofs: list[str] = []
        in_oneof = False
        for number in numbers:
            field = message.field.add(name=f"f_{number}", number=number)
            field.json_name = self.draw(st.sampled_from([json_name(field.name), f"j{number}"]))
            if self.draw(st.booleans()):
                field.options.deprecated = True
            kind = self.draw(st.sampled_from(["scalar", "named", "map", "oneof", "group"]))
            if kind == "oneof":
                if not in_oneof:
                    oneofs.append(f"one_{number}")
                in_oneof = True
                self.scalar(field, label=_F.LABEL_OPTIONAL)
                field.oneof_index = len(oneofs) - 1
                continue
            in_oneof = False
            if kind == "map":
                self._map(message, field, full_name)
            elif kind == "group" and not self.proto3:
                self._group(message, field, full_name)
            elif kind == "named" and self.message_names + self.enum_names:
                self._named(field)
            else:
                self.scalar(field)
        for name in oneofs:
            message.oneof_decl.add(name=name)
        self._synthetic(message)
        message.nested_type.extend(nested)
        self._ranges(message, full_name)

    def scalar(self, field: FieldDescriptorProto, label: int | None = None) -> None:
        field.type = self.draw(st.sampled_from(SCALAR_TYPES))
        field.label = self._label() if label is None else label
        if self.proto3 or field.label != _F.LABEL_OPTIONAL:
            return
        defaults = _DEFAULTS.get(field.type, ["7"])
        if self.draw(st.booleans()):
            field.default_value = self.draw(st.sampled_from(defaults))

    def _named(self, field: FieldDescriptorProto) -> None:
        field.type_name = self.draw(st.sampled_from(self.message_names + self.enum_names))
        named_enum = field.type_name in self.enum_names
        field.type = _F.TYPE_ENUM if named_enum else _F.TYPE_MESSAGE
        field.label = self._label()

    def _label(self) -> int:
        labels = [_F.LABEL_OPTIONAL, _F.LABEL_REPEATED]
        return int(self.draw(st.sampled_from(labels if self.proto3 else [*labels, 2])))

    def _map(self, message: DescriptorProto, field: FieldDescriptorProto, scope: str) -> None:
        entry = message.nested_type.add(name=f"F{field.number}Entry")
        entry.options.map_entry = True
        key = entry.field.add(name="key", number=1, label=1, json_name="key")
        key.type = self.draw(st.sampled_from(_KEY_TYPES))
        value = entry.field.add(name="value", number=2, label=1, json_name="value")
        value.type = self.draw(st.sampled_from(SCALAR_TYPES))
        field.type, field.label = _F.TYPE_MESSAGE, _F.LABEL_REPEATED
        field.type_name = f"{scope}.{entry.name}"

    def _group(self, message: DescriptorProto, field: FieldDescriptorProto, scope: str) -> None:
        group = message.nested_type.add(name=f"Group{field.number}")
        inner = group.field.add(name="inner", number=1, json_name="inner")
        self.scalar(inner)
        field.name = group.name.lower()
        field.json_name = json_name(field.name)
        field.type, field.label = _F.TYPE_GROUP, self._label()
        field.type_name = f"{scope}.{group.name}"

    def _synthetic(self, message: DescriptorProto) -> None:
        for field in message.field:
            plain = field.label == _F.LABEL_OPTIONAL and not field.HasField("oneof_index")
            if self.proto3 and plain and self.draw(st.booleans()):
                field.proto3_optional = True
                field.oneof_index = len(message.oneof_decl)
                message.oneof_decl.add(name=f"_{field.name}")

    def _ranges(self, message: DescriptorProto, full_name: str) -> None:
        if self.draw(st.booleans()):
            message.reserved_range.add(start=950, end=951)
            message.reserved_range.add(start=960, end=970)
            message.reserved_name.extend(["gone", "lost"])
        if not self.proto3 and self.draw(st.booleans()):
            message.extension_range.add(start=1000, end=1 << 29)
            self.extensible.append(full_name)
