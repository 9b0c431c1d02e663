"""What every declaration must keep to, and the shapes that clients rely on."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest

from protocol.api import API, ApiKey
from protocol.api.metadata import MetadataRequest
from protocol.codec import decode, encode_bytes
from protocol.message import Array, Field, Layout, Nested, layout_of
from tests.protocol.messages import DECLARED

EXPECTED_VERSIONS = {
    ApiKey.PRODUCE: (3, 12),
    ApiKey.FETCH: (4, 17),
    ApiKey.LIST_OFFSETS: (1, 10),
    ApiKey.METADATA: (0, 13),
    ApiKey.CONTROLLED_SHUTDOWN: (3, 3),
    ApiKey.OFFSET_COMMIT: (2, 9),
    ApiKey.OFFSET_FETCH: (1, 9),
    ApiKey.FIND_COORDINATOR: (0, 6),
    ApiKey.JOIN_GROUP: (0, 9),
    ApiKey.HEARTBEAT: (0, 4),
    ApiKey.LEAVE_GROUP: (0, 5),
    ApiKey.SYNC_GROUP: (0, 5),
    ApiKey.SASL_HANDSHAKE: (0, 1),
    ApiKey.API_VERSIONS: (0, 4),
    ApiKey.CREATE_TOPICS: (2, 7),
    ApiKey.DELETE_TOPICS: (1, 6),
    ApiKey.INIT_PRODUCER_ID: (0, 5),
    ApiKey.OFFSET_FOR_LEADER_EPOCH: (2, 4),
    ApiKey.DESCRIBE_ACLS: (1, 3),
    ApiKey.CREATE_ACLS: (1, 3),
    ApiKey.DELETE_ACLS: (1, 3),
    ApiKey.DESCRIBE_CONFIGS: (1, 4),
    ApiKey.ALTER_CONFIGS: (0, 2),
    ApiKey.CREATE_PARTITIONS: (0, 3),
    ApiKey.INCREMENTAL_ALTER_CONFIGS: (0, 1),
    ApiKey.ALTER_PARTITION: (2, 3),
    ApiKey.DESCRIBE_CLUSTER: (0, 2),
    ApiKey.DESCRIBE_GROUPS: (0, 6),
    ApiKey.LIST_GROUPS: (0, 5),
    ApiKey.DELETE_RECORDS: (0, 2),
    ApiKey.DESCRIBE_LOG_DIRS: (1, 4),
    ApiKey.DELETE_GROUPS: (0, 2),
    ApiKey.ELECT_LEADERS: (0, 2),
    ApiKey.ALTER_PARTITION_REASSIGNMENTS: (0, 0),
    ApiKey.LIST_PARTITION_REASSIGNMENTS: (0, 0),
    ApiKey.OFFSET_DELETE: (0, 0),
    ApiKey.LIST_CONFIG_RESOURCES: (0, 1),
    ApiKey.DESCRIBE_TOPIC_PARTITIONS: (0, 0),
}


def structs(cls: type) -> Iterator[tuple[type, Layout]]:
    """Give a declared class and all structs within it."""
    layout = layout_of(cls)
    yield cls, layout
    for field in layout.fields:
        inner = field.type.element if isinstance(field.type, Array) else field.type
        if isinstance(inner, Nested):
            yield from structs(inner.struct)


def fields() -> list[Any]:
    """Give every field of every message, with the message's layout."""
    return [
        pytest.param(
            layout_of(message), field, id=f"{message.__name__}-{cls.__name__}-{field.name}"
        )
        for message in DECLARED
        for cls, layout in structs(message)
        for field in layout.fields
    ]


def test_the_table_holds_every_key_with_its_versions() -> None:
    assert {key: API[key].versions for key in ApiKey} == EXPECTED_VERSIONS
    assert list(API) == sorted(ApiKey)


@pytest.mark.parametrize("key", ApiKey)
def test_an_api_has_a_request_and_a_response_of_its_name(key: ApiKey) -> None:
    api = API[key]

    assert re.sub(r"(?<!^)(?=[A-Z])", "_", api.name).upper() == key.name
    assert (api.request.__name__, api.response.__name__) == (
        f"{api.name}Request",
        f"{api.name}Response",
    )
    assert layout_of(api.request).rest_ignored
    assert not layout_of(api.response).rest_ignored


@pytest.mark.parametrize(("message", "field"), fields())
def test_a_field_lives_within_its_message(message: Layout, field: Field) -> None:
    first, last = message.versions

    assert field.since <= min(last, field.until), "a field without a version"
    assert field.until >= first, "a field that was gone before the first version"
    if field.tag is not None:
        assert field.since >= message.flexible_since, "tags need a flexible version"
    if field.default is None and field.tag is None:
        lived = range(max(first, field.since), min(last, field.until) + 1)
        assert all(field.nullable_in(version) for version in lived), "null that cannot be sent"


@pytest.mark.parametrize("cls", DECLARED, ids=lambda cls: cls.__name__)
def test_tags_of_a_struct_differ(cls: type) -> None:
    for _, layout in structs(cls):
        tags = [field.tag for field in layout.fields if field.tag is not None]
        assert len(tags) == len(set(tags))


@pytest.mark.parametrize("cls", DECLARED, ids=lambda cls: cls.__name__)
def test_messages_have_slots_and_no_shared_default(cls: type) -> None:
    message, other = cls(), cls()

    assert not hasattr(message, "__dict__")
    for field in layout_of(cls).fields:
        value = getattr(message, field.name)
        assert value == field.default
        if isinstance(value, list):
            assert value is not getattr(other, field.name)


def test_null_and_no_topics_differ_in_a_metadata_request() -> None:
    for version in range(1, 14):
        for request in (MetadataRequest(topics=None), MetadataRequest(topics=[])):
            assert decode(MetadataRequest, version, encode_bytes(request, version)) == request
