"""What every fault of a run has in common: the cluster that it meets, and how it is told.

Must never know: any particular fault.
"""

from __future__ import annotations

import random  # noqa: TID251 - seeded here, with the seed that was handed in
from itertools import permutations
from typing import TYPE_CHECKING, Final, TypeAlias

import trio

from coordinator.reassign import is_under_way

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping

    from broker.partition import Partition
    from simulation.cluster import SimulatedBroker, SimulatedCluster
    from simulation.kinds import Fault
    from simulation.plan import Plan
    from simulation.process import Process

Act: TypeAlias = "Callable[[Fault], Awaitable[bool]]"
"""Carries a fault out, and mends what it broke. Returns: whether it did anything."""

SLOW_LINK_S: Final = 0.4
"""What is sent over a slow link takes up to so long."""


class Stage:
    """A cluster, and the plan by which it is broken; `under_way` counts faults that last.

    `clients` are the processes of those that may be stood still, by the names of their hosts, and
    `crash` ends one of these. Returns: whether there was one.
    """

    def __init__(
        self,
        cluster: SimulatedCluster,
        plan: Plan,
        *,
        clients: Mapping[str, Process],
        crash: Callable[[str], Awaitable[bool]],
        told: Callable[[str], None],
    ) -> None:
        self.cluster = cluster
        self.plan = plan
        self.clients = clients
        self.crash = crash
        self.told = told
        self.under_way = 0
        self.rng = random.Random(f"{plan.seed} disks")  # noqa: S311 - to be repeatable

    def sync_s(self) -> float:
        """Draw how long a disk takes to sync while nothing is wrong with it."""
        return self.rng.random() * self.plan.sync_s

    def machines(self) -> list[SimulatedBroker]:
        """Give all machines."""
        return list(self.cluster.brokers.values())

    def machine(self, fault: Fault) -> SimulatedBroker | None:
        """Give the machine that a fault meets, if its process runs."""
        machine = self.cluster.brokers[fault.broker]
        return machine if machine.is_running else None

    def session_of(self, machine: SimulatedBroker) -> int | None:
        """Give the session with the coordinator that a broker has; None: it has none."""
        store = machine.store
        if store is None or store.session_id not in self.cluster.memory.session_ids:
            return None
        return store.session_id

    def expire_session(self, machine: SimulatedBroker) -> None:
        """Have the coordinator end a broker's session, if it has one."""
        if (session_id := self.session_of(machine)) is not None:
            self.cluster.memory.expire(session_id)

    def led(self) -> Iterator[Partition]:
        """Give all partitions as their leaders know them."""
        for machine in self.machines():
            if machine.is_running and machine.broker:
                yield from machine.broker.partitions.led()

    def isolate(self, broker_id: int) -> None:
        """Separate a broker from all others, not from clients and coordinator."""
        for cut, other in self._links_of(broker_id):
            self.cluster.network.separate(cut, other)

    def reunite(self, broker_id: int) -> None:
        """End what `isolate` did."""
        for cut, other in self._links_of(broker_id):
            self.cluster.network.reunite(cut, other)

    def _links_of(self, broker_id: int) -> list[tuple[str, str]]:
        host = self.cluster.brokers[broker_id].host
        return [(host, machine.host) for machine in self.machines() if machine.host != host]

    def slow_links(self, *broker_ids: int) -> None:
        """Have what these brokers send to each other take its time, until links are restored."""
        for source, target in self._ways(broker_ids):
            self.cluster.network.set_link(source, target, lambda: self.rng.random() * SLOW_LINK_S)

    def narrow_links(self, *broker_ids: int, bytes_per_s: float) -> None:
        """Let so much of what these brokers send to each other through until links are restored."""
        for source, target in self._ways(broker_ids):
            self.cluster.network.set_link(source, target, bytes_per_s=bytes_per_s)

    def _ways(self, broker_ids: Iterable[int]) -> Iterator[tuple[str, str]]:
        return permutations((self.cluster.brokers[broker_id].host for broker_id in broker_ids), 2)

    def begin(self, fault: Fault, *, whom: str = "") -> None:
        """Tell that a fault is carried out."""
        self.told(f"fault {fault} {whom}".rstrip())

    async def kill(self, machines: Iterable[SimulatedBroker], *, power: bool = False) -> None:
        """Kill the processes that run, one after the other, or have their machines lose power."""
        for machine in machines:
            if machine.is_running:
                await machine.kill(power=power)

    async def start_after(self, machine: SimulatedBroker, fault: Fault) -> None:
        """Start a process once its fault has lasted."""
        await trio.sleep(fault.lasts_s)
        self.start_soon(machine)

    async def start_before(
        self, others: Iterable[SimulatedBroker], machine: SimulatedBroker, fault: Fault
    ) -> None:
        """Start a process, and others once a fault has lasted; till then it is without them."""
        self.start_soon(machine)
        await trio.sleep(fault.lasts_s)
        for other in others:
            self.start_soon(other)

    def start_soon(self, machine: SimulatedBroker) -> None:
        """Start a process, if it does not run."""
        self.cluster.nursery.start_soon(self._start, machine)

    async def _start(self, machine: SimulatedBroker) -> None:
        if not machine.is_running:
            self.told(f"start broker {machine.broker_id}")
            await machine.start(wait_registered=False)


async def seen(condition: Callable[[], object], *, within_s: float, every_s: float) -> bool:
    """Look from time to time, for so long at most. Returns: whether it has come true."""
    with trio.move_on_after(within_s):
        while not condition():  # noqa: ASYNC110 - it is of many
            await trio.sleep(every_s)
    return bool(condition())


def is_in_sync(partition: Partition) -> bool:
    """Say whether a partition's broker knows all its replicas to be in sync, and none to move."""
    state = partition.state
    if state is None:
        return False  # It was opened, and has not been told anything yet.
    return {*state.isr} == {*state.replicas} and not is_under_way(state)
