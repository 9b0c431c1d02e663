"""The controller over the memory store: elections, requests, lost races, thousands of topics."""

from __future__ import annotations

from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import pytest
import trio

from coordinator import paths, records
from coordinator.bootstrap import prepare
from coordinator.cluster import NO_LEADER, BrokerRegistration, ClusterState, Endpoint
from coordinator.controller import Controller
from coordinator.errors import NotController, StaleBrokerEpoch
from coordinator.events import (
    ConfigEdit,
    ConfigOperation,
    IsrChange,
    NewTopic,
    TopicGrowth,
)
from coordinator.membership import BrokerFacts, register, remove_dead
from coordinator.memory import MemoryCluster, MemoryStore
from coordinator.store import ConnectionLost, SessionLost
from coordinator.tombstones import confirm_deleted
from coordinator.watcher import ClusterWatcher
from protocol.errors import ErrorCode, RequestError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable


@dataclass
class Node:
    """What of a broker takes part here: a session, a watcher, a controller, a registration."""

    broker_id: int
    store: MemoryStore
    watcher: ClusterWatcher
    controller: Controller
    registration: BrokerRegistration
    crash: trio.CancelScope


def facts(broker_id: int, *, directory: str | None = None, clean: bool = True) -> BrokerFacts:
    return BrokerFacts(
        broker_id=broker_id,
        endpoints=(Endpoint("127.0.0.1", 9091 + broker_id),),
        rack=None,
        directory_id=directory or f"{broker_id:032x}",
        clean=clean,
    )


class Cluster:
    """Brokers without logs over one memory store."""

    def __init__(self, nursery: trio.Nursery, memory: MemoryCluster) -> None:
        self.nursery = nursery
        self.memory = memory
        self.nodes: dict[int, Node] = {}
        self.counter = 0

    def random_bytes(self, size: int) -> bytes:
        self.counter += 1
        return self.counter.to_bytes(size)

    async def start(self, broker_id: int, **overrides: bool | str) -> Node:
        return await self.nursery.start(self._run, facts(broker_id, **overrides))

    async def _run(self, broker: BrokerFacts, *, task_status: trio.TaskStatus[Node]) -> None:
        with trio.CancelScope() as crash:
            async with self.memory.connect() as store:
                await prepare(store, new_cluster_id=lambda: "cluster-of-tests-00000")
                watcher = ClusterWatcher(store)
                controller = Controller(
                    store, broker.broker_id, watcher, random_bytes=self.random_bytes
                )
                async with trio.open_nursery() as nursery:
                    await nursery.start(watcher.run)
                    registration = await register(store, broker)
                    nursery.start_soon(controller.run)
                    node = Node(broker.broker_id, store, watcher, controller, registration, crash)
                    self.nodes[broker.broker_id] = node
                    task_status.started(node)

    async def until(self, node: Node, holds: Callable[[ClusterState], object]) -> ClusterState:
        state = node.watcher.state
        with trio.fail_after(60):
            while not holds(state):
                state = await node.watcher.wait_changed(state)
        return state

    async def controller(self, node: Node) -> Controller:
        """Find out from a node who decides."""
        with trio.fail_after(60):
            while True:
                for each in self.nodes.values():
                    if each.controller.is_active and not each.crash.cancel_called:
                        return each.controller
                await trio.sleep(0.001)

    def kill(self, broker_id: int) -> None:
        """Stop a broker without a word; its session lives on until its timeout."""
        node = self.nodes[broker_id]
        self.memory.disconnect(node.store.session_id)
        node.crash.cancel()


@asynccontextmanager
async def started(
    *broker_ids: int, memory: MemoryCluster | None = None
) -> AsyncIterator[tuple[Cluster, list[Node]]]:
    async with trio.open_nursery() as nursery:
        cluster = Cluster(nursery, memory or MemoryCluster())
        nodes = [await cluster.start(broker_id) for broker_id in broker_ids]
        for node in nodes:
            await cluster.until(
                node,
                lambda state: (
                    state.acknowledged.keys() == set(broker_ids) and state.controller_id >= 0
                ),
            )
        yield cluster, nodes
        nursery.cancel_scope.cancel()


async def create(controller: Controller, name: str, *, factor: int = 3, **config: str) -> None:
    named = {key.replace("_", "."): value for key, value in config.items()}
    results = await controller.create_topics(
        [NewTopic(name, partition_count=1, replication_factor=factor, config=named)]
    )
    assert not isinstance(results[name], RequestError), results[name]


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
        await create(await cluster.controller(nodes[1]), "after", factor=2)


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


# Requests.


