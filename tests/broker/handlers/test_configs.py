"""Settings described and altered through any broker of a cluster."""

from __future__ import annotations

import pytest
import trio

from broker.config import BrokerConfig
from broker.dynamic_config import DYNAMIC_KEYS, DynamicConfig
from broker.handlers.describe_configs import RESOURCES_AT_ONCE, DescribeConfigsHandler
from broker.handlers.resources import ResourceType
from broker.settings import ValueType
from broker.topic_config import Source
from coordinator.cluster import ClusterState
from coordinator.events import ConfigOperation
from protocol.api import alter_configs, incremental_alter_configs
from protocol.api.create_topics import CreatableTopic, CreatableTopicConfig, CreateTopicsRequest
from protocol.api.describe_configs import (
    DescribeConfigsRequest,
    DescribeConfigsResource,
    DescribeConfigsResponse,
)
from protocol.api.list_config_resources import ListConfigResourcesRequest
from protocol.codec import encode_bytes
from protocol.errors import ErrorCode
from tests.support.leading_broker import context
from tests.support.turns import taking_turns


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


async def test_a_resource_that_is_named_twice_is_described_once(ask, topic, autojump_clock):
    resources = [
        DescribeConfigsResource(ResourceType.TOPIC, topic, ["retention.ms"]),
        DescribeConfigsResource(ResourceType.TOPIC, topic, ["segment.bytes"]),
        DescribeConfigsResource(ResourceType.BROKER, "1", ["node.id"]),
        DescribeConfigsResource(ResourceType.BROKER, "1", None),
        DescribeConfigsResource(ResourceType.BROKER, "1", ["node.id"]),
    ]
    results = (await ask(DescribeConfigsRequest(resources=resources), broker_id=1)).results

    assert [result.resource_name for result in results] == [topic, "1"]
    assert {entry.name for entry in results[0].configs} == {"retention.ms", "segment.bytes"}
    assert len(results[1].configs) > 20


async def test_many_resources_are_described_in_turns():
    cluster = ClusterState()
    handler = DescribeConfigsHandler(
        broker_id=1,
        cluster=lambda: cluster,
        settings=DynamicConfig(BrokerConfig(), cluster=lambda: cluster),
    )
    count = 10 * RESOURCES_AT_ONCE
    resources = [DescribeConfigsResource(ResourceType.TOPIC, f"t{n}") for n in range(count)]

    async with taking_turns() as turns:
        response = await handler(DescribeConfigsRequest(resources=resources), context())

    assert len(response.results) == count
    assert turns.count >= 8


async def test_a_broker_shows_its_own_settings_and_no_other_ones(ask, autojump_clock):
    result = await describe(ask, ResourceType.BROKER, "2", broker_id=2)

    entries = {entry.name: entry for entry in result.configs}
    assert (entries["node.id"].value, entries["node.id"].config_source) == (
        "2",
        Source.STATIC_BROKER,
    )
    assert {name for name, entry in entries.items() if not entry.read_only} == DYNAMIC_KEYS
    wrong = await describe(ask, ResourceType.BROKER, "2", broker_id=1)
    assert wrong.error_code == ErrorCode.INVALID_REQUEST
    assert (await describe(ask, ResourceType.BROKER, "")).configs == []


