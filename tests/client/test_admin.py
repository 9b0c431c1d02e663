from __future__ import annotations

import pytest
import trio

from client.admin import Admin, AdminConfig
from client.descriptions import ConfigEntry, ConfigSource, CreatedTopic, NewTopic, ResourceType
from client.errors import (
    ClientClosed,
    ConnectionBroken,
    RequestTimedOut,
    UnknownTopic,
    WaitTimedOut,
)
from protocol.api import ApiKey
from protocol.errors import ErrorCode, RequestError


def admin_of(cluster, **config):
    return Admin(cluster.bootstrap, AdminConfig(**config), environment=cluster.environment)


async def test_a_topic_is_created_with_its_settings(cluster, autojump_clock):
    async with admin_of(cluster) as admin:
        created = await admin.create_topic(
            NewTopic("orders", partitions=3, configs={"retention.ms": "5"})
        )

        assert created == CreatedTopic("orders", cluster.topics["orders"].topic_id, 3, 1)
        assert await admin.list_topics() == ("orders",)
        assert await admin.describe_configs(ResourceType.TOPIC, "orders") == (
            ConfigEntry("retention.ms", "5", ConfigSource.TOPIC),
        )


async def test_what_cannot_be_created_says_why_and_the_others_are(cluster, autojump_clock):
    cluster.add_topic("old")

    async with admin_of(cluster) as admin:
        results = await admin.create_topics([NewTopic("old"), NewTopic("new")])
        assert isinstance(results["old"], RequestError)
        assert results["old"].code is ErrorCode.TOPIC_ALREADY_EXISTS
        assert isinstance(results["new"], CreatedTopic)
        with pytest.raises(RequestError, match="'old': TOPIC_ALREADY_EXISTS"):
            await admin.create_topic(NewTopic("old"))


async def test_a_slow_answer_is_waited_for_though_nobody_else_can_be_asked(
    cluster, faults, autojump_clock
):
    for broker_id in (1, 2):
        cluster.kill(broker_id)
    cluster.script(ApiKey.CREATE_TOPICS, faults(delay_s=20))

    async with admin_of(cluster) as admin:
        created = await admin.create_topic(NewTopic("orders"))
        assert created.name == "orders"
        assert cluster.count(ApiKey.CREATE_TOPICS) == 1
        assert await admin.list_topics() == ("orders",)


async def test_a_silent_controller_leaves_time_for_others(cluster, autojump_clock):
    cluster.add_topic("orders")

    async with admin_of(cluster, timeout_s=30) as admin:
        cluster.silent.add(cluster.controller_id)
        with trio.fail_after(15):
            assert await admin.list_topics() == ("orders",)


async def test_validation_creates_nothing(cluster, autojump_clock):
    async with admin_of(cluster) as admin:
        await admin.create_topic(NewTopic("orders"), validate_only=True)
        assert await admin.list_topics() == ()


async def test_the_next_controller_is_asked_where_one_was_lost(cluster, autojump_clock):
    async with admin_of(cluster) as admin, trio.open_nursery() as nursery:
        cluster.kill(0)
        await trio.sleep(0.1)

        @nursery.start_soon
        async def elect():
            await trio.sleep(1)
            cluster.controller_id = 2

        await admin.create_topic(NewTopic("orders"))

    assert "orders" in cluster.topics
    assert 1 <= trio.current_time() < 3


async def test_without_a_controller_the_wait_ends_and_names_it(cluster, autojump_clock):
    async with admin_of(cluster, timeout_s=5) as admin:
        cluster.kill(0)
        await trio.sleep(0.1)
        with pytest.raises(WaitTimedOut, match="5 s waiting for the controller"):
            await admin.create_topic(NewTopic("orders"))


async def test_a_change_whose_answer_is_lost_is_not_made_twice(cluster, faults, autojump_clock):
    cluster.script(ApiKey.CREATE_TOPICS, faults(drop_after=True))

    async with admin_of(cluster) as admin:
        with pytest.raises(ConnectionBroken):
            await admin.create_topic(NewTopic("orders"))

    assert cluster.count(ApiKey.CREATE_TOPICS) == 1


