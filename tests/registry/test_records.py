"""The layout of `_schemas`: as the public registry writes it, byte by byte where keys are."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

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
    references_of,
)
from registry.state import State
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
        (b'{"keytype":"SCHEMA","subject":null,"version":1}', b'{"id":1,"schema":"1"}'),
        (b'{"keytype":"SCHEMA","subject":["a"],"version":1}', None),
        (b'{"keytype":"SCHEMA","subject":"a\\u0085b","version":1}', None),
        (b'{"keytype":"SCHEMA","subject":"\\ud800","version":1}', None),
        (b'{"keytype":"SCHEMA","subject":"\xed\xa0\x80","version":1}', None),
        (b'{"keytype":"SCHEMA","subject":"a","version":1e999}', None),
        (b'{"keytype":"SCHEMA","subject":"a","version":NaN}', None),
        (b'{"keytype":"SCHEMA","subject":"a","version":1.5}', None),
        (b'{"keytype":"SCHEMA","subject":"a","version":1}', b'{"id":99999999999,"schema":"1"}'),
        (
            b'{"keytype":"SCHEMA","subject":"a","version":1}',
            b'{"id":1,"schema":"1","references":[{"name":"a","subject":"a","version":1e999}]}',
        ),
        (
            b'{"keytype":"SCHEMA","subject":"a","version":1}',
            b'{"id":1,"schema":"1","metadata":["a"]}',
        ),
        (b'{"keytype":"DELETE_SUBJECT","subject":null}', b'{"version":1}'),
        (b'{"keytype":"CLEAR_SUBJECT","subject":5}', b"{}"),
        (b'{"keytype":"CONFIG","subject":5}', b'{"compatibilityLevel":"FULL"}'),
        (b'{"keytype":"CONFIG","subject":"a"}', b'{"compatibilityLevel":"SOME"}'),
        (b'{"keytype":"CONFIG","subject":"a"}', b"[]"),
        (b'{"keytype":"MODE","subject":{}}', None),
        (b"[" * 100_000, None),
    ],
)
def test_what_is_not_in_the_layout_is_unreadable_and_nothing_worse(key, value):
    with pytest.raises(Unreadable):
        decode(key, value)


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=3)
    | st.sampled_from(["a", ":.x", ":.x:a", "FULL", "JSON", "READONLY"]),
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.dictionaries(st.sampled_from(["name", "subject", "version", "."]), inner, max_size=3)
    ),
    max_leaves=4,
)
FIELDS = ["subject", "version", "id", "schema", "references", "deleted", "mode", "metadata"]
FIELDS += ["compatibilityLevel", "schemaType", "ruleSet", "ids"]


@given(
    st.sampled_from(["SCHEMA", "CONFIG", "MODE", "DELETE_SUBJECT", "CLEAR_SUBJECT", "NOOP"]),
    st.dictionaries(st.sampled_from(["subject", "version", "magic"]), JSON),
    st.none() | st.dictionaries(st.sampled_from(FIELDS), JSON),
)
def test_whatever_is_read_becomes_part_of_the_state(keytype, key, value):
    """A registry reads it at every start: nothing in it may end that."""
    state = State()
    written = json.dumps({**key, "keytype": keytype}).encode()
    try:
        change = decode(written, None if value is None else json.dumps(value).encode())
    except Unreadable:
        return
    if change is not None:
        state.apply(change)
        assert encode(change)
        for subject in state.subjects(deleted=True):
            state.level(subject), state.mode(subject), state.config(subject).normalizes


@pytest.mark.parametrize(
    "subject", ["a\u00a0b", "a\u200bb", "x" * 2_000, ":.x", ":.x:", ":.:a", ""]
)
def test_whatever_the_public_registry_takes_for_a_subject_is_read(subject):
    body = Body(SchemaType.AVRO, "1", (Reference("r", subject, 1),))
    state = State()
    for change in (SchemaSet(Version(subject, 1, 1, body)), ConfigSet(subject, Config("FULL"))):
        state.apply(decode(*encode(change)))

    assert state.versions(subject) == [Version(subject, 1, 1, body)]
    assert state.level(subject) == "FULL"
    state.apply(decode(*encode(SchemaGone(subject, 1))))
    assert state.subjects(deleted=True) == []


@pytest.mark.parametrize("number", [float("inf"), float("nan"), 1.5, 10**20, None, "one", []])
def test_a_reference_whose_version_is_none_is_refused(number):
    with pytest.raises((TypeError, ValueError)):
        references_of([{"name": "a", "subject": "a", "version": number}])


def test_data_contracts_are_kept_as_they_came():
    value = {"id": 1, "schema": '"int"', "metadata": {"properties": {"owner": "me"}}}
    change = decode(
        b'{"keytype":"SCHEMA","subject":"a","version":1,"magic":1}', json.dumps(value).encode()
    )

    assert change.version.body.metadata_properties() == {"owner": "me"}
    assert json.loads(encode(change).value)["metadata"] == value["metadata"]
