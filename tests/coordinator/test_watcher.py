"""The watcher: everything is seen, in few copies, and nothing goes back."""

from __future__ import annotations

from contextlib import asynccontextmanager

import pytest
import trio
from msgspec.structs import replace

from coordinator import paths, records
from coordinator.bootstrap import prepare
from coordinator.cluster import BrokerRegistration, PartitionState, TopicState
from coordinator.draft import Draft
from coordinator.memory import MemoryCluster
from coordinator.records import ControllerRecord, RecordUnreadable, Tombstone
from coordinator.store import ConnectionLost, Set
from coordinator.watcher import READS_IN_FLIGHT_MAX, ClusterWatcher

PARTITION = PartitionState((1,), 1, 0, (1,))


def topic(name: str, *, epoch: int = 0, version: int = 0) -> TopicState:
    partition = PartitionState((1,), 1, epoch, (1,))
    return TopicState(name, name.encode().rjust(16, b"-"), {}, (partition,), version)


class CountingStore:
    """Counts reads under way, and breaks the connection on demand."""

    def __init__(self, store) -> None:
        self._store = store
        self.reads = self.in_flight = self.in_flight_max = 0
        self.breaks = 0

    def __getattr__(self, name: str):
        return getattr(self._store, name)

    async def get(self, path, *, watch=None):
        self.reads += 1
        self.in_flight += 1
        self.in_flight_max = max(self.in_flight, self.in_flight_max)
        try:
            await trio.sleep(0.001)
            if self.breaks:
                self.breaks -= 1
                raise ConnectionLost("broken on purpose")
            return await self._store.get(path, watch=watch)
        finally:
            self.in_flight -= 1


@asynccontextmanager
async def watched():
    memory = MemoryCluster()
    async with memory.connect() as hand, memory.connect() as eyes:
        await prepare(hand, new_cluster_id=lambda: "c")
        store = CountingStore(eyes)
        watcher = ClusterWatcher(store)
        async with trio.open_nursery() as nursery:
            await nursery.start(watcher.run)
            yield hand, store, watcher
            nursery.cancel_scope.cancel()


async def until(watcher: ClusterWatcher, holds) -> int:
    """Wait until the state is as wanted. Returns: how many states it took."""
    count, state = 0, watcher.state
    with trio.fail_after(30):
        while not holds(state):
            state = await watcher.wait_changed(state)
            count += 1
    return count


async def test_all_that_is_there_is_known_at_the_start(autojump_clock):
    memory = MemoryCluster()
    async with memory.connect() as store:
        await prepare(store, new_cluster_id=lambda: "cid")
        await store.create(paths.topic("t"), records.encode_topic(topic("t")))
        await store.create(paths.CONTROLLER, records.encode_controller(ControllerRecord(4, 2)))
        await store.set(paths.CONFIG, records.encode_texts({"a": "b"}))
        await store.set(paths.ACKNOWLEDGED, records.encode_acknowledged({4: 1}))
        tombstone = records.encode_tombstone(Tombstone("gone", (1,)))
        await store.create(paths.deleted(bytes(16)), tombstone)
        registration = BrokerRegistration(4, 0, (), None, "d", True, 1)
        await store.create(paths.registration(4), records.encode_registration(registration))
        watcher = ClusterWatcher(store)
        async with trio.open_nursery() as nursery:
            await nursery.start(watcher.run)
            nursery.cancel_scope.cancel()

    state = watcher.state
    assert state.cluster_id == "cid"
    assert (state.controller_id, state.controller_epoch) == (4, 2)
    assert state.config == {"a": "b"}
    assert state.acknowledged == {4: 1}
    assert state.topics == {"t": topic("t")}
    assert state.topic_of_id(topic("t").topic_id) == topic("t")
    assert state.deleted_topics == {bytes(16): "gone"}
    assert state.brokers.keys() == {4}


async def test_every_kind_of_change_is_seen(autojump_clock):
    async with watched() as (hand, _, watcher):
        path = paths.topic("t")
        await hand.create(path, records.encode_topic(topic("t")))
        await until(watcher, lambda s: "t" in s.topics)
        await hand.set(path, records.encode_topic(topic("t", epoch=1)))
        await until(watcher, lambda s: s.topics["t"].partitions[0].leader_epoch == 1)
        assert watcher.state.topics["t"].version == 1
        await hand.delete(path)
        await until(watcher, lambda s: not s.topics)
        await hand.create(path, records.encode_topic(topic("t")))
        await until(watcher, lambda s: "t" in s.topics)
        await hand.create(paths.CONTROLLER, records.encode_controller(ControllerRecord(1, 5)))
        await until(watcher, lambda s: s.controller_id == 1)
        await hand.delete(paths.CONTROLLER)
        await until(watcher, lambda s: s.controller_id == -1)
        assert watcher.state.controller_epoch == 5


