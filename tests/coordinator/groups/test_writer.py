"""The writer of many groups: few multis, each change answered once it is durable, or why not."""

from __future__ import annotations

import random
from contextlib import asynccontextmanager
from functools import partial

import pytest
import trio

from coordinator import paths
from coordinator.bootstrap import prepare
from coordinator.errors import NotGroupOwner
from coordinator.groups import znodes
from coordinator.groups.change import Change, TopicChange
from coordinator.groups.image import CommittedOffset
from coordinator.groups.queue import GroupQueue, Write
from coordinator.groups.writer import GroupWriter
from coordinator.memory import MemoryCluster
from coordinator.records import RecordUnreadable
from coordinator.store import ConnectionLost, MultiFailed, StoreError, TooLarge
from protocol.errors import CoordinationError, OttlaError
from tests.support.faulty_store import FaultyStore

TOPIC_ID = b"t" * 16


def commit(offset: int, *, index: int = 0, topic: str = "t", metadata: str = "") -> Change:
    committed = CommittedOffset(offset, metadata=metadata)
    return Change({topic: TopicChange(TOPIC_ID, {index: committed})})


async def outcome(write: Write) -> OttlaError | None:
    with trio.fail_after(60):
        try:
            await write.wait()
        except OttlaError as error:
            return error
    return None


class Desk:
    """A writer at work, over a store that does what the test says."""

    def __init__(self, store: FaultyStore, nursery: trio.Nursery) -> None:
        self.store = store
        self.lost: list[str] = []
        self.writer = GroupWriter(store, lost=lambda owned: self.lost.append(owned.group_id))
        nursery.start_soon(self.writer.run)

    async def make(self, group_id: str = "g") -> GroupQueue:
        owned = await znodes.create(self.store, group_id, owner_id=1, incarnation="1")
        assert owned is not None
        return self.writer.add(owned)

    async def stored(self, group_id: str = "g") -> dict[int, int]:
        """Give the offsets by partition that the store holds, also where they cannot be claimed."""
        above = paths.group(group_id)
        header = f"{above}/{(await self.store.children(above))[0]}"
        found = await znodes.read_offsets(self.store, header)
        return {i: c.offset for kept in found.values() for i, c in kept.partitions.items()}


@asynccontextmanager
async def desk(memory: MemoryCluster | None = None):
    memory = memory or MemoryCluster()
    async with memory.connect() as raw, trio.open_nursery() as nursery:
        store = FaultyStore(raw, nursery, rng=random.Random(1))
        await prepare(store, new_cluster_id=lambda: "c")
        yield Desk(store, nursery)
        nursery.cancel_scope.cancel()


async def test_a_change_is_answered_once_it_is_in_the_store(stores):
    async with trio.open_nursery() as nursery:
        here = Desk(FaultyStore(stores[0], nursery, rng=random.Random(1)), nursery)
        queue = await here.make()

        assert await outcome(queue.submit(commit(5))) is None

        assert await here.stored() == {0: 5}
        assert queue.owned.offsets["t"].partitions == {0: CommittedOffset(5)}
        assert await outcome(queue.submit(Change(membership=b"m"))) is None
        assert await outcome(queue.submit(commit(6))) is None
        found = await znodes.claim(stores[1], "g", owner_id=2)
        assert found is not None
        assert found.header.membership == b"m"
        assert found.offsets == queue.owned.offsets
        nursery.cancel_scope.cancel()


async def test_an_owner_that_another_has_deposed_is_told_at_its_next_write(stores):
    async with trio.open_nursery() as nursery:
        here = Desk(FaultyStore(stores[0], nursery, rng=random.Random(1)), nursery)
        queue, other = await here.make(), await here.make("other")
        await znodes.claim(stores[1], "g", owner_id=2)

        writes = [queue.submit(commit(5)), other.submit(commit(6)), queue.submit(Change())]
        errors = [await outcome(write) for write in writes]

        assert [type(error) for error in errors] == [NotGroupOwner, type(None), NotGroupOwner]
        assert here.lost == ["g"]
        assert isinstance(await outcome(queue.submit(commit(7))), NotGroupOwner)
        assert await here.stored("other") == {0: 6}
        nursery.cancel_scope.cancel()


