"""The layout of `_schemas`: as the public registry writes it, byte by byte where keys are."""

from __future__ import annotations

import json

import pytest

from registry.model import Body, Config, Mode, Reference, Version
from registry.records import (
    ConfigSet,
    IdsUsed,
    ModeSet,
    SchemaGone,
    SchemaSet,
    SubjectCleared,
    SubjectDeleted,
    Unreadable,
    decode,
    encode,
    noop,
)
from schemas.schema import SchemaType

AVRO = Version("a-value", 2, 7, Body(SchemaType.AVRO, '"int"'))
REFERS = Version(
    "p",
    1,
    9,
    Body(SchemaType.PROTOBUF, 'syntax = "proto3";', (Reference("x.proto", "x", 3),)),
    deleted=True,
)

CHANGES = [
    (
        SchemaSet(AVRO),
        b'{"keytype":"SCHEMA","subject":"a-value","version":2,"magic":1}',
        b'{"subject":"a-value","version":2,"id":7,"schema":"\\"int\\"","deleted":false}',
    ),
    (
        SchemaSet(REFERS),
        b'{"keytype":"SCHEMA","subject":"p","version":1,"magic":1}',
        b'{"subject":"p","version":1,"id":9,"schemaType":"PROTOBUF","references":[{"name":"x.proto",'
        b'"subject":"x","version":3}],"schema":"syntax = \\"proto3\\";","deleted":true}',
    ),
    (SchemaGone("a", 1), b'{"keytype":"SCHEMA","subject":"a","version":1,"magic":1}', None),
    (
        SubjectDeleted("a", 4),
        b'{"keytype":"DELETE_SUBJECT","subject":"a","magic":0}',
        b'{"subject":"a","version":4}',
    ),
    (
        SubjectCleared("a"),
        b'{"keytype":"CLEAR_SUBJECT","subject":"a","magic":0}',
        b'{"subject":"a"}',
    ),
    (
        ConfigSet(None, Config("FULL")),
        b'{"keytype":"CONFIG","subject":null,"magic":0}',
        b'{"subject":null,"compatibilityLevel":"FULL"}',
    ),
    (ConfigSet("a", None), b'{"keytype":"CONFIG","subject":"a","magic":0}', None),
    (
        ModeSet("a", Mode.IMPORT),
        b'{"keytype":"MODE","subject":"a","magic":0}',
        b'{"subject":"a","mode":"IMPORT"}',
    ),
    (ModeSet(None, None), b'{"keytype":"MODE","subject":null,"magic":0}', None),
    (
        IdsUsed({".": 41, ".c": 7}),
        b'{"keytype":"NOOP","magic":1}',
        b'{"ids":{".":41,".c":7}}',
    ),
]


@pytest.mark.parametrize(("change", "key", "value"), CHANGES)
def test_a_change_is_written_in_the_public_layout_and_read_back(change, key, value):
    assert encode(change) == (key, value)
    assert decode(key, value) == change


def test_what_other_registries_note_for_themselves_changes_nothing():
    assert decode(*noop()) is None
    assert decode(b'{"keytype":"NOOP","magic":0}', b'{"ids":{".":1}}') is None
    assert decode(b'{"keytype":"NOOP","magic":1}', None) is None
    assert decode(b'{"keytype":"SOMETHING_NEW","magic":3}', b"{}") is None


def test_a_record_of_an_older_registry_without_newer_fields_is_read():
    key = b'{"keytype":"CONFIG","magic":0}'

    assert decode(key, b'{"compatibilityLevel":"NONE"}') == ConfigSet(None, Config("NONE"))


@pytest.mark.parametrize(
    ("key", "value"),
    [
        (None, b"{}"),
        (b"", b"{}"),
        (b"[]", None),
        (b'{"keytype":"SCHEMA","subject":"a"}', None),
        (b'{"keytype":"SCHEMA","subject":"a","version":1}', b'{"id":1}'),
        (b'{"keytype":"SCHEMA","subject":"a","version":1}', b'{"id":1,"schema":5}'),
        (b'{"keytype":"SCHEMA","subject":"a","version":1}', b"{"),
        (b'{"keytype":"MODE","subject":"a"}', b'{"mode":"SOME"}'),
        (b'{"keytype":"NOOP","magic":1}', b"{}"),
        (b'{"keytype":"NOOP","magic":1}', b'{"ids":{".":"many"}}'),
        (b"\xff\xfe", b"{}"),
        (b"[" * 100_000, None),
    ],
)
def test_what_is_not_in_the_layout_is_unreadable_and_nothing_worse(key, value):
    with pytest.raises(Unreadable):
        decode(key, value)


def test_data_contracts_are_kept_as_they_came():
    value = {"id": 1, "schema": '"int"', "metadata": {"properties": {"owner": "me"}}}
    change = decode(
        b'{"keytype":"SCHEMA","subject":"a","version":1,"magic":1}', json.dumps(value).encode()
    )

    assert change.version.body.metadata_properties() == {"owner": "me"}
    assert json.loads(encode(change).value)["metadata"] == value["metadata"]
