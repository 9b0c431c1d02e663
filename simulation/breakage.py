"""Carries out the faults of a plan on a simulated cluster, and mends what it broke.

A fault that does not fit the moment (its broker is dead already, the only other copy is not in
sync) does nothing; that depends on the run alone, so that it repeats.
Must never know: who writes and reads meanwhile, what is judged.
"""

from __future__ import annotations

import random  # noqa: TID251 - seeded here, with the seed that was handed in
from collections import Counter
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Final

import trio

from broker.log.directory import Checkpoint, DataDirectory
from client.connection import open_connection
from coordinator.reassign import is_under_way
from coordinator.store import NoNode
from protocol.api.alter_partition_reassignments import (
    AlterPartitionReassignmentsRequest,
    ReassignablePartition,
    ReassignableTopic,
)
from protocol.api.elect_leaders import ElectLeadersRequest
from protocol.batch import split_batches
from protocol.errors import OttlaError
from simulation.cluster import PORT
from simulation.plan import TOPIC

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping

    from broker.partition import Partition
    from simulation.cluster import SimulatedBroker, SimulatedCluster
    from simulation.plan import Fault, Plan

SLOW_LINK_S: Final = 0.4
AT_LEAST_S: Final = 3.0
"""How long a run goes on, however few its faults are."""
ADMIN_PATIENCE_S: Final = 1.0
SOUND_WITHIN_S: Final = 3.0
"""How long damage waits for all replicas to be in sync."""
OTHERS_DIE: Final = 1
NO_COORDINATOR: Final = 2
"""What comes with damage to a disk: the damaged broker is alone for a while, not heard of."""
FREE_ON_A_FULL_DISK_BYTES: Final = 2_000


