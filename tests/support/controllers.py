"""A cluster of controllers over one memory store: brokers without logs, that elect and decide."""

from __future__ import annotations

from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import trio

from coordinator.bootstrap import prepare
from coordinator.cluster import BrokerRegistration, ClusterState, Endpoint, PartitionState
from coordinator.controller import Controller
from coordinator.events import IsrChange, NewTopic
from coordinator.membership import BrokerFacts, register
from coordinator.memory import MemoryCluster, MemoryStore
from coordinator.watcher import ClusterWatcher
from protocol.errors import RequestError

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

    async def controller(self) -> Controller:
        """Wait until somebody decides."""
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
    *broker_ids: int,
) -> AsyncIterator[tuple[Cluster, list[Node]]]:
    async with trio.open_nursery() as nursery:
        cluster = Cluster(nursery, MemoryCluster())
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


async def propose(
    node: Node, controller: Controller, topic: str, *members: int
) -> PartitionState | RequestError:
    """Ask for an ISR as the leader of partition 0 would."""
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
