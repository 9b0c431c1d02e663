from __future__ import annotations

import pytest
import trio

from client.cluster import open_cluster
from client.cluster_options import ClusterOptions
from client.errors import ConnectionBroken, NoBrokerReachable, UnknownTopic, WaitTimedOut
from protocol.api import ApiKey
from protocol.errors import ErrorCode, RequestError


def open_client(cluster, bootstrap=None):
    options = ClusterOptions(environment=cluster.environment)
    return open_cluster(bootstrap or cluster.bootstrap, options)


async def test_any_one_bootstrap_server_is_enough(cluster, autojump_clock):
    async with open_client(cluster, "gone:1,broker-2:9092") as client:
        assert sorted(client.metadata.brokers) == [0, 1, 2]
        assert client.metadata.cluster_id == "fake"


async def test_without_any_each_cause_is_told(cluster, autojump_clock):
    for broker_id in (0, 1, 2):
        cluster.kill(broker_id)

    with pytest.raises(NoBrokerReachable) as failed:
        async with open_client(cluster):
            pass

    for broker_id in (0, 1, 2):
        assert f"broker-{broker_id}:9092" in str(failed.value)


async def test_the_last_known_brokers_gone_the_bootstrap_servers_are_asked_again(
    cluster, autojump_clock
):
    cluster.kill(1)
    cluster.kill(2)
    async with open_client(cluster, "broker-0:9092,broker-2:9092") as client:
        assert list(client.metadata.brokers) == [0]
        await cluster.start(2)
        cluster.kill(0)
        await client.refresh()
        assert list(client.metadata.brokers) == [2]


async def test_a_silent_broker_holds_up_a_refresh_but_shortly(cluster, faults, autojump_clock):
    async with open_client(cluster) as client:
        cluster.script(ApiKey.METADATA, faults(hang=True))
        start = trio.current_time()
        await client.refresh()
        assert trio.current_time() - start < 0.5


async def test_brokers_that_answer_slowly_have_more_time_after_a_while(
    cluster, faults, autojump_clock
):
    async with open_client(cluster) as client:
        cluster.script(ApiKey.METADATA, *[faults(delay_s=8)] * 12)
        with pytest.raises(NoBrokerReachable, match="within 5 s"):
            await client.refresh()
        for _ in range(3):
            await client.refresh()


async def test_no_broker_has_longer_than_any_request(cluster, faults, autojump_clock):
    async with open_client(cluster) as client:
        cluster.script(ApiKey.METADATA, *[faults(hang=True)] * 12)
        for allowed in ("5", "10", "20", "30"):
            with pytest.raises(NoBrokerReachable, match=f"within {allowed} s"):
                await client.refresh()


async def test_refreshes_at_the_same_time_share_a_request(cluster, autojump_clock):
    async with open_client(cluster) as client:
        before = cluster.count(ApiKey.METADATA)
        async with trio.open_nursery() as nursery:
            for _ in range(10):
                nursery.start_soon(client.refresh)
        assert cluster.count(ApiKey.METADATA) - before <= 2


async def test_a_leader_is_waited_for_through_an_election(cluster, autojump_clock):
    log = cluster.add_topic("orders").partitions[0]
    log.leader_id = -1

    async with open_client(cluster) as client, trio.open_nursery() as nursery:

        @nursery.start_soon
        async def elect():
            await trio.sleep(2)
            log.elect(leader_id=2)

        leader = await client.leader_of("orders", 0, timeout_s=10)

    assert (leader.leader_id, leader.leader_epoch) == (2, 1)
    assert trio.current_time() == pytest.approx(2.5, abs=0.6)


async def test_a_leader_that_never_comes_is_named_in_the_timeout(cluster, autojump_clock):
    cluster.add_topic("orders").partitions[0].leader_id = -1

    async with open_client(cluster) as client:
        with pytest.raises(WaitTimedOut, match="5 s waiting for a leader of orders-0"):
            await client.leader_of("orders", 0, timeout_s=5)


async def test_an_unknown_topic_is_believed_after_a_short_while(cluster, autojump_clock):
    async with open_client(cluster) as client, trio.open_nursery() as nursery:
        with pytest.raises(UnknownTopic, match="'nowhere'.*create it first"):
            await client.topic("nowhere", timeout_s=60)
        assert trio.current_time() < 4

        @nursery.start_soon
        async def create():
            await trio.sleep(1)
            cluster.add_topic("late")

        assert (await client.topic("late", timeout_s=60)).name == "late"


async def test_a_topic_in_use_that_is_away_is_asked_for_until_it_is_back(cluster, autojump_clock):
    topic = cluster.add_topic("orders")

    async with open_client(cluster) as client:
        await client.topic("orders", timeout_s=60)
        del cluster.topics["orders"]
        await client.refresh()
        with pytest.raises(UnknownTopic):
            await client.topic("orders", timeout_s=60)
        cluster.topics["orders"] = topic
        await client.refresh()
        assert "orders" in client.metadata.topics


async def test_a_refused_topic_raises_at_once(cluster, autojump_clock):
    cluster.add_topic("secret")

    async with open_client(cluster) as client:
        cluster.script(ApiKey.METADATA, ErrorCode.TOPIC_AUTHORIZATION_FAILED)
        with pytest.raises(RequestError, match="'secret' is refused: TOPIC_AUTHORIZATION_FAILED"):
            await client.topic("secret", timeout_s=60)


async def test_a_broker_that_is_not_there_is_an_error_at_once(cluster, autojump_clock):
    async with open_client(cluster) as client:
        with pytest.raises(ConnectionBroken, match="broker 9 is not a live member"):
            await client.connection_to(9)


async def test_callers_share_one_connection_and_a_broken_one_is_replaced(cluster, autojump_clock):
    async with open_client(cluster) as client:
        first = await client.connection_to(0)
        assert await client.connection_to(0) is first
        first.close()
        second = await client.connection_to(0)
        assert second is not first
        assert second.broken is None
