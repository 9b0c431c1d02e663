"""Several brokers all believe that they own the same groups, while sessions break, by a seed.

Every client does one thing after the other on a group of its own, through whichever broker: so what
the group may hold is known at every moment. What was acknowledged counts; what is unknown may have
happened, until somebody has read after it; nothing happens later than that.
A failing seed is run again with `-k "[<seed>]"`.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from itertools import count

import pytest
import trio
from trio.testing import MockClock

from coordinator.bootstrap import prepare
from coordinator.errors import NotGroupOwner
from coordinator.groups import znodes
from coordinator.groups.change import Change, TopicChange
from coordinator.groups.image import CommittedOffset
from coordinator.groups.queue import GroupQueue
from coordinator.groups.writer import GroupWriter
from coordinator.memory import MemoryCluster
from coordinator.retry import until_answered
from coordinator.store import SessionLost
from protocol.errors import CoordinationError
from simulation.scheduling import deterministic_scheduling
from tests.support.faulty_store import FaultyStore

TOPIC_ID = b"t" * 16
OWNERS = 3
GROUPS = 4
STEPS = 60
SEEDS = [*range(10), *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(10, 60))]

Held = tuple[tuple[int, int], ...]
"""What a group holds: offsets by partition. One without any is as good as none: it may be made long
after whoever wanted it has given up."""


class Owner:
    """A broker that serves any group it is asked for, claiming what it does not have at hand."""

    def __init__(self, owner_id: int, memory: MemoryCluster, rng: random.Random) -> None:
        self.owner_id = owner_id
        self.session_id: int | None = None
        self._memory = memory
        self._rng = rng
        self._numbers = count()
        self._queues: dict[str, GroupQueue] = {}
        self._locks: dict[str, trio.Lock] = {}

    async def run(self, late: trio.Nursery) -> None:
        """Live one session after another; what is written `late` outlives its session."""
        self._late = late
        while True:
            async with self._memory.connect(session_timeout_s=2.0) as raw:
                await self._live(raw)
            await trio.sleep(self._rng.random())

    async def _live(self, raw) -> None:
        async with trio.open_nursery() as nursery:
            losing = self._rng.choice([0, 0.1, 0.4])
            self._store = FaultyStore(raw, self._late, rng=self._rng, losing=losing, delay_s=2.0)
            self._writer = GroupWriter(self._store, lost=self._lost)
            nursery.start_soon(self._writer.run)
            self._queues, self._locks = {}, {}
            self.session_id = raw.session_id
            await raw.wait_lost()
            self.session_id = None
            nursery.cancel_scope.cancel()

    def _lost(self, owned: znodes.OwnedGroup) -> None:
        if (queue := self._queues.get(owned.group_id)) is not None and queue.owned is owned:
            del self._queues[owned.group_id]

    def release(self) -> None:
        """Give everything up, as after a change of the cluster."""
        for queue in self._queues.values():
            self._writer.remove(queue)
        self._queues = {}

    async def queue(self, group_id: str, *, create: bool) -> GroupQueue | None:
        """Claim a group or make it. Raises: NotGroupOwner, CoordinationError."""
        if self.session_id is None:
            await trio.lowlevel.checkpoint()
            raise NotGroupOwner(group_id)
        store, writer, queues = self._store, self._writer, self._queues
        async with self._locks.setdefault(group_id, trio.Lock()):
            if group_id in queues:
                return queues[group_id]

            async def claim() -> znodes.OwnedGroup | None:
                return await znodes.claim(store, group_id, owner_id=self.owner_id)

            async def make() -> znodes.OwnedGroup | None:
                incarnation = f"{store.session_id}-{next(self._numbers)}"
                return await znodes.create(
                    store, group_id, owner_id=self.owner_id, incarnation=incarnation
                )

            owned = await until_answered(claim)
            while owned is None and create:
                owned = await until_answered(make) or await until_answered(claim)
            if owned is None:
                return None
            if queues is not self._queues:
                raise NotGroupOwner(group_id)
            queues[group_id] = writer.add(owned)
            return queues[group_id]


@dataclass
class Client:
    """Acts on one group, one thing after the other, and knows what it may hold."""

    group_id: str
    rng: random.Random
    owners: list[Owner]
    possible: set[Held] = field(default_factory=lambda: {()})
    acknowledged: int = 0
    offset: int = 0

    async def run(self) -> None:
        owner = self.owners[0]
        for _ in range(STEPS):
            if self.rng.random() < 0.4:
                owner = self.rng.choice(self.owners)
            act = self.rng.choice([self.commit, self.commit, self.commit, self.fetch, self.delete])
            with trio.move_on_after(self.rng.choice([0.05, 1.0, 5.0])):
                await act(owner)
            await trio.sleep(self.rng.choice([0, 0.01, 0.3]))

    async def commit(self, owner: Owner) -> None:
        self.offset += 1
        wanted = {self.rng.randrange(3): self.offset for _ in range(self.rng.randint(1, 2))}

        def after(held: Held) -> Held:
            return tuple(sorted({**dict(held), **wanted}.items()))

        change = Change(
            {"t": TopicChange(TOPIC_ID, {i: CommittedOffset(o) for i, o in wanted.items()})},
            membership=self.rng.choice([None, None, b"%d" % self.offset]),
        )
        await self._change(owner, change, {after(held) for held in self.possible}, create=True)

    async def delete(self, owner: Owner) -> None:
        await self._change(owner, Change(deleted=True), {()}, create=False)

    async def _change(
        self, owner: Owner, change: Change, after: set[Held], *, create: bool
    ) -> None:
        self.possible = self.possible | after
        try:
            queue = await owner.queue(self.group_id, create=create)
            if queue is not None:
                await queue.submit(change).wait()
                if change.deleted:
                    owner._writer.remove(queue)
                    owner._lost(queue.owned)
            self.possible = after
            self.acknowledged += 1
        except (NotGroupOwner, CoordinationError):
            return

    async def fetch(self, owner: Owner) -> None:
        try:
            queue = await owner.queue(self.group_id, create=False)
            if queue is None:
                found = ()
            else:
                await queue.submit(Change()).wait()
                found = held_in(queue.owned)
        except (NotGroupOwner, CoordinationError):
            return
        assert found in self.possible, f"{self.group_id}: {found} of {self.possible}"
        self.possible = {found}


def held_in(owned: znodes.OwnedGroup) -> Held:
    kept = owned.offsets.get("t")
    return tuple(sorted((i, c.offset) for i, c in kept.partitions.items())) if kept else ()


class Faults:
    def __init__(self, memory: MemoryCluster, owners: list[Owner], rng: random.Random) -> None:
        self._memory, self._owners, self._rng = memory, owners, rng

    async def run(self) -> None:
        while True:
            await trio.sleep(self._rng.expovariate(3.0))
            owner = self._rng.choice(self._owners)
            if owner.session_id not in self._memory.session_ids:
                continue
            await self._rng.choice([self._break, self._break, self._expire, self._release])(owner)

    async def _break(self, owner: Owner) -> None:
        session_id = owner.session_id
        self._memory.disconnect(session_id)
        await trio.sleep(self._rng.choice([0.001, 0.1, 1.0, 3.0]))
        try:
            self._memory.reconnect(session_id)
        except SessionLost:
            return

    async def _expire(self, owner: Owner) -> None:
        self._memory.expire(owner.session_id)

    async def _release(self, owner: Owner) -> None:
        owner.release()


async def run_story(seed: int) -> int:
    rng = random.Random(seed)
    pace = rng.choice([0.0, 0.001, 0.01])

    async def latency() -> None:
        await trio.sleep(rng.expovariate(1 / pace) if pace else 0)

    memory = MemoryCluster(latency=latency)
    async with memory.connect() as store:
        await prepare(store, new_cluster_id=lambda: "c")
    owners = [Owner(number, memory, rng) for number in range(OWNERS)]
    clients = [Client(f"g{n}", random.Random(f"{seed} {n}"), owners) for n in range(GROUPS)]
    async with trio.open_nursery() as nursery:
        for owner in owners:
            nursery.start_soon(owner.run, nursery)
        nursery.start_soon(Faults(memory, owners, rng).run)
        async with trio.open_nursery() as acting:
            for client in clients:
                acting.start_soon(client.run)
        nursery.cancel_scope.cancel()
    memory.latency = None
    async with memory.connect() as store:
        for client in clients:
            await check(client, store)
    return sum(client.acknowledged for client in clients)


async def check(client: Client, store) -> None:
    """Compare with what is in the store at last."""
    owned = await znodes.claim(store, client.group_id, owner_id=9)
    found = () if owned is None else held_in(owned)
    assert found in client.possible, f"{client.group_id}: {found} of {client.possible}"


@pytest.mark.parametrize("seed", SEEDS)
def test_nothing_acknowledged_goes_back_whoever_believes_to_own_the_group(seed: int):
    async def main() -> int:
        with trio.fail_after(3_600):
            return await run_story(seed)

    with deterministic_scheduling(seed):
        acknowledged = trio.run(main, clock=MockClock(autojump_threshold=0))
    assert acknowledged > 10