async def propose(node: Node, controller: Controller, topic: str, *members: int):
    state = node.watcher.state
    partition = state.topics[topic].partitions[0]
    leader = state.brokers[partition.leader_id]
    change = IsrChange(
        topic_id=state.topics[topic].topic_id,
        partition=0,
        leader_epoch=partition.leader_epoch,
        partition_epoch=partition.partition_epoch,
        isr={r: state.brokers[r].broker_epoch for r in members},
    )
    (result,) = await controller.alter_partitions(leader.broker_id, leader.broker_epoch, [change])
    return result


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

        await cluster.until(nodes[2], lambda s: s.topics["t"].partitions[0].leader_id == 2)

        assert trio.current_time() - at <= 5.0


# Lost races and unknown outcomes.


async def test_a_topic_that_somebody_else_wrote_is_read_and_decided_again(autojump_clock):
    async with started(1, 2, 3) as (cluster, nodes):
        controller = nodes[0].controller
        await create(controller, "t")
        path = paths.topic("t")
        value, stat = await nodes[1].store.get(path)
        leader_id = nodes[0].watcher.state.topics["t"].partitions[0].leader_id
        # Another hand, without the fence, in the very moment before the controller's write.
        cluster.memory.latency = partial(trio.sleep, 0.001)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(nodes[1].store.set, path, value)
            await trio.sleep(0.0005)
            result = await propose(nodes[0], controller, "t", leader_id)

        assert result.isr == (leader_id,)
        _, written = await nodes[1].store.get(path)
        assert written.version == stat.version + 2


async def test_a_controller_that_lost_office_answers_nobody(autojump_clock):
    async with started(1, 2, 3) as (_, nodes):
        deposed = nodes[0].controller
        version = (await nodes[1].store.get(paths.CONTROLLER_EPOCH))[1].version
        await nodes[1].store.set(paths.CONTROLLER_EPOCH, records.encode_counter(9), version=version)

        with pytest.raises(NotController):
            await deposed.create_topics([NewTopic("t", replication_factor=1)])

        assert await nodes[1].store.exists(paths.topic("t")) is None


class LosingAnswers:
    """A store whose multis are done, but whose answer is lost now and then."""

    def __init__(self, store: MemoryStore) -> None:
        self._store = store
        self.lose = False

    def __getattr__(self, name: str):
        return getattr(self._store, name)

    async def multi(self, operations):
        results = await self._store.multi(operations)
        if self.lose:
            self.lose = False
            raise ConnectionLost("the answer was lost")
        return results


async def test_a_write_whose_answer_was_lost_is_read_back_and_reported_as_done(autojump_clock):
    memory = MemoryCluster()
    async with memory.connect() as raw, trio.open_nursery() as nursery:
        store = LosingAnswers(raw)
        await prepare(store, new_cluster_id=lambda: "c")
        watcher = ClusterWatcher(store)
        controller = Controller(store, 1, watcher, random_bytes=bytes)
        await nursery.start(watcher.run)
        await register(store, facts(1))
        nursery.start_soon(controller.run)
        with trio.fail_after(10):
            state = watcher.state
            while 1 not in state.acknowledged:
                state = await watcher.wait_changed(state)

        store.lose = True
        created = await controller.create_topics([NewTopic("t", replication_factor=1)])
        assert created["t"].partitions[0].leader_id == 1

        store.lose = True
        edit = ConfigEdit("t", (("retention.ms", ConfigOperation.SET, "1"),))
        edited = await controller.alter_configs([edit])
        assert edited["t"].config == {"retention.ms": "1"}

        store.lose = True
        deleted = await controller.delete_topics(["t"])
        assert not isinstance(deleted["t"], RequestError)
        assert watcher.state.topics == {}
        nursery.cancel_scope.cancel()


async def test_a_disconnection_only_delays(autojump_clock):
    async with started(1, 2, 3) as (cluster, nodes):
        cluster.memory.disconnect(nodes[0].store.session_id)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(create, nodes[0].controller, "t")
            await trio.sleep(1)
            cluster.memory.reconnect(nodes[0].store.session_id)

        await cluster.until(nodes[2], lambda s: "t" in s.topics)


async def test_a_lost_session_ends_watcher_and_controller(autojump_clock):
    memory = MemoryCluster()
    async with memory.connect() as store:
        await prepare(store, new_cluster_id=lambda: "c")
        watcher = ClusterWatcher(store)
        controller = Controller(store, 1, watcher, random_bytes=bytes)
        ended = []

        async def run(part, **kwargs) -> None:
            with pytest.raises(SessionLost):
                await part(**kwargs)
            ended.append(part)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(run, watcher.run)
            await trio.sleep(0.1)
            nursery.start_soon(run, controller.run)
            await trio.sleep(0.1)
            memory.expire(store.session_id)

        assert len(ended) == 2
        with pytest.raises(NotController):
            await controller.create_topics([NewTopic("t")])
