"""The controller over the memory store: who decides, and who leads when brokers come and go."""

from __future__ import annotations

import pytest
import trio

from coordinator import paths
from coordinator.cluster import NO_LEADER
from coordinator.errors import NotController
from coordinator.events import NewTopic
from coordinator.membership import remove_dead
from protocol.errors import RequestError
from tests.support.controllers import create, started


async def test_the_first_broker_decides_and_all_know_it(autojump_clock):
    async with started(1, 2, 3) as (_, nodes):
        active = [node.broker_id for node in nodes if node.controller.is_active]

        assert active == [1]
        assert {node.watcher.state.controller_id for node in nodes} == {1}


async def test_a_created_topic_is_seen_by_every_broker(autojump_clock):
    async with started(1, 2, 3) as (cluster, nodes):
        await create(nodes[0].controller, "orders")

        for node in nodes:
            state = await cluster.until(node, lambda state: "orders" in state.topics)
            partition = state.topics["orders"].partitions[0]
            assert sorted(partition.isr) == [1, 2, 3]
            assert partition.leader_id == partition.replicas[0]
            leader = state.brokers[partition.leader_id]
            assert partition.leader_broker_epoch == leader.broker_epoch


async def test_a_broker_that_does_not_decide_says_who_does(autojump_clock):
    async with started(1, 2) as (_, nodes):
        with pytest.raises(NotController) as refusal:
            await nodes[1].controller.create_topics([NewTopic("t")])

        assert refusal.value.controller_id == 1


async def test_a_dead_leader_is_replaced_as_soon_as_its_registration_is_removed(autojump_clock):
    async with started(1, 2, 3) as (cluster, nodes):
        await create(nodes[0].controller, "t")
        before = nodes[0].watcher.state.topics["t"].partitions[0]
        victim = next(n for n in nodes if n.broker_id == before.leader_id)
        witness = next(n for n in nodes if n.broker_id != before.leader_id)
        at = trio.current_time()
        cluster.kill(victim.broker_id)

        assert await remove_dead(witness.store, victim.registration)
        state = await cluster.until(
            witness, lambda state: state.topics["t"].partitions[0] != before
        )

        after = state.topics["t"].partitions[0]
        assert after.leader_id not in {victim.broker_id, NO_LEADER}
        assert after.leader_epoch == before.leader_epoch + 1
        assert victim.broker_id not in after.isr
        assert trio.current_time() - at < 0.3


async def test_a_dead_controller_is_replaced_with_its_session_or_its_removal(autojump_clock):
    async with started(1, 2, 3) as (cluster, nodes):
        epoch = nodes[1].watcher.state.controller_epoch
        cluster.kill(1)
        assert await remove_dead(nodes[1].store, nodes[0].registration)

        state = await cluster.until(nodes[2], lambda s: s.controller_id in {2, 3})

        assert state.controller_epoch == epoch + 1
        await create(await cluster.controller(), "after", factor=2)


async def test_a_new_controller_knows_what_the_one_before_wrote_last(autojump_clock, monkeypatch):
    """Else it may settle a registration, one whose log is lost, in all topics but the newest."""
    async with started(1, 2) as (cluster, nodes):
        heir = nodes[1]
        get = heir.store.get

        async def get_slowly(path, *, watch=None):
            await trio.sleep(20 if path == paths.topic("newest") else 0)
            return await get(path, watch=watch)

        monkeypatch.setattr(heir.store, "get", get_slowly)
        await create(nodes[0].controller, "newest", factor=2)
        cluster.kill(1)
        assert await remove_dead(heir.store, nodes[0].registration)

        assert await cluster.controller() is heir.controller
        assert "newest" in heir.watcher.state.topics


async def test_an_expired_session_is_enough(autojump_clock):
    async with started(1, 2, 3) as (cluster, nodes):
        await create(nodes[0].controller, "t")
        at = trio.current_time()
        cluster.kill(1)

        await cluster.until(
            nodes[1],
            lambda s: s.controller_id in {2, 3} and 1 not in s.topics["t"].partitions[0].isr,
        )

        assert trio.current_time() - at == pytest.approx(6.0, abs=0.5)


async def test_a_leader_that_bounced_unseen_gets_a_new_leader_epoch(autojump_clock):
    async with started(1, 2, 3) as (cluster, nodes):
        await create(nodes[0].controller, "t")
        before = nodes[0].watcher.state.topics["t"].partitions[0]
        leader_id = before.leader_id
        cluster.kill(leader_id)
        node = await cluster.start(leader_id)

        state = await cluster.until(
            node,
            lambda s: s.acknowledged.get(leader_id) == node.registration.epoch_version,
        )

        after = state.topics["t"].partitions[0]
        assert after.leader_epoch == before.leader_epoch + 1
        assert after.leader_broker_epoch == state.brokers[after.leader_id].broker_epoch


@pytest.mark.slow
async def test_thousands_of_partitions_survive_a_broker_in_few_multis(autojump_clock):
    async with started(1, 2, 3) as (cluster, nodes):
        controller = nodes[0].controller
        results = await controller.create_topics(
            [NewTopic(f"t{i}", partition_count=1, replication_factor=3) for i in range(2_000)]
        )
        assert not [r for r in results.values() if isinstance(r, RequestError)]
        await cluster.until(nodes[2], lambda s: len(s.topics) == 2_000)
        zxid = cluster.memory.tree.zxid
        cluster.kill(2)
        await remove_dead(nodes[2].store, nodes[1].registration)

        state = await cluster.until(
            nodes[2],
            lambda s: all(2 not in t.partitions[0].isr for t in s.topics.values()),
        )

        assert all(t.partitions[0].leader_id in {1, 3} for t in state.topics.values())
        assert cluster.memory.tree.zxid - zxid < 20