class Breakage:
    """The faults of one run; `injected` counts those that did something."""

    def __init__(self, cluster: SimulatedCluster, plan: Plan, *, told: Callable[[str], None]):
        self.injected: Counter[str] = Counter()
        self._cluster = cluster
        self._plan = plan
        self._told = told
        self._damaged = False
        self._under_way = 0
        self._rng = random.Random(f"{plan.seed} disks")  # noqa: S311 - to be repeatable
        self._acts: Mapping[str, Callable[[Fault], Awaitable[bool]]] = {
            "kill": partial(self._kill, power=False),
            "power": partial(self._kill, power=True),
            "blackout": self._blackout,
            "stop": self._stop,
            "lose-disk": self._lose_disk,
            "damage-tail": self._damage_tail,
            "cut-store": self._cut_store,
            "pause-session": self._pause_session,
            "expire-session": self._expire_session,
            "deregister": self._deregister,
            "separate": self._separate,
            "slow-disk": self._slow_disk,
            "fail-sync": self._fail_sync,
            "fill-disk": self._fill_disk,
            "elect": self._elect,
            "reassign": self._reassign,
            "reset": self._reset,
            "isolate": self._isolate,
            "isolate-kill": partial(self._isolate_and_kill, power=False),
            "isolate-power": partial(self._isolate_and_kill, power=True),
            "power-two": self._power_two,
            "pause": self._pause,
            "mute": self._mute,
            "block": self._block,
            "slow-link": self._slow_link,
            "jump-clock": self._jump_clock,
            "cut-file": self._cut_file,
        }

    async def run(self) -> None:
        """Break what the plan names, each in its time; return when all has passed."""
        start = trio.current_time()
        async with trio.open_nursery() as nursery:
            for fault in self._plan.faults:
                nursery.start_soon(self._meet, fault, start + fault.at_s)
            await trio.sleep(AT_LEAST_S)

    async def _meet(self, fault: Fault, at: float) -> None:
        await trio.sleep_until(at)
        self._under_way += 1
        if await self._acts[fault.kind](fault):
            self.injected[fault.kind] += 1
        self._under_way -= 1

    def _sync_s(self) -> float:
        return self._rng.random() * self._plan.sync_s

    def heal(self) -> None:
        """Mend whatever may be broken, and start what does not run."""
        self._cluster.network.rejoin()
        self._cluster.network.restore_links()
        for machine in self._machines():
            machine.resume()
            self._cluster.reconnect_to_store(machine.broker_id)
            machine.disk.capacity_bytes = None
            machine.disk.sync_latency_s = self._sync_s
            machine.disk.fail_next_sync(0)
            self._start_soon(machine)

    async def repair(self) -> None:
        """Do what an operator does: mend all, restart what has a replica that it cannot open."""
        for machine in self._machines():
            if machine.is_running and machine.broker and any(machine.broker.partitions.offline()):
                await machine.kill()
        self.heal()

    # Processes and machines.

    def _machines(self) -> list[SimulatedBroker]:
        return list(self._cluster.brokers.values())

    def _machine(self, fault: Fault, *, running: bool = True) -> SimulatedBroker | None:
        machine = self._cluster.brokers[fault.broker]
        return machine if machine.is_running is running else None

    def _begin(self, fault: Fault) -> None:
        self._told(f"fault {fault}")

    async def _kill(self, fault: Fault, *, power: bool) -> bool:
        if (machine := self._machine(fault)) is None:
            return False
        self._begin(fault)
        await machine.kill()
        if power:
            machine.lose_power()
        await self._start_after(machine, fault)
        return True

    async def _start_after(self, machine: SimulatedBroker, fault: Fault) -> None:
        await trio.sleep(fault.lasts_s)
        self._start_soon(machine)

    def _start_soon(self, machine: SimulatedBroker) -> None:
        self._cluster.nursery.start_soon(self._start, machine)

    async def _start(self, machine: SimulatedBroker) -> None:
        if not machine.is_running:
            self._told(f"start broker {machine.broker_id}")
            await machine.start(wait_registered=False)

    async def _pause(self, fault: Fault) -> bool:
        """SIGSTOP and SIGCONT; whoever kills it meanwhile ends it."""
        machine = self._machine(fault)
        if machine is None or machine.broker is None:
            return False
        self._begin(fault)
        broker = machine.broker
        machine.pause()
        await trio.sleep(fault.lasts_s)
        if machine.broker is broker and machine.is_running:
            machine.resume()
        return True

    async def _jump_clock(self, fault: Fault) -> bool:
        self._begin(fault)
        self._cluster.jump_clock(self._cluster.brokers[fault.broker].host, fault.amount)
        return True

    async def _power_two(self, fault: Fault) -> bool:
        """Have two machines lose power at once."""
        machines = [self._cluster.brokers[b] for b in (fault.broker, fault.other)]
        struck = [machine for machine in machines if machine.is_running]
        if not struck:
            return False
        self._begin(fault)
        for machine in struck:
            await machine.kill()
            machine.lose_power()
        await trio.sleep(fault.lasts_s)
        for machine in struck:
            self._start_soon(machine)
        return True

    async def _blackout(self, fault: Fault) -> bool:
        self._begin(fault)
        for machine in self._machines():
            if machine.is_running:
                await machine.kill()
                machine.lose_power()
        await trio.sleep(fault.lasts_s)
        for machine in self._machines():
            self._start_soon(machine)
        return True

    async def _stop(self, fault: Fault) -> bool:
        machine = self._machine(fault)
        if machine is None or machine.broker is None:
            return False
        self._begin(fault)
        machine.broker.stop()
        await self._start_after(machine, fault)
        return True

    # Storage: what one replica loses another one must have, so it happens once, and to one; and not
    # where an ISR of one is enough: that one may be it, after the others have restarted.

    def _may_damage(self) -> bool:
        machines = self._machines()
        found = [p for m in machines if m.is_running and m.broker for p in m.broker.partitions]
        return (
            self._plan.settings.get("min.insync.replicas") == "2"
            and not self._damaged
            and self._under_way == 1  # else an ISR may be about to shrink to the one that is struck
            and all(machine.is_running for machine in machines)
            and bool(found)
            and all(is_in_sync(partition) for partition in found)
        )

    async def _damage(self, fault: Fault, harm: Callable[[SimulatedBroker], bool]) -> bool:
        machine = self._machine(fault)
        with trio.move_on_after(SOUND_WITHIN_S):
            while not self._may_damage():
                await trio.sleep(0.05)
                machine = self._machine(fault)
        if machine is None or not self._may_damage():
            return False
        self._begin(fault)
        self._damaged = True
        await machine.kill()
        done = harm(machine)
        others = [other for other in self._machines() if other.is_running]
        if int(fault.amount) & OTHERS_DIE:
            for other in others:
                await other.kill()
        if int(fault.amount) & NO_COORDINATOR:
            self._cluster.cut_from_store(fault.broker)
        self._start_soon(machine)
        await trio.sleep(fault.lasts_s / 2)
        self._cluster.reconnect_to_store(fault.broker)
        await trio.sleep(fault.lasts_s / 2)
        for other in others:
            self._start_soon(other)
        return done

    async def _lose_disk(self, fault: Fault) -> bool:
        def harm(machine: SimulatedBroker) -> bool:
            machine.lose_disk()
            return True

        return await self._damage(fault, harm)

    async def _damage_tail(self, fault: Fault) -> bool:
        """Flip a bit of the last record that is noted as committed.

        In what was written since it could not be told from what a crash tears.
        """

        def harm(machine: SimulatedBroker) -> bool:
            found = _last_committed(machine)
            if found is not None:
                machine.disk.flip_bit(*found)
            return found is not None

        return await self._damage(fault, harm)

    async def _cut_file(self, fault: Fault) -> bool:
        """Cut a log file within that record, as a file system that repairs itself may."""

        def harm(machine: SimulatedBroker) -> bool:
            found = _last_committed(machine)
            if found is not None:
                machine.disk.truncate_file(*found)
            return found is not None

        return await self._damage(fault, harm)

    async def _slow_disk(self, fault: Fault) -> bool:
        disk = self._cluster.brokers[fault.broker].disk
        self._begin(fault)
        disk.sync_latency_s = lambda: fault.amount
        await trio.sleep(fault.lasts_s)
        disk.sync_latency_s = self._sync_s
        return True

    async def _fail_sync(self, fault: Fault) -> bool:
        if (machine := self._machine(fault)) is None:
            return False
        self._begin(fault)
        machine.disk.fail_next_sync()
        await trio.sleep(ADMIN_PATIENCE_S)
        self._start_soon(machine)
        return True

    async def _fill_disk(self, fault: Fault) -> bool:
        disk = self._cluster.brokers[fault.broker].disk
        if disk.capacity_bytes is not None:
            return False
        self._begin(fault)
        disk.capacity_bytes = 1 << 40
        disk.capacity_bytes -= disk.free_bytes("") - FREE_ON_A_FULL_DISK_BYTES
        await trio.sleep(fault.lasts_s)
        disk.capacity_bytes = None
        return True

    # The network.

    async def _separate(self, fault: Fault) -> bool:
        one, other = (self._cluster.brokers[b].host for b in (fault.broker, fault.other))
        self._begin(fault)
        self._cluster.network.separate(one, other)
        await trio.sleep(fault.lasts_s)
        self._told("links are mended")
        self._cluster.network.rejoin()
        return True

    async def _mute(self, fault: Fault) -> bool:
        """Let nobody hear of a broker, nor it of anybody; no connection breaks."""
        host = self._cluster.brokers[fault.broker].host
        self._begin(fault)
        self._cluster.network.isolate(host)
        await trio.sleep(fault.lasts_s)
        self._cluster.network.rejoin_host(host)
        return True

    async def _block(self, fault: Fault) -> bool:
        """Let what one broker sends to another not arrive; what comes back does."""
        one, other = (self._cluster.brokers[b].host for b in (fault.broker, fault.other))
        self._begin(fault)
        self._cluster.network.block(one, other)
        await trio.sleep(fault.lasts_s)
        self._cluster.network.unblock(one, other)
        return True

    async def _slow_link(self, fault: Fault) -> bool:
        one, other = (self._cluster.brokers[b].host for b in (fault.broker, fault.other))
        self._begin(fault)
        for source, target in ((one, other), (other, one)):
            self._cluster.network.set_link(source, target, lambda: self._rng.random() * SLOW_LINK_S)
        await trio.sleep(fault.lasts_s)
        self._cluster.network.restore_links()
        return True

    async def _reset(self, fault: Fault) -> bool:
        """Break all connections of a broker: what was answered may be unknown to who asked."""
        self._begin(fault)
        self._cluster.network.reset(self._cluster.brokers[fault.broker].host)
        return True

    async def _isolate(self, fault: Fault) -> bool:
        """Separate a broker from all others, not from clients and coordinator."""
        self._begin(fault)
        cut = self._cluster.brokers[fault.broker].host
        for machine in self._machines():
            if machine.host != cut:
                self._cluster.network.separate(cut, machine.host)
        await trio.sleep(fault.lasts_s)
        self._cluster.network.rejoin()
        return True

    async def _isolate_and_kill(self, fault: Fault, *, power: bool) -> bool:
        """Let a broker fall behind, or stand alone, before it ends."""
        await self._isolate(fault)
        return await self._kill(fault._replace(lasts_s=fault.lasts_s / 2), power=power)

    # The coordinator.

    def _session(self, fault: Fault) -> int | None:
        machine = self._machine(fault)
        store = machine.store if machine is not None else None
        if store is None or store.session_id not in self._cluster.memory.session_ids:
            return None
        return store.session_id

    async def _cut_store(self, fault: Fault) -> bool:
        machine = self._machine(fault)
        if machine is None or machine.store is None:
            return False
        self._begin(fault)
        self._cluster.cut_from_store(fault.broker)
        await trio.sleep(fault.lasts_s)
        self._cluster.reconnect_to_store(fault.broker)
        return True

    async def _pause_session(self, fault: Fault) -> bool:
        """Have a session be silent for a while; its writes come through when it is back."""
        if (session_id := self._session(fault)) is None:
            return False
        self._begin(fault)
        self._cluster.memory.disconnect(session_id)
        await trio.sleep(fault.lasts_s)
        self._reconnect(fault, session_id)
        return True

    def _reconnect(self, fault: Fault, session_id: int) -> None:
        """Let a session be heard again, if the process that had it lives."""
        if self._session(fault) == session_id:
            self._cluster.memory.reconnect(session_id)

    async def _expire_session(self, fault: Fault) -> bool:
        if (session_id := self._session(fault)) is None:
            return False
        self._begin(fault)
        self._cluster.memory.expire(session_id)
        return True

    async def _deregister(self, fault: Fault) -> bool:
        """Take a broker for dead that is not, while it does not hear of it."""
        if (session_id := self._session(fault)) is None:
            return False
        self._begin(fault)
        self._cluster.memory.disconnect(session_id)
        async with self._cluster.connect_store() as hand:
            for path in self._cluster.memory.tree.ephemerals(session_id):
                with suppress(NoNode):
                    await hand.delete(path)
        await trio.sleep(fault.lasts_s)
        self._reconnect(fault, session_id)
        return True

    # The operator.

    async def _elect(self, fault: Fault) -> bool:
        self._begin(fault)
        await self._ask(fault, ElectLeadersRequest(topic_partitions=None), version=2)
        return True

    async def _reassign(self, fault: Fault) -> bool:
        bits = int(fault.amount)
        wanted = [broker for broker in self._cluster.brokers if bits >> broker & 1]
        number = fault.other % self._plan.partitions
        self._begin(fault)
        asked = ReassignablePartition(partition_index=number, replicas=wanted)
        topic = ReassignableTopic(name=TOPIC, partitions=[asked])
        await self._ask(fault, AlterPartitionReassignmentsRequest(topics=[topic]), version=0)
        return True

    async def _ask(self, fault: Fault, request: object, *, version: int) -> None:
        """Ask the broker, or the first one, and wait for a moment only."""
        host = self._cluster.brokers[fault.broker or 1].host
        network = self._cluster.environment("operator").network
        with trio.move_on_after(ADMIN_PATIENCE_S), suppress(OttlaError, OSError):
            async with open_connection(
                network, host, PORT, client_id="operator", negotiate=False
            ) as connection:
                await connection.call(request, version=version, timeout_s=ADMIN_PATIENCE_S)


