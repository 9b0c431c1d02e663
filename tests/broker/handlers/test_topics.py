"""Topics created, widened, configured and deleted through any broker of a cluster."""

from __future__ import annotations

import pytest
import trio

from protocol.api.create_partitions import (
    CreatePartitionsAssignment,
    CreatePartitionsRequest,
    CreatePartitionsTopic,
)
from protocol.api.create_topics import (
    CreatableReplicaAssignment,
    CreatableTopic,
    CreatableTopicConfig,
    CreateTopicsRequest,
)
from protocol.api.delete_topics import DeleteTopicsRequest, DeleteTopicState
from protocol.api.metadata import MetadataRequest, MetadataRequestTopic
from protocol.errors import ErrorCode


def topic(name: str, partitions: int = -1, factor: int = -1, **configs: str) -> CreatableTopic:
    return CreatableTopic(
        name=name,
        num_partitions=partitions,
        replication_factor=factor,
        configs=[CreatableTopicConfig(key.replace("_", "."), v) for key, v in configs.items()],
    )


async def create(ask, *topics, **facts):
    response = await ask(CreateTopicsRequest(topics=list(topics)), **facts)
    return {result.name: result for result in response.topics}


async def show(ask, *names, broker_id=None):
    request = MetadataRequest(
        topics=[MetadataRequestTopic(name=name) for name in names], allow_auto_topic_creation=False
    )
    return {t.name: t for t in (await ask(request, broker_id=broker_id)).topics}


@pytest.mark.parametrize("asked", ["controller_id", "other_id"])
async def test_any_broker_creates_topics(asked, ask, autojump_clock):
    results = await create(ask, topic("t", 4, 2), broker_id=getattr(ask, asked))

    assert results["t"].error_code == ErrorCode.NONE
    assert (results["t"].num_partitions, results["t"].replication_factor) == (4, 2)
    await trio.sleep(1)
    assert len((await show(ask, "t"))["t"].partitions) == 4


async def test_defaults_are_three_replicas_of_which_two_must_be_in_sync(ask, autojump_clock):
    result = (await create(ask, topic("t")))["t"]

    assert (result.num_partitions, result.replication_factor) == (1, 3)
    configs = {config.name: config.value for config in result.configs}
    assert configs["min.insync.replicas"] == "2"


@pytest.mark.parametrize("version", range(2, 8))
async def test_every_version_creates(version, ask, autojump_clock):
    assert (await create(ask, topic("t", 1, 1), version=version))["t"].error_code == 0


@pytest.mark.parametrize(
    ("asked", "code"),
    [
        (topic("bad name", 1, 1), ErrorCode.INVALID_TOPIC_EXCEPTION),
        (topic("t", 0, 1), ErrorCode.INVALID_PARTITIONS),
        (topic("t", 1, 4), ErrorCode.INVALID_REPLICATION_FACTOR),
        (topic("t", 1, 1, retention_ms="soon"), ErrorCode.INVALID_CONFIG),
        (topic("t", 1, 1, no_such_key="1"), ErrorCode.INVALID_CONFIG),
        (topic("t", 1, 1, retention_ms=None), ErrorCode.INVALID_CONFIG),
        (topic("exists", 1, 1), ErrorCode.TOPIC_ALREADY_EXISTS),
    ],
)
async def test_what_cannot_be_created_is_refused_with_a_reason(asked, code, ask, autojump_clock):
    await create(ask, topic("exists", 1, 1))

    results = await create(ask, asked, topic("good", 1, 1))

    assert results[asked.name].error_code == code
    assert results[asked.name].error_message
    assert results["good"].error_code == ErrorCode.NONE


async def test_a_topic_named_twice_in_one_request_is_not_created(ask, autojump_clock):
    results = await create(ask, topic("t", 1, 1), topic("t", 2, 1), topic("u", 1, 1))

    assert results["t"].error_code == ErrorCode.INVALID_REQUEST
    assert results["u"].error_code == ErrorCode.NONE


async def test_validation_alone_creates_nothing(ask, autojump_clock):
    request = CreateTopicsRequest(topics=[topic("t", 5, 1)], validate_only=True)
    response = await ask(request)

    assert response.topics[0].error_code == ErrorCode.NONE
    assert response.topics[0].num_partitions == 5
    assert (await show(ask, "t"))["t"].error_code == ErrorCode.UNKNOWN_TOPIC_OR_PARTITION


async def test_replicas_can_be_chosen(ask, autojump_clock):
    asked = topic("t")
    asked.assignments = [CreatableReplicaAssignment(0, [3, 1]), CreatableReplicaAssignment(1, [2])]
    results = await create(ask, asked)
    await trio.sleep(1)

    assert results["t"].error_code in (ErrorCode.NONE, ErrorCode.INVALID_REPLICA_ASSIGNMENT)
    asked = topic("u")
    asked.assignments = [
        CreatableReplicaAssignment(0, [3, 1]),
        CreatableReplicaAssignment(1, [2, 3]),
    ]
    assert (await create(ask, asked))["u"].error_code == ErrorCode.NONE
    await trio.sleep(1)
    partitions = (await show(ask, "u"))["u"].partitions
    assert [p.replica_nodes for p in partitions] == [[3, 1], [2, 3]]