async def test_what_is_asked_while_a_write_is_on_its_way_goes_out_together(autojump_clock):
    memory = MemoryCluster()
    async with desk(memory) as here:
        queues = [await here.make(f"g{number}") for number in range(50)]
        memory.latency = partial(trio.sleep, 0.01)
        here.store.multis.clear()

        writes = [q.submit(commit(n, index=n)) for n in range(20) for q in queues]
        assert [await outcome(write) for write in writes] == [None] * 1_000

        # The first multi takes what is there when it begins, the others all that came meanwhile.
        assert len(here.store.multis) <= 2
        assert await here.stored("g7") == {n: n for n in range(20)}


async def test_a_multi_has_no_more_operations_than_fit(autojump_clock):
    async with desk() as here:
        queues = [await here.make(f"g{number}") for number in range(500)]
        here.store.multis.clear()

        writes = [queue.submit(commit(1)) for queue in queues]
        assert [await outcome(write) for write in writes] == [None] * 500

        assert sum(here.store.multis) == 1_000
        assert max(here.store.multis) == 400


async def test_a_multi_weighs_no_more_than_fits(autojump_clock):
    async with desk() as here:
        queues = [await here.make(f"g{number}") for number in range(8)]

        writes = [q.submit(Change(membership=random.Random(1).randbytes(200_000))) for q in queues]

        assert [await outcome(write) for write in writes] == [None] * 8


async def test_the_order_in_which_it_was_asked_is_kept(autojump_clock):
    memory = MemoryCluster()
    async with desk(memory) as here:
        queue = await here.make()
        memory.latency = partial(trio.sleep, 0.01)
        writes = []
        for number in range(30):
            writes.append(queue.submit(commit(number)))
            await trio.sleep(0.003)
        for write in writes:
            assert await outcome(write) is None

        assert await here.stored() == {0: 29}


@pytest.mark.parametrize("fate", ["done", "never", "later"])
async def test_a_write_without_an_answer_is_found_out_about(fate, autojump_clock):
    async with desk() as here:
        queue, other = await here.make(), await here.make("other")
        here.store._rng.choice = lambda _: fate
        here.store.losing = 1.0
        writes = [queue.submit(commit(5)), other.submit(Change(membership=b"m"))]
        await trio.sleep(1)
        here.store.losing = 0.0

        assert [await outcome(write) for write in writes] == [None, None]

        await trio.sleep(10)  # what was on its way has arrived
        assert await outcome(queue.submit(commit(6))) is None
        assert await here.stored() == {0: 6}
        found = await znodes.claim(here.store, "other", owner_id=1)
        assert found is not None
        assert found.header.membership == b"m"


async def test_a_write_that_arrives_after_a_later_one_changes_nothing(autojump_clock):
    async with desk() as here:
        queue = await here.make()
        here.store._rng.choice = lambda _: "later"
        here.store._rng.random = lambda: 0.5
        here.store.losing = 1.0
        first = queue.submit(commit(1))
        await trio.sleep(0.001)
        here.store.losing = 0.0
        assert await outcome(first) is None
        assert await outcome(queue.submit(commit(2))) is None

        await trio.sleep(10)

        assert await here.stored() == {0: 2}


async def test_a_deletion_without_an_answer_is_reported_as_unknown(autojump_clock):
    # Others may have deleted the group and made it again: then nobody has deleted this one.
    async with desk() as here:
        queue = await here.make()
        await outcome(queue.submit(commit(1)))
        here.store._rng.choice = lambda _: "done"
        here.store.losing = 1.0
        deletion = queue.submit(Change(deleted=True))
        await trio.sleep(0.001)
        here.store.losing = 0.0

        assert isinstance(await outcome(deletion), NotGroupOwner)
        assert here.lost == ["g"]
        assert await znodes.list_groups(here.store) == []


