from __future__ import annotations

import json

import msgpack
import pytest

from client.records import ConsumerRecord
from commands.record_format import Shown, formatter


def record(offset, timestamp_ms, key, value, headers=()):
    return ConsumerRecord("t", 3, offset, timestamp_ms, key, value, headers, 0)


RECORD = record(7, 1_700_000_000_000, b"k", "vä".encode(), (("h", b"1"), ("h", None)))
NULLS = record(8, -1, None, None)
BINARY = record(9, 0, b"\xff", b"\x00\xfe", (("x", b"\xfd"),))


def written(name: str, record: ConsumerRecord, **shown: bool) -> bytes:
    return formatter(name, Shown(**shown))(record)


@pytest.mark.parametrize(
    ("shown", "line"),
    [
        ({}, "vä\n"),
        ({"keys": True}, "k\tvä\n"),
        ({"headers": True}, "h=1,h=null\tvä\n"),
        ({"positions": True}, "t-3\t7\t1700000000000\tvä\n"),
        ({"positions": True, "headers": True, "keys": True},
         "t-3\t7\t1700000000000\th=1,h=null\tk\tvä\n"),
    ],
)  # fmt: skip
def test_text_shows_what_is_asked_between_tabs(shown, line):
    assert written("text", RECORD, **shown) == line.encode()


def test_text_keeps_any_bytes_and_names_nulls():
    assert written("text", BINARY, keys=True) == b"\xff\t\x00\xfe\n"
    assert written("text", NULLS, keys=True) == b"null\tnull\n"


def test_json_is_one_line_with_everything():
    line = written("json", RECORD)

    assert line.endswith(b"}\n")
    assert json.loads(line) == {
        "topic": "t", "partition": 3, "offset": 7, "timestamp": 1_700_000_000_000,
        "key": "k", "value": "vä",
        "headers": [{"name": "h", "value": "1"}, {"name": "h", "value": None}],
    }  # fmt: skip


def test_json_holds_bytes_that_are_not_text_in_base64():
    facts = json.loads(written("json", BINARY))

    assert (facts["key"], facts["key_base64"]) == (None, "/w==")
    assert (facts["value"], facts["value_base64"]) == (None, "AP4=")
    assert facts["headers"] == [{"name": "x", "value": None, "value_base64": "/Q=="}]


def test_json_tells_null_from_empty():
    assert json.loads(written("json", NULLS))["value"] is None
    assert "value_base64" not in json.loads(written("json", NULLS))
    assert json.loads(written("json", record(0, 0, b"", b"")))["value"] == ""


def test_msgpack_keeps_bytes_as_they_are():
    unpacker = msgpack.Unpacker()
    unpacker.feed(written("msgpack", BINARY) + written("msgpack", NULLS))
    first, second = unpacker

    assert (first["key"], first["value"], first["headers"]) == (
        b"\xff", b"\x00\xfe", [["x", b"\xfd"]],
    )  # fmt: skip
    assert (second["key"], second["value"], second["offset"]) == (None, None, 8)


def test_raw_is_the_value_and_nothing_else():
    assert written("raw", BINARY) == b"\x00\xfe"
    assert written("raw", NULLS) == b""