async def test_a_topic_deleted_and_created_in_one_moment_is_the_new_one(autojump_clock):
    async with watched() as (hand, _, watcher):
        path = paths.topic("t")
        await hand.create(path, records.encode_topic(topic("t")))
        await until(watcher, lambda s: "t" in s.topics)
        for epoch in range(1, 20):
            await hand.delete(path)
            await hand.create(path, records.encode_topic(topic("t", epoch=epoch)))
            await trio.sleep(0.0005)

        await until(
            watcher,
            lambda s: "t" in s.topics and s.topics["t"].partitions[0].leader_epoch == 19,
        )


async def test_thousands_of_changes_are_read_side_by_side_and_published_in_few_states(
    autojump_clock,
):
    async with watched() as (hand, store, watcher):
        for i in range(2_000):
            await hand.create(paths.topic(f"t{i}"), records.encode_topic(topic(f"t{i}")))
        await until(watcher, lambda s: len(s.topics) == 2_000)
        store.in_flight_max = 0
        before = watcher.state
        await hand.multi(
            [
                Set(paths.topic(f"t{i}"), records.encode_topic(topic(f"t{i}", epoch=1)))
                for i in range(1_999)
            ]
        )

        states = await until(
            watcher,
            lambda s: sum(t.partitions[0].leader_epoch for t in s.topics.values()) == 1_999,
        )

        assert store.in_flight_max == READS_IN_FLIGHT_MAX
        assert states < 20
        assert watcher.state.topics["t1999"] is before.topics["t1999"]


async def test_a_broker_is_seen_before_thousands_of_topics(autojump_clock):
    async with watched() as (hand, _, watcher):
        for i in range(2_000):
            await hand.create(paths.topic(f"t{i}"), records.encode_topic(topic(f"t{i}")))
        registration = BrokerRegistration(4, 0, (), None, "d", True, 1)
        await hand.create(paths.registration(4), records.encode_registration(registration))

        await until(watcher, lambda s: 4 in s.brokers)

        assert len(watcher.state.topics) < 2_000


async def test_a_broken_connection_loses_no_change(autojump_clock):
    async with watched() as (hand, store, watcher):
        store.breaks = 3
        await hand.create(paths.topic("t"), records.encode_topic(topic("t")))

        await until(watcher, lambda s: "t" in s.topics)

        assert store.breaks == 0


async def test_a_reread_shows_what_was_there_when_it_was_asked_for(autojump_clock):
    async with watched() as (hand, store, watcher):
        await hand.set(paths.CONFIG, records.encode_texts({"a": "b"}))
        store.breaks = 1

        await watcher.reread([paths.CONFIG])

        assert watcher.state.config == {"a": "b"}


async def test_what_we_wrote_is_not_undone_by_a_list_read_before(autojump_clock):
    draft = Draft()
    draft.list_topics(["old"])
    draft.set_topic(topic("old"), zxid=1)
    draft.begin_listing_topics()
    draft.add_topic(topic("new"))
    draft.remove_topic(topic("old"))

    draft.list_topics(["old"])

    assert draft.freeze().topics.keys() == {"new"}


async def test_older_news_of_a_topic_changes_nothing(autojump_clock):
    draft = Draft()
    draft.list_topics(["t"])
    draft.set_topic(topic("t", epoch=2, version=2), zxid=9)
    known = draft.freeze()

    draft.set_topic(topic("t", epoch=1, version=1), zxid=8)

    assert draft.freeze() is known


async def test_a_topic_is_gone_with_its_tombstone_whatever_is_read_late(autojump_clock):
    """A broker that saw both took its replica up, and then said that it has none."""
    old = topic("t")
    anew = replace(old, topic_id=bytes(16))
    draft = Draft()
    draft.list_topics(["t"])
    draft.set_topic(old, zxid=1)
    draft.set_deleted(old.topic_id, "t")
    assert draft.freeze().topics == {}
    draft.set_topic(old, zxid=2)
    assert draft.freeze().topics == {}
    assert draft.freeze().deleted_topics == {old.topic_id: "t"}

    draft.set_topic(anew, zxid=3)
    draft.set_deleted(old.topic_id, "t")

    assert draft.freeze().topics == {"t": anew}


async def test_several_wait_for_one_change(autojump_clock):
    async with watched() as (hand, _, watcher):
        seen = []

        async def wait() -> None:
            seen.append(await watcher.wait_changed(watcher.state))

        async with trio.open_nursery() as nursery:
            for _ in range(3):
                nursery.start_soon(wait)
            await trio.testing.wait_all_tasks_blocked()
            await hand.set(paths.CONFIG, records.encode_texts({"a": "b"}))

        assert len(seen) == 3
        assert seen[0] is seen[1] is seen[2]


async def test_a_znode_that_nobody_can_read_ends_the_watcher_with_its_path(autojump_clock):
    memory = MemoryCluster()
    async with memory.connect() as store:
        await prepare(store, new_cluster_id=lambda: "c")
        await store.create(paths.topic("t"), b"rubbish")

        with pytest.raises(RecordUnreadable, match="/ottla/topics/t"):
            await ClusterWatcher(store).run()
