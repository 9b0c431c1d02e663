"""Payloads of Protobuf: message indexes, then a message."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.varint import encode_varint
from schemas.protobuf.schema import parse
from schemas.schema import Dependency, InvalidPayload

SCHEMA = parse(
    """
    syntax = "proto3";
    package shop;
    message Order {
      string id = 1;
      repeated int32 counts = 2;
      map<string, Line> lines = 3;
      fixed32 four = 4;
      repeated double ratios = 5;
      bytes raw = 6;
      Order inner = 7;
      message Line { int32 size = 1; }
      message Other { message Deep { sint32 x = 1; } }
      Kind kind = 8;
      enum Kind { NONE = 0; }
    }
    message Second { bool yes = 1; }
    """
)

REQUIRED = parse(
    """
    syntax = "proto2";
    message M {
      required int32 id = 1;
      optional M inner = 2;
      optional string text = 3;
      optional Kind kind = 4;
      repeated group G = 5 { required int32 x = 1; }
      extensions 100 to max;
    }
    enum Kind { A = 1; }
    extend M { optional string more = 100; }
    """
)


def indexes(*path: int) -> bytes:
    return encode_varint(len(path)) + b"".join(encode_varint(index) for index in path)


@pytest.mark.parametrize(
    ("path", "data"),
    [
        (b"\0", "0a0161"),
        (indexes(0), "0a0161"),
        (indexes(1), "0801"),
        (indexes(0, 1), "0807"),
        (indexes(0, 2, 0), "0805"),
    ],
    ids=["first in short", "first", "second", "nested", "deeper"],
)
def test_a_message_is_found_by_its_indexes(path, data):
    SCHEMA.check_payload(path + bytes.fromhex(data))
    SCHEMA.check_payload(memoryview(path + bytes.fromhex(data)))


@pytest.mark.parametrize(
    "data",
    [
        "",
        "0a03c3a921",
        "10011002",
        "12020102",
        "1a070a016112020803",
        "2501020304",
        "2a100000000000000000" + "00" * 8,
        "3200",
        "3a023a00",
        "4063",
        "980601",
        "9a0603ffffff",
        "9b069c06",
        "0a03c3a921980601",
    ],
)
def test_what_a_serializer_writes_is_fine(data):
    SCHEMA.check_payload(b"\0" + bytes.fromhex(data))


@pytest.mark.parametrize(
    ("payload", "said"),
    [
        ("", "ends within its message indexes"),
        ("04", "ends within its message indexes"),
        ("0400", "ends within its message indexes"),
        ("01", "begins with -1 message indexes"),
        ("ca01", "begins with 101 message indexes"),
        ("80" * 11, "varint of more than 64 bits"),
        ("0204", "message index 2 in [2]: the schema has 2 messages (Order, Second)"),
        ("0201", "message index -1 in [-1]"),
        (
            "040006",
            "message index 3 in [0, 3]: shop.Order has 3 messages (LinesEntry, Line, Other)",
        ),
        ("040200", "message index 0 in [1, 0]: shop.Second has 0 messages"),
    ],
)
def test_indexes_that_lead_nowhere_are_refused(payload, said):
    with pytest.raises(InvalidPayload) as refused:
        SCHEMA.check_payload(bytes.fromhex(payload))

    assert said in str(refused.value)


@pytest.mark.parametrize(
    ("data", "said"),
    [
        ("0a0561", "shop.Order.id is cut: 5 bytes from byte 2, but only 1 are left"),
        ("10", "shop.Order.counts is cut within the number at byte 1"),
        ("10" + "ff" * 10, "shop.Order.counts has more than 10 bytes in the number at byte 1"),
        ("250102", "shop.Order.four is cut"),
        ("2a0700000000000000", "shop.Order.ratios is cut"),
        ("1201ff", "shop.Order.counts is cut within the number at byte 2"),
        ("0801", "shop.Order.id (1): a varint where the schema has bytes with their length"),
        ("1a070a01611203080161", "shop.Order.lines.value is cut: 3 bytes from byte 7"),
        ("3a0408010a00", "shop.Order.inner.id (1): a varint"),
        ("2101020304050607" + "08", "shop.Order.four (4): 8 bytes where the schema has 4 bytes"),
        ("0a02c328", "shop.Order.id is a string, but no UTF-8 from byte 2"),
        ("07", "wire type 7"),
        ("0001", "number 0"),
        ("9b06", "group 99 has no end"),
        ("9c06", "group 99 ends, but did not begin"),
        ("9a0605", "shop.Order.99 is cut"),
    ],
)
def test_what_was_not_written_with_the_schema_is_refused_by_its_field(data, said):
    with pytest.raises(InvalidPayload) as refused:
        SCHEMA.check_payload(b"\0" + bytes.fromhex(data))

    assert said in str(refused.value)


def test_nesting_has_an_end():
    data = b""
    for _ in range(150):
        size = len(data)
        data = (
            b"\x3a" + (bytes([size]) if size < 128 else bytes([size & 127 | 128, size >> 7])) + data
        )

    with pytest.raises(InvalidPayload, match="nested more than 100 deep"):
        SCHEMA.check_payload(b"\0" + data)
    with pytest.raises(InvalidPayload, match="nested more than 100 deep"):
        SCHEMA.check_payload(b"\0" + b"\x9b\x06" * 10_000)


@pytest.mark.parametrize(
    ("data", "said"),
    [
        ("", "M lacks what it requires: id"),
        ("08011200", "M lacks what it requires: inner.id"),
        ("08012b2c", "M lacks what it requires: g[0].x"),
        ("a00601", "lacks"),
        ("0801a00601", "M.more (100): a varint where the schema has bytes"),
        ("0801280a", "M.g (5): a varint where the schema has a group"),
        ("08012b08012c2b", "group 5 has no end"),
    ],
)
def test_proto2_asks_for_what_is_required_and_knows_extensions(data, said):
    with pytest.raises(InvalidPayload) as refused:
        REQUIRED.check_payload(b"\0" + bytes.fromhex(data))

    assert said in str(refused.value)


@pytest.mark.parametrize(
    "data", ["0801", "08011a01ff", "08012009", "08011a01ff2009", "08012b08012c"]
)
def test_proto2_is_lax_with_text_and_keeps_unknown_values_of_enums(data):
    REQUIRED.check_payload(b"\0" + bytes.fromhex(data))


def test_a_schema_that_hands_on_one_import_has_its_messages():
    inner = Dependency("inner.proto", 'syntax = "proto3"; message Inner { int32 x = 1; }')
    schema = parse('syntax = "proto3"; import public "inner.proto";', [inner])

    schema.check_payload(b"\0\x08\x01")
    with pytest.raises(InvalidPayload, match=r"Inner\.x"):
        schema.check_payload(b"\0\x0a\x00")


def test_a_schema_without_messages_fits_no_payload():
    with pytest.raises(InvalidPayload, match="the schema has 0 messages"):
        parse('syntax = "proto3"; enum E { A = 0; }').check_payload(b"\0")


@given(st.binary(max_size=40))
def test_any_bytes_are_accepted_or_refused(data):
    for schema in (SCHEMA, REQUIRED):
        for payload in (data, b"\0" + data):
            with suppress(InvalidPayload):
                schema.check_payload(payload)
