"""Topics that come, go and grow under a group."""

from __future__ import annotations

import re

import pytest
import trio

from client.group.topics import GONE_AFTER_S, GroupTopics, Subscription
from client.metadata import Metadata, TopicInfo
from protocol.api import ApiKey
from protocol.errors import ErrorCode, RequestError
from tests.support.fake_topics import FakePartition
from tests.support.group_apps import Reader, fill, places, read


async def test_a_topic_that_grows_is_read_whole(
    cluster, consumer_of, group, nursery, autojump_clock
):
    topic = fill(cluster, partitions=2)
    readers = [Reader(consumer_of(metadata_max_age_s=5)) for _ in range(2)]
    for reader in readers:
        await nursery.start(reader.run)
    await trio.sleep(3)
    topic.partitions.append(FakePartition(leader_id=0))
    topic.partitions[2].add(b"new")
    await trio.sleep(8)

    assert sorted(len(reader.consumer.assignment) for reader in readers) == [1, 2]
    assert ("orders", 2, 0) in readers[0].seen + readers[1].seen
    assert "the partitions of the group's topics have changed" in group.join_reasons
    for reader in readers:
        await reader.stop()


async def test_a_topic_that_is_created_later_is_read_soon(cluster, consumer_of, autojump_clock):
    async with consumer_of() as consumer:
        consumer.subscribe(["orders"])
        assert await consumer.poll(timeout_s=30) == []
        fill(cluster)
        created_at = trio.current_time()
        await read(consumer, 40)
        assert trio.current_time() - created_at < 5


@pytest.mark.parametrize("names", [["orders"], ["orders", "tills"]], ids=len)
async def test_a_topic_that_does_not_exist_is_waited_for_with_one_warning(
    cluster, consumer_of, autojump_clock, caplog, names
):
    fill(cluster, topic="tills")

    async with consumer_of(metadata_max_age_s=5) as consumer:
        consumer.subscribe(names)
        await consumer.poll(max_records=1, timeout_s=60)
        await trio.sleep(10)
        warning = "group 'g' waits for topic 'orders', which does not exist: create it"
        assert [text[: len(warning)] for text in caplog.messages] == [warning]
        fill(cluster)
        while len(consumer.assignment) < 4 * len(names):
            await consumer.poll(timeout_s=0.5)
        assert len(caplog.messages) == 1
        del cluster.topics["orders"]
        await consumer.poll(max_records=10**6, timeout_s=20)
        await consumer.poll(max_records=10**6, timeout_s=20)
        assert [text[: len(warning)] for text in caplog.messages] == [warning] * 2


async def test_a_topic_that_is_there_in_a_moment_is_not_warned_of(
    cluster, consumer_of, autojump_clock, caplog
):
    async with consumer_of() as consumer:
        consumer.subscribe(["orders"])
        await consumer.poll(timeout_s=GONE_AFTER_S / 2)
        fill(cluster)
        await read(consumer, 40)
    assert caplog.messages == []


async def test_a_pattern_takes_all_topics_whose_whole_name_matches(
    cluster, consumer_of, group, autojump_clock
):
    for name in ("order-1", "order-2", "reorder-1", "tills"):
        fill(cluster, topic=name, partitions=1)

    async with consumer_of(metadata_max_age_s=5) as consumer:
        consumer.subscribe(re.compile("order-.*"))
        assert {r.topic for r in await read(consumer, 20)} == {"order-1", "order-2"}
        assert consumer.subscription == ("order-1", "order-2")
        fill(cluster, topic="order-3", partitions=1)
        assert {r.topic for r in await read(consumer, 10)} == {"order-3"}
        assert "the topics that match the subscription have changed" in group.join_reasons


async def test_a_pattern_that_matches_nothing_yet_waits(cluster, consumer_of, autojump_clock):
    async with consumer_of(metadata_max_age_s=5) as consumer:
        consumer.subscribe(re.compile("order.*"))
        assert await consumer.poll(timeout_s=20) == []
        fill(cluster)
        await read(consumer, 40)


@pytest.mark.parametrize("topics", [["orders", "tills"], re.compile("orders|tills")])
async def test_a_deleted_topic_is_given_up_without_an_error(
    cluster, consumer_of, group, autojump_clock, topics
):
    fill(cluster, partitions=2)
    fill(cluster, partitions=2, topic="tills")

    async with consumer_of(metadata_max_age_s=5) as consumer:
        consumer.subscribe(topics)
        await read(consumer, 40)
        del cluster.topics["tills"]
        assert await consumer.poll(timeout_s=20) == []
        assert consumer.assignment == places(2)
        cluster.topics["orders"].partitions[0].add(b"more")
        cluster.wake_fetches()
        await read(consumer, 1)


