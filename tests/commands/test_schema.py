"""`ottla schema`, and values by schema, on the registry that `ottla up` runs beside a broker."""

from __future__ import annotations

import json

import pytest

from tests.support.command_line import CommandLine, running_cluster

pytestmark = pytest.mark.slow

USER = {
    "type": "record",
    "name": "User",
    "fields": [
        {"name": "id", "type": "int"},
        {"name": "nick", "type": ["null", "string"], "default": None},
    ],
}
ORDER = {"type": "record", "name": "Order", "fields": [{"name": "by", "type": "User"}]}
BROKEN = USER | {"fields": [*USER["fields"], {"name": "age", "type": "int"}]}


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    """A broker and a registry, and two schemas in files. Returns: CommandLine."""
    directory = tmp_path_factory.mktemp("shop")
    (directory / "user.avsc").write_text(json.dumps(USER))
    (directory / "broken.avsc").write_text(json.dumps(BROKEN))
    (directory / "point.proto").write_text('syntax = "proto3"; message Point { int32 x = 1; }')
    with running_cluster(directory, "--brokers", "1", "--registry") as ottla:
        yield ottla


def test_a_schema_is_registered_listed_shown_and_deleted(shop):
    assert shop.out("schema", "register", "a-value", "user.avsc").startswith(
        "a-value version 1, id"
    )
    again = shop.json("schema", "register", "a-value", "user.avsc")
    assert (again["subject"], again["version"], again["schemaType"]) == ("a-value", 1, "AVRO")
    listed = shop.json("schema", "list")["schemas"]
    assert ("a-value", 1) in [(each["subject"], each["version"]) for each in listed]
    assert json.loads(shop.out("schema", "get", "a-value")) == USER

    assert shop.json("schema", "delete", "a-value")["deleted"] == [1]
    assert shop.json("schema", "list", "a-value", "--deleted")["schemas"][0]["version"] == 1
    assert shop.json("schema", "delete", "a-value", "--permanent")["deleted"] == [1]
    gone = shop.run("schema", "get", "a-value", status=1)
    assert b"'ottla schema list' names the subjects" in gone.stderr


def test_the_type_follows_from_the_name_of_the_file(shop):
    assert shop.json("schema", "register", "p-value", "point.proto")["schemaType"] == "PROTOBUF"
    assert "message Point" in shop.out("schema", "get", "p-value")


def test_what_would_break_readers_is_told_with_what_would_help(shop):
    shop.run("schema", "register", "b-value", "user.avsc")

    checked = shop.run("schema", "check", "b-value", "broken.avsc", status=1)
    assert b'"age"' in checked.stdout
    assert b"default" in checked.stdout
    assert shop.json("schema", "check", "b-value", "user.avsc") == {
        "compatible": True,
        "violations": [],
    }
    refused = shop.run("schema", "register", "b-value", "broken.avsc", status=1)
    assert refused.stderr.startswith(b"ottla: error: ")
    assert b'"age"' in refused.stderr

    assert shop.out("schema", "compatibility", "b-value", "--set", "none") == "NONE\n"
    assert shop.json("schema", "register", "b-value", "broken.avsc")["version"] == 2


def test_lines_of_json_become_avro_and_json_again(shop):
    lines = b'{"id":1}\n{"id":2,"nick":"x"}\n'
    shop.run("produce", "users", "--schema", "user.avsc", stdin=lines)
    shop.run("produce", "users", "--schema", "latest", stdin=b'{"id":3}\n')

    read = shop.out("consume", "users", "--schema", "--from-beginning", "--exit-at-end")
    assert [json.loads(line) for line in read.splitlines()] == [
        {"id": 1, "nick": None},
        {"id": 2, "nick": "x"},
        {"id": 3, "nick": None},
    ]
    raw = shop.run("consume", "users", "--from-beginning", "--exit-at-end", "--format", "raw")
    assert raw.stdout.startswith(b"\0\0\0\0")


def test_the_latest_schema_may_refer_to_others(shop):
    (shop.directory / "order.avsc").write_text(json.dumps(ORDER))
    shop.run("schema", "register", "who-value", "user.avsc")
    shop.run("schema", "register", "bought-value", "order.avsc", "--reference", "User=who-value:1")

    shop.run("produce", "bought", "--schema", "latest", stdin=b'{"by":{"id":1}}\n')

    read = shop.out("consume", "bought", "--schema", "--from-beginning", "--exit-at-end")
    assert json.loads(read) == {"by": {"id": 1, "nick": None}}


def test_a_subject_of_another_type_is_told_once_and_nothing_is_written(shop):
    shop.run("schema", "register", "points-value", "point.proto")
    lines = b'{"x":1}\n{"x":2}\n'
    failed = shop.run("produce", "points", "--schema", "latest", stdin=lines, status=1)

    assert failed.stderr.startswith(b"ottla: error: the latest schema of points-value is of type ")
    assert b"PROTOBUF" in failed.stderr
    assert failed.stderr.count(b"\n") == 1


def test_a_line_that_does_not_fit_its_schema_is_named(shop):
    lines = b'{"id":1}\n{"id":"one"}\nno json\n'
    failed = shop.run("produce", "fits", "--schema", "user.avsc", stdin=lines, status=1)

    assert b"2 records failed: stdin:2: the value does not fit fits-value" in failed.stderr


def test_what_no_serializer_wrote_cannot_be_shown_by_its_schema(shop):
    shop.run("produce", "plain", stdin=b"hello\n")

    failed = shop.run("consume", "plain", "--schema", "--from-beginning", "--exit-at-end", status=1)
    assert b"was not written by a serializer" in failed.stderr
    assert b"plain-0@0: " in failed.stderr
    assert b"--partition 0 --offset 1, or without --schema" in failed.stderr
    shown = shop.out("consume", "plain", "--from-beginning", "--exit-at-end")
    assert shown == "hello\n"


def test_the_broker_refuses_what_has_no_schema_where_the_topic_says_so(shop):
    shop.run("produce", "strict", "--schema", "user.avsc", stdin=b'{"id":1}\n')
    shop.run("topic", "alter", "strict", "--config", "ottla.schema.validation=payload")

    failed = shop.run("produce", "strict", stdin=b"hello\n", status=1)
    assert b"INVALID_RECORD" in failed.stderr or b"serializer" in failed.stderr
    shop.run("produce", "strict", "--schema", "latest", stdin=b'{"id":2}\n')


def test_without_a_registry_the_next_step_is_told(tmp_path):
    ottla = CommandLine(tmp_path)

    failed = ottla.run("schema", "list", "--registry", "http://127.0.0.1:9", status=3)
    assert b"ottla up" in failed.stderr
    assert ottla.run("schema", "list", "--registry", "nowhere", status=2).stderr
