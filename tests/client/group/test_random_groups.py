"""Groups under random coming, going and breaking, over virtual time.

Always: no record is left out, nothing is committed that was not handed out, committed offsets never
go back. Where members only come and leave, and answers get lost: every record is handed out once,
and no partition is read by two. A failing seed is run again, alone, with `-k "[<seed>]"`.
"""

from __future__ import annotations

import itertools
import random

import pytest
import trio
from trio.testing import MockClock

from protocol.api import ApiKey
from protocol.errors import ErrorCode
from simulation.scheduling import deterministic_scheduling
from tests.support.fake_cluster import FakeCluster, Fault
from tests.support.group_apps import Reader, committed, fill, group_consumer, place

SEEDS = [*range(4), *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(4, 20))]
PARTITIONS = 5
ASSIGNORS = [
    ("range",),
    ("roundrobin",),
    ("sticky",),
    ("cooperative-sticky",),
    ("range", "cooperative-sticky"),
]
GROUP_APIS = [
    ApiKey.FIND_COORDINATOR,
    ApiKey.JOIN_GROUP,
    ApiKey.SYNC_GROUP,
    ApiKey.HEARTBEAT,
    ApiKey.LEAVE_GROUP,
    ApiKey.OFFSET_COMMIT,
    ApiKey.OFFSET_FETCH,
]
PASSING = [
    {"drop_before": True},
    {"drop_after": True},
    {"code": ErrorCode.NOT_COORDINATOR},
    {"code": ErrorCode.COORDINATOR_NOT_AVAILABLE},
    {"code": ErrorCode.COORDINATOR_LOAD_IN_PROGRESS},
]


class World:
    """A group, its topic, its readers, and what must hold of them all the time."""

    def __init__(self, cluster, nursery, seed):
        self.cluster = cluster
        self.group = cluster.groups["g"]
        self.choice = random.Random(seed)
        self.readers = []
        self.live = []
        self._nursery = nursery
        self._assignors = self.choice.choice(ASSIGNORS)
        self._hosts = itertools.count(1)
        self.topic = fill(cluster, partitions=PARTITIONS, records=5)
        self.group.on_commit = self._check_commit
        self._committed = {}

    def _check_commit(self, commit):
        topic, partition = commit.place
        seen = {o for r in self.readers for t, p, o in r.seen if (t, p) == (topic, partition)}
        assert seen >= set(range(commit.offset)), f"{commit} is beyond what was handed out"
        assert commit.offset >= self._committed.get(commit.place, 0), f"{commit} goes back"
        self._committed[commit.place] = commit.offset

    async def come(self):
        host = f"client-{next(self._hosts)}"
        consumer = group_consumer(
            self.cluster,
            host,
            assignors=self._assignors,
            session_timeout_s=self.choice.choice([4, 8]),
            max_poll_interval_s=self.choice.choice([10, 20]),
            auto_commit_interval_s=self.choice.choice([0.5, 2, 5]),
            metadata_max_age_s=5,
        )
        reader = Reader(
            consumer, poll_s=self.choice.choice([0, 0.1, 1]), work=self._work(self.choice.random())
        )
        reader.host = host
        self.readers.append(reader)
        self.live.append(reader)
        await self._nursery.start(reader.run)

    def _work(self, seed):
        choice = random.Random(seed)

        async def work():
            await trio.sleep(choice.choice([0.01, 0.01, 0.1, 0.5, 2]))

        return work

    def leave(self):
        if len(self.live) > 1:
            reader = self.live.pop(self.choice.randrange(len(self.live)))
            self._nursery.start_soon(reader.stop)

    def crash(self):
        if len(self.live) > 1:
            reader = self.live.pop(self.choice.randrange(len(self.live)))
            for broker_id in self.cluster.broker_ids:
                self.cluster.network.separate(reader.host, f"broker-{broker_id}")
            reader.scope.cancel()

    def write(self):
        for partition in self.topic.partitions:
            for _ in range(self.choice.randrange(3)):
                partition.add(b"more")
        self.cluster.wake_fetches()

    def elect(self):
        self.choice.choice(self.topic.partitions).elect(self.choice.choice(self.cluster.broker_ids))

    def break_something(self):
        for _ in range(self.choice.randrange(4)):
            fault = Fault(**self.choice.choice(PASSING))
            self.cluster.script(self.choice.choice(GROUP_APIS), fault)

    def move(self):
        self.group.move(self.choice.choice(self.cluster.broker_ids))

    def expire(self):
        if self.group.members:
            self.group.expire(self.choice.choice(sorted(self.group.members)))

    def forget(self):
        code = self.choice.choice([ErrorCode.UNKNOWN_MEMBER_ID, ErrorCode.REBALANCE_IN_PROGRESS])
        self.cluster.script(self.choice.choice(GROUP_APIS[1:4]), code)

    async def drain(self):
        """Let everything heal, everybody read to the end, and all leave."""
        self.cluster.faults.clear()
        ends = {place(i): p.end_offset for i, p in enumerate(self.topic.partitions)}
        everything = {(p.partition, offset) for p, end in ends.items() for offset in range(end)}
        for _ in range(300):
            if committed(self.group) == {p: end for p, end in ends.items() if end}:
                break
            await trio.sleep(1)
        seen = {(p, offset) for reader in self.readers for _, p, offset in reader.seen}
        assert seen == everything, f"{sorted(everything - seen)} was handed out to nobody"
        for reader in list(self.live):
            await reader.stop()
        assert committed(self.group) == {p: end for p, end in ends.items() if end}

    def assert_nothing_is_read_by_two(self):
        held = [p for reader in self.readers for p in reader.consumer.assignment]
        assert len(held) == len(set(held)), f"{sorted(held)} at {trio.current_time()}"

    async def act(self, *acts):
        """Do one of these at random, as long as there are no more than four readers."""
        act = self.choice.choice(acts)
        if act != self.come:
            act()
        elif len(self.live) < 4:
            await self.come()


def play(scenario, seed):
    """Run a scenario in a world of its own; the same seed gives the same run."""

    async def run():
        async with trio.open_nursery() as nursery:
            cluster = FakeCluster(nursery, brokers=3)
            for broker_id in cluster.broker_ids:
                await cluster.start(broker_id)
            await scenario(World(cluster, nursery, seed))
            nursery.cancel_scope.cancel()

    with deterministic_scheduling(seed):
        trio.run(run, clock=MockClock(autojump_threshold=0))


async def come_and_leave(world):
    await world.come()
    for _ in range(25):
        await world.act(world.come, world.leave, world.write, world.elect, world.break_something)
        for _ in range(world.choice.choice([1, 5, 20])):
            await trio.sleep(0.2)
            world.assert_nothing_is_read_by_two()
    await world.drain()

    seen = [record for reader in world.readers for record in reader.seen]
    assert len(seen) == len(set(seen))
    assert not any(reader.told("lost") for reader in world.readers)


async def break_everything(world):
    await world.come()
    for _ in range(40):
        await world.act(
            world.come,
            world.leave,
            world.crash,
            world.write,
            world.elect,
            world.break_something,
            world.move,
            world.expire,
            world.forget,
        )
        await trio.sleep(world.choice.choice([0, 0.1, 1, 4]))
    await world.drain()


@pytest.mark.parametrize("seed", SEEDS)
def test_with_clean_leaves_every_record_is_handed_out_once(seed):
    play(come_and_leave, seed)


@pytest.mark.parametrize("seed", SEEDS)
def test_whatever_breaks_no_record_is_left_out(seed):
    play(break_everything, seed)
