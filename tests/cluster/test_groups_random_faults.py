"""Groups' members commit while brokers die, stop, lose power, the store and each other, by a seed.

No member is ever told less than was acknowledged or told before. Then all is healed, every member
commits again, and what is kept is what was acknowledged last. A failing seed is run again, alone,
with `-k "[<seed>]"`.
"""

from __future__ import annotations

import random
from contextlib import suppress
from functools import partial

import pytest
import trio
from trio.testing import MockClock

from client import Admin, NewTopic
from coordinator.store import NoNode, SessionLost
from simulation.cluster import SimulatedCluster, simulated_cluster
from simulation.scheduling import deterministic_scheduling
from tests.cluster.machine_faults import MachineFaults
from tests.support.group_member import (
    BROKEN,
    GroupLink,
    GroupMember,
    Ledger,
    Refused,
    fetch_offsets,
)

TOPIC = "orders"
PARTITIONS = 3
GROUPS = ("a", "b", "c", "d")
MEMBERS = 2
FAULTS_S = 30
HEALING_BOUND_S = 120
SEEDS = [*range(2), *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(2, 40))]


class Faults(MachineFaults):
    """Breaks one thing after the other, and mends everything in the end."""

    async def run(self) -> None:
        rng = self._rng
        kinds = [
            self._kill, self._kill, self._stop, self._cut_off, self._break_session,
            self._expire_session, self._separate, self._start, self._start, self._mend,
            self._kill_all, self._deregister,
        ]  # fmt: skip
        slowest_s = rng.choice([0.0, 0.002, 0.02])
        if slowest_s:
            self._cluster._store.latency = partial(self._take_time, slowest_s)
        end = trio.current_time() + FAULTS_S
        while trio.current_time() < end:
            await trio.sleep(rng.expovariate(1.0) if rng.random() < 0.8 else 0.001)
            await rng.choice(kinds)()
        await self._mend()

    async def _take_time(self, slowest_s: float) -> None:
        await trio.sleep(self._rng.random() * slowest_s)

    async def _kill(self) -> None:
        if (machine := self._pick(running=True)) is not None:
            await machine.kill()
            if self._rng.random() < 0.5:
                machine.lose_power()
            if self._rng.random() < 0.5:
                self._start_soon(machine)

    async def _kill_all(self) -> None:
        if self._rng.random() < 0.7:
            return
        for machine in self._machines():
            if machine.is_running:
                await machine.kill()
                machine.lose_power()
        for machine in self._machines():
            self._start_soon(machine)

    async def _break_session(self) -> None:
        """Let a session be silent for a while; its writes come through when it is back."""
        if (session_id := self._session()) is not None:
            self._cluster._store.disconnect(session_id)
            await trio.sleep(self._rng.random() * 5)
            with suppress(SessionLost):
                self._cluster._store.reconnect(session_id)

    async def _expire_session(self) -> None:
        if (session_id := self._session()) is not None:
            self._cluster._store.expire(session_id)

    def _session(self) -> int | None:
        machine = self._pick(running=True)
        store = machine.store if machine is not None else None
        open_ones = self._cluster._store.session_ids
        return store.session_id if store is not None and store.session_id in open_ones else None

    async def _deregister(self) -> None:
        """Take a broker for dead that is not, while it may not hear of it."""
        if (session_id := self._session()) is None:
            return
        if self._rng.random() < 0.5:
            self._cluster._store.disconnect(session_id)
        tree = self._cluster._store.tree
        for path in tree.ephemerals(session_id):
            async with self._cluster.connect_store() as hand:
                with suppress(NoNode):
                    await hand.delete(path)
        await trio.sleep(self._rng.random() * 2)
        with suppress(SessionLost):
            self._cluster._store.reconnect(session_id)

    async def _separate(self) -> None:
        one, other = self._rng.sample(self._machines(), 2)
        self._cluster.network.separate(one.host, other.host)

    async def _mend(self) -> None:
        self._cluster.network.rejoin()
        for machine in self._machines():
            self._cluster.reconnect_to_store(machine.broker_id)
            self._start_soon(machine)


async def converge(cluster: SimulatedCluster, members: list[GroupMember]) -> None:
    """Return once every broker runs and every member has committed in the same generation."""
    with trio.move_on_after(HEALING_BOUND_S):
        while not all(machine.is_running for machine in cluster.brokers.values()):
            for machine in cluster.brokers.values():
                if not machine.is_running:
                    with suppress(RuntimeError):
                        await machine.start()
            await trio.sleep(0.1)
        wanted = {member: member.acknowledged + 5 for member in members}
        while True:
            if all(member.acknowledged >= count for member, count in wanted.items()):
                return
            await trio.sleep(0.1)
    facts = [(m.link.group_id, m.generation_id, m.positions, m.acknowledged) for m in members]
    raise AssertionError(f"not healed in {HEALING_BOUND_S} s: {facts}")


async def check(cluster: SimulatedCluster, ledger: Ledger) -> None:
    """Compare what is kept with what was acknowledged; nobody commits any more."""
    for group_id in GROUPS:
        link = GroupLink(cluster, group_id, host="checker", rng=random.Random(1))
        for index, offset in (await fetch(link)).items():
            place = (group_id, index)
            ledger.tell(place, offset, floor=ledger.floor(place))


async def fetch(link: GroupLink) -> dict[int, int]:
    """Ask for what is committed, until it is told."""
    while True:
        with suppress(*BROKEN, Refused):
            return await fetch_offsets(link, TOPIC, list(range(PARTITIONS)))
        await link.forget()
        await trio.sleep(0.1)


async def run_story(seed: int) -> Ledger:
    rng = random.Random(seed)
    ledger = Ledger()
    properties = {"group.initial.rebalance.delay.ms": str(rng.choice([0, 100]))}
    async with simulated_cluster(3, seed=seed, properties=properties) as cluster:
        async with Admin(cluster.bootstrap, environment=cluster.environment("admin")) as admin:
            await admin.create_topic(NewTopic(TOPIC, partitions=PARTITIONS, replication_factor=3))
        members = [
            GroupMember(
                cluster, group_id, number, ledger=ledger, topic=TOPIC, partitions=PARTITIONS,
                rng=random.Random(f"{seed} {group_id} {number}"),
            )
            for group_id in GROUPS
            for number in range(MEMBERS)
        ]  # fmt: skip
        async with trio.open_nursery() as nursery:
            for member in members:
                nursery.start_soon(member.run)
            await Faults(cluster, rng).run()
            await converge(cluster, members)
            nursery.cancel_scope.cancel()
        await check(cluster, ledger)
    return ledger


@pytest.mark.parametrize("seed", SEEDS)
def test_committed_offsets_never_go_back_whatever_fails(seed: int):
    async def main() -> Ledger:
        with trio.fail_after(600):
            return await run_story(seed)

    with deterministic_scheduling(seed):
        ledger = trio.run(main, clock=MockClock(autojump_threshold=0))
    assert ledger.commits > 100
