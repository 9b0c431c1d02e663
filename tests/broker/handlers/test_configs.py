"""Settings described and altered through any broker of a cluster."""

from __future__ import annotations

import pytest
import trio

from broker.handlers.resources import ResourceType
from broker.settings import ValueType
from broker.topic_config import Source
from coordinator.events import ConfigOperation
from protocol.api import alter_configs, incremental_alter_configs
from protocol.api.create_topics import CreatableTopic, CreatableTopicConfig, CreateTopicsRequest
from protocol.api.describe_configs import DescribeConfigsRequest, DescribeConfigsResource
from protocol.errors import ErrorCode


@pytest.fixture
async def topic(ask) -> str:
    config = CreatableTopicConfig("retention.ms", "1000")
    await ask(CreateTopicsRequest(topics=[CreatableTopic("t", 1, 3, configs=[config])]))
    await trio.sleep(1)
    return "t"


async def describe(ask, kind, name, *keys, broker_id=None, **options):
    resource = DescribeConfigsResource(kind, name, list(keys) or None)
    request = DescribeConfigsRequest(resources=[resource], **options)
    (result,) = (await ask(request, broker_id=broker_id)).results
    return result


async def incrementally(ask, name, *changes, kind=ResourceType.TOPIC):
    request = incremental_alter_configs.IncrementalAlterConfigsRequest(
        resources=[
            incremental_alter_configs.AlterConfigsResource(
                kind,
                name,
                [incremental_alter_configs.AlterableConfig(*change) for change in changes],
            )
        ]
    )
    (result,) = (await ask(request)).responses
    await trio.sleep(1)
    return result


async def test_a_topic_shows_each_setting_with_its_source(ask, topic, autojump_clock):
    result = await describe(
        ask, ResourceType.TOPIC, topic, include_synonyms=True, include_documentation=True
    )

    entries = {entry.name: entry for entry in result.configs}
    retention = entries["retention.ms"]
    assert (retention.value, retention.config_source) == ("1000", Source.DYNAMIC_TOPIC)
    assert retention.config_type == ValueType.LONG
    assert [s.source for s in retention.synonyms] == [Source.DYNAMIC_TOPIC, Source.DEFAULT]
    assert retention.documentation
    assert entries["min.insync.replicas"].value == "2"
    assert entries["cleanup.policy"].config_type == ValueType.LIST


async def test_only_the_settings_asked_for_are_shown(ask, topic, autojump_clock):
    result = await describe(ask, ResourceType.TOPIC, topic, "retention.ms", "no.such")

    assert [entry.name for entry in result.configs] == ["retention.ms"]
    assert result.configs[0].synonyms == []
    assert result.configs[0].documentation is None


async def test_a_broker_shows_its_own_settings_and_no_other_ones(ask, autojump_clock):
    result = await describe(ask, ResourceType.BROKER, "2", broker_id=2)

    entries = {entry.name: entry for entry in result.configs}
    assert (entries["node.id"].value, entries["node.id"].config_source) == (
        "2",
        Source.STATIC_BROKER,
    )
    assert all(entry.read_only for entry in entries.values())
    wrong = await describe(ask, ResourceType.BROKER, "2", broker_id=1)
    assert wrong.error_code == ErrorCode.INVALID_REQUEST
    assert (await describe(ask, ResourceType.BROKER, "")).configs == []


@pytest.mark.parametrize(
    ("kind", "name", "code"),
    [
        (ResourceType.TOPIC, "never-was", ErrorCode.UNKNOWN_TOPIC_OR_PARTITION),
        (77, "t", ErrorCode.INVALID_REQUEST),
    ],
)
async def test_what_has_no_settings_is_refused(kind, name, code, ask, autojump_clock):
    result = await describe(ask, kind, name)

    assert (result.error_code, result.resource_type) == (code, kind)
    assert result.error_message


async def test_single_settings_are_changed(ask, topic, autojump_clock):
    result = await incrementally(
        ask,
        topic,
        ("max.message.bytes", ConfigOperation.SET, "5000"),
        ("retention.ms", ConfigOperation.DELETE, None),
        ("cleanup.policy", ConfigOperation.APPEND, "delete"),
    )

    assert result.error_code == ErrorCode.NONE
    entries = {e.name: e for e in (await describe(ask, ResourceType.TOPIC, topic)).configs}
    assert entries["max.message.bytes"].value == "5000"
    assert entries["retention.ms"].config_source == Source.DEFAULT
    assert entries["cleanup.policy"].config_source == Source.DYNAMIC_TOPIC


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ([("retention.ms", ConfigOperation.SET, "soon")], ErrorCode.INVALID_CONFIG),
        ([("retention.ms", ConfigOperation.SET, None)], ErrorCode.INVALID_CONFIG),
        ([("no.such.key", ConfigOperation.SET, "1")], ErrorCode.INVALID_CONFIG),
        ([("cleanup.policy", ConfigOperation.APPEND, "compact")], ErrorCode.INVALID_CONFIG),
        ([("retention.ms", 9, "1")], ErrorCode.INVALID_REQUEST),
    ],
)
async def test_invalid_changes_change_nothing(changes, code, ask, topic, autojump_clock):
    result = await incrementally(
        ask, topic, ("max.message.bytes", ConfigOperation.SET, "5000"), *changes
    )

    assert result.error_code == code
    entries = {e.name: e for e in (await describe(ask, ResourceType.TOPIC, topic)).configs}
    assert entries["max.message.bytes"].config_source == Source.DEFAULT


async def test_the_older_request_replaces_everything(ask, topic, autojump_clock):
    request = alter_configs.AlterConfigsRequest(
        resources=[
            alter_configs.AlterConfigsResource(
                ResourceType.TOPIC, topic, [alter_configs.AlterableConfig("segment.ms", "77")]
            )
        ]
    )
    (result,) = (await ask(request)).responses
    await trio.sleep(1)

    assert result.error_code == ErrorCode.NONE
    entries = {e.name: e for e in (await describe(ask, ResourceType.TOPIC, topic)).configs}
    assert entries["segment.ms"].value == "77"
    assert entries["retention.ms"].config_source == Source.DEFAULT


@pytest.mark.parametrize("kind", [ResourceType.BROKER, 77])
async def test_only_topics_are_altered(kind, ask, autojump_clock):
    result = await incrementally(ask, "1", ("node.id", ConfigOperation.SET, "3"), kind=kind)

    assert result.error_code == ErrorCode.INVALID_REQUEST
    assert (result.resource_type, result.resource_name) == (kind, "1")