async def test_who_waits_when_a_group_is_given_up_is_told(autojump_clock):
    memory = MemoryCluster()
    async with desk(memory) as here:
        queue = await here.make()
        memory.latency = partial(trio.sleep, 1)
        first = queue.submit(commit(5))
        await trio.sleep(0.5)
        second = queue.submit(commit(6))

        here.writer.remove(queue)

        for write in (first, second, queue.submit(commit(7))):
            assert isinstance(await outcome(write), NotGroupOwner)
        assert here.lost == []


async def test_an_owner_of_before_does_not_write_through_its_successor(autojump_clock):
    async with desk() as here:
        before = await here.make()
        here.writer.remove(before)
        owned = await znodes.claim(here.store, "g", owner_id=1)
        assert owned is not None
        now = here.writer.add(owned)

        assert isinstance(await outcome(before.submit(commit(1))), NotGroupOwner)
        assert await outcome(now.submit(commit(2))) is None
        assert await here.stored() == {0: 2}


async def test_a_lost_session_leaves_nobody_waiting(autojump_clock):
    memory = MemoryCluster()
    async with memory.connect() as raw:
        async with trio.open_nursery() as nursery:
            store = FaultyStore(raw, nursery, rng=random.Random(1))
            await prepare(store, new_cluster_id=lambda: "c")
            here = Desk(store, nursery)
            queue = await here.make()
            memory.latency = partial(trio.sleep, 1)
            first = queue.submit(commit(5))
            await trio.sleep(0.5)
            second = queue.submit(commit(6))

            memory.expire(raw.session_id)
            await trio.sleep(5)
            nursery.cancel_scope.cancel()  # as the session's other tasks do

        for write in (first, second):
            assert isinstance(await outcome(write), NotGroupOwner)


async def test_what_is_too_large_alone_is_refused_alone(autojump_clock):
    memory = MemoryCluster()
    async with desk(memory) as here:
        queue, other = await here.make(), await here.make("other")
        memory.latency = partial(trio.sleep, 0.01)
        writes = [
            queue.submit(commit(1)),
            queue.submit(commit(2, index=1, metadata="x" * 1_100_000)),
            queue.submit(commit(3, index=2)),
            other.submit(commit(4)),
        ]

        assert [await outcome(write) for write in writes] == [None] * 4

        assert [write.refused for write in writes] == [set(), {("t", 1)}, set(), set()]
        assert await here.stored() == {0: 1, 2: 3}
        assert await here.stored("other") == {0: 4}


async def test_a_membership_that_is_too_large_is_refused(autojump_clock):
    async with desk() as here:
        queue = await here.make()
        large = random.Random(1).randbytes(1_100_000)
        writes = [queue.submit(Change(membership=large)), queue.submit(commit(1))]

        errors = [await outcome(write) for write in writes]

        assert [type(error) for error in errors] == [TooLarge, type(None)]
        assert await here.stored() == {0: 1}


def commit_of_three(offset: int) -> Change:
    """Commit in three topics, of which one request holds one."""
    committed = CommittedOffset(offset, metadata="x" * 600_000)
    return Change({name: TopicChange(TOPIC_ID, {0: committed}) for name in ("a", "b", "c")})


@pytest.mark.parametrize("losing", [0.0, 0.5])
async def test_a_change_of_more_than_a_request_is_whole_before_the_next_one(losing, autojump_clock):
    async with desk() as here:
        queue = await here.make()
        here.store.losing = losing
        large = queue.submit(commit_of_three(1))
        later = queue.submit(commit(2, topic="c"))

        assert [await outcome(write) for write in (large, later)] == [None, None]

        here.store.losing = 0.0
        found = await znodes.read_offsets(here.store, queue.owned.path)
        assert {name: kept.partitions[0].offset for name, kept in found.items()} == {
            "a": 1, "b": 1, "c": 2,
        }  # fmt: skip
        assert not large.refused


async def test_what_is_only_too_large_together_is_written_one_after_the_other(autojump_clock):
    async with desk() as here:
        queue = await here.make()
        large = random.Random(1).randbytes(600_000)
        writes = [
            queue.submit(Change(membership=large)),
            queue.submit(commit(1, topic="a", metadata="x" * 600_000)),
        ]

        assert [await outcome(write) for write in writes] == [None, None]


