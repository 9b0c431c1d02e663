"""What brokers ask of the controller: ISRs, shutdowns, topics and their settings."""

from __future__ import annotations

import pytest
import trio

from coordinator.cluster import NO_LEADER
from coordinator.errors import StaleBrokerEpoch
from coordinator.events import ConfigEdit, ConfigOperation, NewTopic, TopicGrowth
from coordinator.membership import remove_dead
from coordinator.tombstones import confirm_deleted
from protocol.errors import ErrorCode
from tests.support.controllers import create, propose, started


async def test_an_accepted_isr_is_returned_and_known_at_once(autojump_clock):
    async with started(1, 2, 3) as (_, nodes):
        controller = nodes[0].controller
        await create(controller, "t")
        leader_id = nodes[0].watcher.state.topics["t"].partitions[0].leader_id
        members = [leader_id, leader_id % 3 + 1]

        result = await propose(nodes[0], controller, "t", *members)

        assert result.partition_epoch == 1
        assert set(result.isr) == {*members}
        assert nodes[0].watcher.state.topics["t"].partitions[0] == result


async def test_a_proposal_of_an_earlier_incarnation_is_refused(autojump_clock):
    async with started(1, 2, 3) as (_, nodes):
        with pytest.raises(StaleBrokerEpoch):
            await nodes[0].controller.alter_partitions(2, 1, [])
        with pytest.raises(StaleBrokerEpoch):
            await nodes[0].controller.controlled_shutdown(2, 1)


async def test_a_shutdown_moves_leaders_and_tells_what_is_left(autojump_clock):
    async with started(1, 2, 3) as (_, nodes):
        controller = nodes[0].controller
        for i in range(6):
            await create(controller, f"t{i}")
        leaving = nodes[1].registration

        left = await controller.controlled_shutdown(2, leaving.broker_epoch)

        assert left == ()
        state = nodes[0].watcher.state
        assert state.brokers[2].shutting_down
        assert all(2 not in t.partitions[0].isr for t in state.topics.values())
        await create(controller, "later", factor=2)
        assert 2 not in nodes[0].watcher.state.topics["later"].partitions[0].replicas


async def test_a_deleted_topic_is_remembered_until_all_holders_confirmed(autojump_clock):
    async with started(1, 2, 3) as (cluster, nodes):
        controller = nodes[0].controller
        await create(controller, "t")
        topic_id = nodes[0].watcher.state.topics["t"].topic_id

        await controller.delete_topics(["t"])

        for node in nodes:
            state = await cluster.until(node, lambda s: topic_id in s.deleted_topics)
            assert state.deleted_topics == {topic_id: "t"}
            assert "t" not in state.topics
        async with trio.open_nursery() as nursery:
            for node in nodes:
                nursery.start_soon(confirm_deleted, node.store, topic_id, node.broker_id)
        await confirm_deleted(nodes[0].store, topic_id, 1)
        for node in nodes:
            await cluster.until(node, lambda s: not s.deleted_topics)


async def test_a_topic_can_be_created_again_under_another_id(autojump_clock):
    async with started(1, 2, 3) as (cluster, nodes):
        controller = nodes[0].controller
        await create(controller, "t")
        first = nodes[0].watcher.state.topics["t"].topic_id
        await controller.delete_topics(["t"])

        await create(controller, "t")

        for node in nodes:
            state = await cluster.until(
                node, lambda s: "t" in s.topics and s.topics["t"].topic_id != first
            )
            assert state.deleted_topics == {first: "t"}


async def test_requests_of_one_moment_share_a_round(autojump_clock):
    async with started(1, 2, 3) as (cluster, nodes):
        controller = nodes[0].controller
        zxid = cluster.memory.tree.zxid
        async with trio.open_nursery() as nursery:
            for i in range(100):
                nursery.start_soon(create, controller, f"t{i}")

        assert len(nodes[0].watcher.state.topics) == 100
        assert cluster.memory.tree.zxid - zxid <= 3


async def test_what_is_only_validated_is_not_written(autojump_clock):
    async with started(1, 2) as (_, nodes):
        controller = nodes[0].controller
        wishes = [
            NewTopic("t", partition_count=2, replication_factor=2),
            NewTopic("u", partition_count=1, replication_factor=3),
        ]

        results = await controller.create_topics(wishes, validate_only=True)

        assert len(results["t"].partitions) == 2
        assert results["u"].code is ErrorCode.INVALID_REPLICATION_FACTOR
        assert "start another broker or ask for 2" in str(results["u"])
        assert nodes[0].watcher.state.topics == {}


async def test_topics_grow_and_are_configured(autojump_clock):
    async with started(1, 2, 3) as (cluster, nodes):
        controller = nodes[0].controller
        await create(controller, "t")

        grown = await controller.create_partitions([TopicGrowth("t", 3)])
        edit = ConfigEdit("t", (("retention.ms", ConfigOperation.SET, "1000"),))
        edited = await controller.alter_configs([edit])

        assert len(grown["t"].partitions) == 3
        assert edited["t"].config == {"retention.ms": "1000"}
        state = await cluster.until(nodes[2], lambda s: s.topics["t"].config)
        assert len(state.topics["t"].partitions) == 3


async def test_leaders_return_to_the_preferred_replica_by_themselves(autojump_clock):
    async with started(1, 2, 3) as (cluster, nodes):
        controller = nodes[0].controller
        await controller.create_topics([NewTopic("t", assignment={0: (2, 1, 3)})])
        cluster.kill(2)
        await remove_dead(nodes[0].store, nodes[1].registration)
        await cluster.until(nodes[0], lambda s: s.topics["t"].partitions[0].leader_id == 1)
        node = await cluster.start(2)
        await cluster.until(
            nodes[0], lambda s: s.acknowledged.get(2) == node.registration.epoch_version
        )
        await propose(nodes[0], controller, "t", 1, 2, 3)
        assert nodes[0].watcher.state.topics["t"].partitions[0].leader_id == 1
        at = trio.current_time()

        await cluster.until(nodes[0], lambda s: s.topics["t"].partitions[0].successor_id == 2)
        await propose(nodes[0], controller, "t", 2, 3)  # which is how the leader resigns
        await cluster.until(nodes[2], lambda s: s.topics["t"].partitions[0].leader_id == 2)

        assert trio.current_time() - at <= 5.0


async def test_leaders_stay_where_they_are_while_rebalancing_is_off(autojump_clock):
    async with started(1, 2, 3) as (cluster, nodes):
        controller, allowed = nodes[0].controller, []
        controller._office._rebalances = lambda: bool(allowed)
        await controller.create_topics([NewTopic("t", assignment={0: (2, 1, 3)})])
        cluster.kill(2)
        await remove_dead(nodes[0].store, nodes[1].registration)
        node = await cluster.start(2)
        await cluster.until(
            nodes[0], lambda s: s.acknowledged.get(2) == node.registration.epoch_version
        )
        await propose(nodes[0], controller, "t", 1, 2, 3)
        await trio.sleep(60)
        assert nodes[0].watcher.state.topics["t"].partitions[0].successor_id == NO_LEADER

        allowed.append(True)
        edit = ConfigEdit("", (("auto.leader.rebalance.enable", ConfigOperation.SET, "true"),))
        await controller.alter_broker_configs([edit])
        await cluster.until(nodes[0], lambda s: s.topics["t"].partitions[0].successor_id == 2)