async def test_chosen_replicas_and_counts_exclude_each_other(ask, autojump_clock):
    asked = topic("t", 1, 1)
    asked.assignments = [CreatableReplicaAssignment(0, [3])]

    assert (await create(ask, asked))["t"].error_code == ErrorCode.INVALID_REQUEST


async def test_topics_are_deleted_by_name_and_by_id(ask, autojump_clock):
    created = await create(ask, topic("by-name", 1, 3), topic("by-id", 1, 3))
    await trio.sleep(1)

    response = await ask(
        DeleteTopicsRequest(
            topics=[
                DeleteTopicState(name="by-name"),
                DeleteTopicState(topic_id=created["by-id"].topic_id),
                DeleteTopicState(name="never-was"),
                DeleteTopicState(topic_id=b"?" * 16),
            ]
        )
    )

    assert [result.error_code for result in response.responses] == [
        ErrorCode.NONE,
        ErrorCode.NONE,
        ErrorCode.UNKNOWN_TOPIC_OR_PARTITION,
        ErrorCode.UNKNOWN_TOPIC_ID,
    ]
    assert [result.name for result in response.responses[:2]] == ["by-name", "by-id"]
    await trio.sleep(1)
    shown = await show(ask, "by-name", "by-id")
    assert {t.error_code for t in shown.values()} == {ErrorCode.UNKNOWN_TOPIC_OR_PARTITION}


@pytest.mark.parametrize("ways", ["name name", "name id", "id id"])
async def test_a_topic_that_is_named_twice_is_refused_and_stays(ways, ask, autojump_clock):
    created = await create(ask, topic("t", 1, 1), topic("u", 1, 1))
    await trio.sleep(1)
    asked = {
        "name": DeleteTopicState(name="t"),
        "id": DeleteTopicState(topic_id=created["t"].topic_id),
    }

    response = await ask(
        DeleteTopicsRequest(
            topics=[*(asked[way] for way in ways.split()), DeleteTopicState(name="u")]
        )
    )

    assert [(result.name, result.error_code) for result in response.responses] == [
        ("t", ErrorCode.INVALID_REQUEST),
        ("t", ErrorCode.INVALID_REQUEST),
        ("u", ErrorCode.NONE),
    ]
    await trio.sleep(1)
    shown = await show(ask, "t", "u")
    assert shown["t"].error_code == ErrorCode.NONE
    assert shown["u"].error_code == ErrorCode.UNKNOWN_TOPIC_OR_PARTITION


async def test_older_requests_delete_by_name(ask, autojump_clock):
    await create(ask, topic("t", 1, 1))
    await trio.sleep(1)

    response = await ask(DeleteTopicsRequest(topic_names=["t", "u"]), version=3)

    assert [(r.name, r.error_code) for r in response.responses] == [
        ("t", ErrorCode.NONE),
        ("u", ErrorCode.UNKNOWN_TOPIC_OR_PARTITION),
    ]


async def test_a_topic_is_made_wider_but_never_narrower(ask, autojump_clock):
    await create(ask, topic("t", 2, 2))
    await trio.sleep(1)

    async def widen(count: int) -> int:
        request = CreatePartitionsRequest(topics=[CreatePartitionsTopic("t", count, None)])
        return (await ask(request)).results[0].error_code

    assert await widen(5) == ErrorCode.NONE
    assert await widen(3) == ErrorCode.INVALID_PARTITIONS
    await trio.sleep(1)
    assert len((await show(ask, "t"))["t"].partitions) == 5


async def test_replicas_of_new_partitions_can_be_chosen(ask, autojump_clock):
    await create(ask, topic("t", 1, 2))
    await trio.sleep(1)
    assignments = [CreatePartitionsAssignment([2, 3])]

    request = CreatePartitionsRequest(topics=[CreatePartitionsTopic("t", 2, assignments)])
    assert (await ask(request)).results[0].error_code == ErrorCode.NONE

    await trio.sleep(1)
    assert (await show(ask, "t"))["t"].partitions[1].replica_nodes == [2, 3]


async def test_a_request_waits_for_a_controller_to_be_elected(ask, autojump_clock):
    other = ask.other_id
    await ask.cluster.brokers[ask.controller_id].kill()

    results = await create(ask, topic("t", 1, 1), broker_id=other)

    assert results["t"].error_code == ErrorCode.NONE


async def test_a_request_is_passed_on_once_at_most(ask, autojump_clock):
    results = await create(ask, topic("t", 1, 1), client_id="ottla-broker-9")

    assert results["t"].error_code == ErrorCode.NOT_CONTROLLER
