"""Whether a topic is still as it was read: only the store itself can say."""

from __future__ import annotations

import trio
from msgspec.structs import replace

from coordinator.cluster import PartitionState
from coordinator.freshness import is_current
from tests.support.controllers import create, propose, started


async def test_what_was_read_is_current_until_somebody_writes(autojump_clock):
    async with started(1, 2, 3) as (_, nodes):
        controller = nodes[0].controller
        await create(controller, "t")
        read = nodes[0].watcher.state.topics["t"]
        assert await is_current(nodes[1].store, read)

        leader_id = read.partitions[0].leader_id
        assert isinstance(await propose(nodes[0], controller, "t", leader_id), PartitionState)

        assert not await is_current(nodes[1].store, read)
        assert await is_current(nodes[1].store, nodes[0].watcher.state.topics["t"])


async def test_a_topic_that_is_gone_is_not_current(autojump_clock):
    async with started(1, 2, 3) as (_, nodes):
        await create(nodes[0].controller, "t")
        read = nodes[0].watcher.state.topics["t"]

        await nodes[0].controller.delete_topics(["t"])

        assert not await is_current(nodes[1].store, read)
        assert not await is_current(nodes[1].store, replace(read, version=0))


async def test_a_broken_connection_is_waited_for(autojump_clock):
    async with started(1, 2, 3) as (cluster, nodes):
        await create(nodes[0].controller, "t")
        read = nodes[0].watcher.state.topics["t"]
        found = []

        async def ask() -> None:
            found.append(await is_current(nodes[1].store, read))

        cluster.memory.disconnect(nodes[1].store.session_id)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(ask)
            await trio.sleep(1)
            assert found == []
            cluster.memory.reconnect(nodes[1].store.session_id)

        assert found == [True]