async def test_one_stale_broker_makes_no_group_rebalance(
    cluster, consumer_of, group, autojump_clock
):
    fill(cluster)

    async with consumer_of(metadata_max_age_s=5) as consumer:
        consumer.subscribe(["orders"])
        await read(consumer, 40)
        cluster.script(ApiKey.METADATA, ErrorCode.UNKNOWN_TOPIC_OR_PARTITION)
        assert await consumer.poll(timeout_s=60) == []
        cluster.script(ApiKey.METADATA, ErrorCode.LEADER_NOT_AVAILABLE)
        assert await consumer.poll(timeout_s=60) == []
        assert group.generation == 1


async def test_a_leader_follows_what_other_members_want(
    cluster, consumer_of, group, nursery, autojump_clock
):
    fill(cluster, partitions=1)
    tills = fill(cluster, partitions=1, topic="tills")
    leader = Reader(consumer_of(metadata_max_age_s=5), ["orders"])
    other = Reader(consumer_of(metadata_max_age_s=500), ["tills"])
    await nursery.start(leader.run)
    await trio.sleep(2)
    await nursery.start(other.run)
    await trio.sleep(3)
    tills.partitions.append(FakePartition(leader_id=0))
    await trio.sleep(10)

    assert leader.consumer.group_metadata.member_id == group.leader
    assert leader.consumer.assignment == places(1)
    assert sorted(other.consumer.assignment) == list(places(2, "tills"))
    await leader.stop()
    await other.stop()


async def test_a_topic_that_may_not_be_read_is_told_by_poll(cluster, consumer_of, autojump_clock):
    fill(cluster)

    async with consumer_of() as consumer:
        cluster.script(ApiKey.METADATA, ErrorCode.TOPIC_AUTHORIZATION_FAILED)
        consumer.subscribe(["orders"])
        with pytest.raises(RequestError, match="'orders' cannot be subscribed to: TOPIC_AUTH"):
            await consumer.poll()


# The same without I/O


def known(**counts):
    metadata = Metadata()
    for name, count in counts.items():
        metadata.topics[name] = TopicInfo(
            name, bytes(16), name.startswith("__"), dict.fromkeys(range(count))
        )
    return metadata


def gone(name):
    metadata = Metadata()
    metadata.topic_errors[name] = ErrorCode.UNKNOWN_TOPIC_OR_PARTITION
    return metadata


def test_internal_topics_match_no_pattern():
    topics = GroupTopics(Subscription(pattern=re.compile(".*")))
    topics.update(known(orders=1, __consumer_offsets=50), 0)

    assert topics.subscribed() == ("orders",)
    assert topics.followed is None


def test_a_topic_is_believed_gone_after_a_while_and_not_before():
    topics = GroupTopics(Subscription.to(["orders"]))
    topics.update(known(orders=2), 0)
    topics.update(gone("orders"), 10)
    assert topics.counts == {"orders": 2}
    assert topics.has_missing
    topics.update(known(orders=2), 11)
    topics.update(gone("orders"), 12)
    topics.update(gone("orders"), 12 + GONE_AFTER_S - 0.1)
    assert topics.counts == {"orders": 2}
    topics.update(gone("orders"), 12 + GONE_AFTER_S)
    assert topics.counts == {}
    assert topics.has_missing


def test_who_does_not_lead_need_not_rejoin_for_partitions():
    topics = GroupTopics(Subscription.to(["orders"]))
    topics.update(known(orders=2), 0)
    topics.note_joined()
    topics.update(known(orders=3), 1)
    assert topics.reason_to_rejoin() is None

    topics.note_joined()
    topics.lead(["orders", "tills"])
    assert topics.followed == {"orders", "tills"}
    assert topics.note_assigned() == {"orders": 3}
    assert topics.reason_to_rejoin() is None
    topics.update(known(tills=1), 2)
    assert topics.reason_to_rejoin() == "the partitions of the group's topics have changed"
    topics.note_joined()
    assert topics.reason_to_rejoin() is None


def test_a_subscription_wants_names_or_whole_matches():
    assert Subscription.to(["a", "b"]).wants("a")
    assert not Subscription.to(["a", "b"]).wants("ab")
    assert Subscription.to(re.compile("a.")).wants("ab")
    assert not Subscription.to(re.compile("a.")).wants("abc")