async def test_a_group_that_became_unreadable_is_given_up_and_the_others_go_on(autojump_clock):
    async with desk() as here:
        queue, other = await here.make(), await here.make("other")
        await outcome(queue.submit(commit(1)))
        await here.store.set(paths.group_offsets(queue.owned.path, "t"), b"garbage")
        here.store._rng.choice = lambda _: "never"
        here.store.losing = 1.0
        writes = [queue.submit(commit(2)), other.submit(commit(3))]
        await trio.sleep(0.001)
        here.store.losing = 0.0

        errors = [await outcome(write) for write in writes]

        assert isinstance(errors[0], RecordUnreadable)
        assert errors[1] is None
        assert here.lost == ["g"]


async def test_znodes_that_are_not_as_known_are_read_again(autojump_clock):
    async with desk() as here:
        queue = await here.make()
        await outcome(queue.submit(commit(1)))
        await here.store.delete(paths.group_offsets(queue.owned.path, "t"))

        assert await outcome(queue.submit(commit(2, index=1))) is None

        assert await here.stored() == {1: 2}


class RefusingStore(FaultyStore):
    """A store with an opinion of its own, such as a quota."""

    refusal: CoordinationError | None = None

    async def multi(self, operations):
        if self.refusal is not None:
            await trio.lowlevel.checkpoint()
            raise self.refusal
        return await super().multi(operations)


@pytest.mark.parametrize(
    "refusal", [StoreError("over the quota"), MultiFailed(1, StoreError("over the quota"))]
)
async def test_what_the_store_refuses_for_good_is_not_tried_for_ever(refusal, autojump_clock):
    async with MemoryCluster().connect() as raw, trio.open_nursery() as nursery:
        store = RefusingStore(raw, nursery, rng=random.Random(1))
        await prepare(store, new_cluster_id=lambda: "c")
        here = Desk(store, nursery)
        queue = await here.make()

        store.refusal = refusal
        assert await outcome(queue.submit(commit(1))) is refusal
        store.refusal = None

        assert await outcome(queue.submit(commit(2))) is None
        assert here.lost == []
        nursery.cancel_scope.cancel()


async def test_a_change_of_which_a_part_is_refused_is_refused(autojump_clock):
    async with MemoryCluster().connect() as raw, trio.open_nursery() as nursery:
        store = RefusingStore(raw, nursery, rng=random.Random(1))
        await prepare(store, new_cluster_id=lambda: "c")
        here = Desk(store, nursery)
        queue = await here.make()

        large = queue.submit(commit_of_three(1))
        while not (queue.owned.offsets or queue.is_idle):
            await trio.lowlevel.checkpoint()
        store.refusal = StoreError("over the quota")
        assert await outcome(large) is store.refusal
        store.refusal = None

        assert await outcome(queue.submit(commit(2))) is None
        assert "c" not in queue.owned.offsets
        nursery.cancel_scope.cancel()


async def test_what_makes_the_server_hang_up_again_and_again_is_given_up(autojump_clock):
    async with MemoryCluster().connect() as raw, trio.open_nursery() as nursery:
        store = RefusingStore(raw, nursery, rng=random.Random(1))
        await prepare(store, new_cluster_id=lambda: "c")
        here = Desk(store, nursery)
        queue, other = await here.make(), await here.make("other")

        store.refusal = ConnectionLost("the server hung up")
        assert await outcome(queue.submit(commit(1))) is store.refusal
        store.refusal = None

        assert await outcome(other.submit(commit(2))) is None
        assert await outcome(queue.submit(commit(3))) is None
        nursery.cancel_scope.cancel()


async def test_a_long_outage_delays_and_loses_nothing(autojump_clock):
    async with desk() as here:
        queues = [await here.make(f"g{number}") for number in range(100)]
        here.store.losing = 1.0
        here.store._rng.choice = lambda _: "never"
        writes = [queue.submit(commit(1)) for queue in queues]
        await trio.sleep(4)
        here.store.losing = 0.0

        assert [await outcome(write) for write in writes] == [None] * 100