def _last_committed(machine: SimulatedBroker) -> tuple[str, int] | None:
    """Find the last byte of what a broker has noted as committed: a file, and where in it."""
    disk, directory = machine.disk, f"data/{TOPIC}-0"
    noted = DataDirectory(disk, "data").read_checkpoints().get((TOPIC, 0), Checkpoint())
    # Recovery reads the segment with the recovery point, and what comes after it.
    for name in reversed([n for n in disk.list(directory) if n.endswith(".log")]):
        ends = list(_batch_ends(disk.read_file(f"{directory}/{name}")))
        if found := [end for end, offset in ends if offset <= noted.high_watermark]:
            return f"{directory}/{name}", found[-1] - 1
        if ends and int(name.removesuffix(".log")) <= noted.recovery_point:
            break
    return None


def _batch_ends(data: bytes) -> Iterator[tuple[int, int]]:
    """Give where each batch of a segment ends: its position, and the offset that follows."""
    position = 0
    for header, _ in split_batches(data, allow_cut=True):
        position += header.size_bytes
        yield position, header.next_offset


def is_in_sync(partition: Partition) -> bool:
    """Say whether a partition's broker knows all its replicas to be in sync, and none to move."""
    state = partition.state
    if state is None:
        return False  # It was opened, and has not been told anything yet.
    return {*state.isr} == {*state.replicas} and not is_under_way(state)


def in_sync_everywhere(partitions: Iterable[Partition]) -> bool:
    """Say whether all of these are in sync, hold the same, and know that all is committed."""
    found = list(partitions)
    ends = {partition.log.log_end_offset for partition in found}
    return (
        bool(found)
        and all(is_in_sync(p) and len(p.isr) == len(found) for p in found)
        and len(ends) == 1
        and {p.high_watermark.value for p in found} == ends
    )