@pytest.mark.parametrize(
    ("kind", "name", "code"),
    [
        (ResourceType.TOPIC, "never-was", ErrorCode.UNKNOWN_TOPIC_OR_PARTITION),
        (ResourceType.TOPIC, "no good", ErrorCode.INVALID_TOPIC_EXCEPTION),
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
        ([("retention.ms", ConfigOperation.SET, None)], ErrorCode.INVALID_REQUEST),
        ([("no.such.key", ConfigOperation.SET, "1")], ErrorCode.INVALID_CONFIG),
        ([("cleanup.policy", ConfigOperation.APPEND, "burn")], ErrorCode.INVALID_CONFIG),
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


async def test_a_list_does_not_grow_beyond_what_can_be_told(ask, topic, autojump_clock):
    key = "leader.replication.throttled.replicas"
    texts = [",".join(f"{i}:{broker}" for i in range(2_500)) for broker in (1, 2)]

    results = [
        await incrementally(ask, topic, (key, ConfigOperation.APPEND, text)) for text in texts
    ]

    assert [result.error_code for result in results] == [
        ErrorCode.NONE, ErrorCode.INVALID_CONFIG,
    ]  # fmt: skip
    assert f"{key} would have" in results[1].error_message
    result = await describe(ask, ResourceType.TOPIC, topic, key)
    assert encode_bytes(DescribeConfigsResponse(results=[result]), 4)
    assert [entry.value for entry in result.configs] == texts[:1]


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


@pytest.mark.parametrize("kind", [ResourceType.BROKER_LOGGER, ResourceType.GROUP, 77])
async def test_only_topics_and_brokers_are_altered(kind, ask, autojump_clock):
    result = await incrementally(ask, "1", ("root", ConfigOperation.SET, "DEBUG"), kind=kind)

    assert result.error_code == ErrorCode.INVALID_REQUEST
    assert (result.resource_type, result.resource_name) == (kind, "1")


def partitions_of(ask, topic: str):
    for machine in ask.cluster.brokers.values():
        yield machine.broker_id, machine.broker.partitions.get(topic, 0)


async def test_what_all_brokers_are_given_holds_at_once_for_logs_that_are_open(
    ask, topic, autojump_clock
):
    changes = [
        ("log.segment.bytes", ConfigOperation.SET, "5000"),
        ("min.insync.replicas", ConfigOperation.SET, "3"),
    ]
    result = await incrementally(ask, "", *changes, kind=ResourceType.BROKER)
    await trio.sleep(1)

    assert (result.error_code, result.error_message) == (ErrorCode.NONE, None)
    for _, partition in partitions_of(ask, topic):
        assert partition.log.config.segment_bytes == 5_000
        assert partition.min_isr == 3
    entries = {e.name: e for e in (await describe(ask, ResourceType.BROKER, "")).configs}
    assert entries.keys() == {"log.segment.bytes", "min.insync.replicas"}
    assert entries["log.segment.bytes"].config_source == Source.DYNAMIC_DEFAULT_BROKER
    described = await describe(
        ask, ResourceType.TOPIC, topic, "segment.bytes", include_synonyms=True
    )
    (entry,) = described.configs
    assert (entry.value, entry.config_source) == ("5000", Source.DYNAMIC_DEFAULT_BROKER)
    assert [(s.name, s.source) for s in entry.synonyms] == [
        ("log.segment.bytes", Source.DYNAMIC_DEFAULT_BROKER),
        ("log.segment.bytes", Source.DEFAULT),
    ]


async def test_what_one_broker_is_given_holds_there_only_and_survives_its_restart(
    ask, topic, autojump_clock
):
    change = ("message.max.bytes", ConfigOperation.SET, "777")
    await incrementally(ask, "2", change, kind=ResourceType.BROKER)
    machine = ask.cluster.brokers[2]
    await machine.stop()
    await machine.start()
    await trio.sleep(10)

    sizes = {i: p.log.config.max_message_bytes for i, p in partitions_of(ask, topic)}
    assert (sizes[1], sizes[2], sizes[3]) == (1_048_588, 777, 1_048_588)
    (entry,) = (
        await describe(ask, ResourceType.BROKER, "2", "message.max.bytes", broker_id=2)
    ).configs
    assert (entry.value, entry.config_source) == ("777", Source.DYNAMIC_BROKER)

    await incrementally(
        ask, "2", (change[0], ConfigOperation.DELETE, None), kind=ResourceType.BROKER
    )
    await trio.sleep(1)
    sizes = {i: p.log.config.max_message_bytes for i, p in partitions_of(ask, topic)}
    assert sizes[2] == 1_048_588


async def test_a_default_that_is_taken_back_is_the_files_again(ask, topic, autojump_clock):
    for operation, minimum in ((ConfigOperation.SET, 1), (ConfigOperation.DELETE, 2)):
        change = ("min.insync.replicas", operation, "1")
        await incrementally(ask, "", change, kind=ResourceType.BROKER)
        await trio.sleep(1)
        assert [p.min_isr for _, p in partitions_of(ask, topic)] == [minimum] * 3


async def test_what_is_only_validated_is_not_given(ask, autojump_clock):
    request = incremental_alter_configs.IncrementalAlterConfigsRequest(
        resources=[
            incremental_alter_configs.AlterConfigsResource(
                ResourceType.BROKER,
                name,
                [incremental_alter_configs.AlterableConfig(key, ConfigOperation.SET, "5")],
            )
            for name, key in (("", "log.retention.ms"), ("1", "node.id"), ("9", "log.roll.ms"))
        ],
        validate_only=True,
    )
    results = (await ask(request)).responses

    assert [r.error_code for r in results] == [
        ErrorCode.NONE,
        ErrorCode.INVALID_REQUEST,
        ErrorCode.INVALID_REQUEST,
    ]
    assert (await describe(ask, ResourceType.BROKER, "")).configs == []


async def test_topics_and_brokers_are_altered_in_one_request(ask, topic, autojump_clock):
    setting = [incremental_alter_configs.AlterableConfig("retention.ms", ConfigOperation.SET, "5")]
    request = incremental_alter_configs.IncrementalAlterConfigsRequest(
        resources=[
            incremental_alter_configs.AlterConfigsResource(ResourceType.TOPIC, topic, setting),
            incremental_alter_configs.AlterConfigsResource(ResourceType.BROKER, "", setting),
        ]
    )
    results = (await ask(request)).responses

    assert [(r.resource_type, r.error_code) for r in results] == [
        (ResourceType.TOPIC, ErrorCode.NONE),
        (ResourceType.BROKER, ErrorCode.INVALID_REQUEST),
    ]


async def test_the_older_request_gives_no_setting_without_a_value(ask, topic, autojump_clock):
    settings = [alter_configs.AlterableConfig("segment.ms", None)]
    resource = alter_configs.AlterConfigsResource(ResourceType.TOPIC, topic, settings)
    (result,) = (await ask(alter_configs.AlterConfigsRequest(resources=[resource]))).responses

    assert result.error_code == ErrorCode.INVALID_REQUEST
    (entry,) = (await describe(ask, ResourceType.TOPIC, topic, "retention.ms")).configs
    assert entry.value == "1000"


async def test_a_setting_that_is_named_twice_is_refused(ask, topic, autojump_clock):
    change = ("retention.ms", ConfigOperation.SET, "5")
    result = await incrementally(ask, topic, change, change)

    assert result.error_code == ErrorCode.INVALID_REQUEST
    assert "2 times" in result.error_message


async def test_the_older_request_replaces_all_that_brokers_were_given(ask, autojump_clock):
    change = ("log.retention.ms", ConfigOperation.SET, "5")
    await incrementally(ask, "", change, kind=ResourceType.BROKER)
    settings = [alter_configs.AlterableConfig("log.roll.ms", "77")]
    resource = alter_configs.AlterConfigsResource(ResourceType.BROKER, "", settings)
    (result,) = (await ask(alter_configs.AlterConfigsRequest(resources=[resource]))).responses

    assert result.error_code == ErrorCode.NONE
    entries = (await describe(ask, ResourceType.BROKER, "")).configs
    assert [(e.name, e.value) for e in entries] == [("log.roll.ms", "77")]


async def test_a_broker_has_no_loggers_that_could_be_altered(ask, autojump_clock):
    result = await describe(ask, ResourceType.BROKER_LOGGER, "2", broker_id=2)
    elsewhere = await describe(ask, ResourceType.BROKER_LOGGER, "2", broker_id=1)

    assert (result.error_code, result.configs) == (ErrorCode.NONE, [])
    assert elsewhere.error_code == ErrorCode.INVALID_REQUEST


async def test_topics_and_brokers_are_listed_as_what_has_settings(ask, topic, autojump_clock):
    async def listed(*kinds: int, version: int = 1) -> list[tuple[int, str]]:
        response = await ask(ListConfigResourcesRequest(list(kinds)), version=version)
        assert response.error_code == ErrorCode.NONE
        return [(r.resource_type, r.resource_name) for r in response.config_resources]

    brokers = [(ResourceType.BROKER, str(broker_id)) for broker_id in (1, 2, 3)]
    assert await listed(ResourceType.TOPIC) == [(ResourceType.TOPIC, topic)]
    assert await listed(ResourceType.BROKER, ResourceType.GROUP) == brokers
    assert {(ResourceType.TOPIC, topic), *brokers} < set(await listed())
    assert await listed(version=0) == []
    unknown = await ask(ListConfigResourcesRequest([77]))
    assert unknown.error_code == ErrorCode.UNSUPPORTED_VERSION
