"""The controller where it loses: races, its office, answers, its session."""

from __future__ import annotations

from functools import partial

import pytest
import trio

from coordinator import paths, records
from coordinator.bootstrap import prepare
from coordinator.controller import Controller
from coordinator.errors import NotController
from coordinator.events import ConfigEdit, ConfigOperation, NewTopic
from coordinator.membership import register
from coordinator.memory import MemoryCluster, MemoryStore
from coordinator.store import ConnectionLost, SessionLost
from coordinator.watcher import ClusterWatcher
from protocol.errors import RequestError
from tests.support.controllers import create, facts, propose, started


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