async def test_without_a_known_controller_a_change_is_not_made_twice_either(
    cluster, faults, autojump_clock
):
    cluster.controller_id = -1

    def elect_who_was_asked():
        cluster.controller_id = cluster.requests[-1][0]

    cluster.script(ApiKey.CREATE_TOPICS, faults(run=elect_who_was_asked, drop_after=True))

    async with admin_of(cluster) as admin:
        with pytest.raises(ConnectionBroken):
            await admin.create_topic(NewTopic("orders"))

    assert cluster.count(ApiKey.CREATE_TOPICS) == 1


async def test_topics_are_deleted_and_widened_and_changed(cluster, autojump_clock):
    cluster.add_topic("orders")
    cluster.add_topic("old")

    async with admin_of(cluster) as admin:
        await admin.delete_topic("old")
        with pytest.raises(RequestError, match="'old': UNKNOWN_TOPIC_OR_PARTITION"):
            await admin.delete_topic("old")
        await admin.create_partitions("orders", 4)
        await admin.alter_configs(ResourceType.TOPIC, "orders", {"a": "1", "b": "2"})
        await admin.alter_configs(ResourceType.TOPIC, "orders", {"b": None})

        described = await admin.describe_topics(["orders"])

    assert list(described["orders"].partitions) == [0, 1, 2, 3]
    assert described["orders"].partitions[0].replicas == (0, 1, 2)
    assert cluster.topics["orders"].configs == {"a": "1"}


async def test_describing_an_unknown_topic_names_it(cluster, autojump_clock):
    async with admin_of(cluster) as admin:
        with pytest.raises(UnknownTopic, match="'nowhere'"):
            await admin.describe_topics(["nowhere"])


async def test_the_cluster_is_described(cluster, autojump_clock):
    async with admin_of(cluster) as admin:
        described = await admin.describe_cluster()

    assert described.cluster_id == "fake"
    assert described.controller_id == 0
    assert [str(broker.address) for broker in described.brokers] == [
        f"broker-{b}:9092" for b in range(3)
    ]


async def test_offsets_of_all_partitions_are_looked_up(cluster, autojump_clock):
    topic = cluster.add_topic("orders", partitions=3)
    topic.partitions[1].add(b"1", b"2")

    async with admin_of(cluster) as admin:
        assert await admin.end_offsets("orders") == {0: 0, 1: 2, 2: 0}
        assert await admin.beginning_offsets("orders") == {0: 0, 1: 0, 2: 0}


async def test_outside_of_its_block_an_admin_refuses_to_work(cluster, autojump_clock):
    admin = admin_of(cluster)

    with pytest.raises(ClientClosed, match="async with"):
        await admin.list_topics()


async def test_who_waits_on_a_silent_controller_is_told_once_there_is_another(
    cluster, autojump_clock
):
    async with admin_of(cluster) as admin, trio.open_nursery() as nursery:
        cluster.silent.add(0)

        @nursery.start_soon
        async def elect():
            await trio.sleep(6)
            cluster.controller_id = 2

        with pytest.raises(RequestTimedOut, match="broker-0.* did not answer CreateTopics"):
            await admin.create_topic(NewTopic("orders"))
        assert 6 <= trio.current_time() < 9
        await admin.create_topic(NewTopic("orders"))

    assert cluster.count(ApiKey.CREATE_TOPICS, 0) == 1


async def test_a_controller_that_stays_silent_is_named_in_time(cluster, autojump_clock):
    async with admin_of(cluster, timeout_s=5) as admin:
        cluster.silent.add(0)
        with pytest.raises(RequestTimedOut, match="broker-0.* did not answer CreateTopics"):
            await admin.create_topic(NewTopic("orders"))
        assert trio.current_time() < 5
