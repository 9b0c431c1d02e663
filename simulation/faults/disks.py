"""Disks: lost, damaged, slow, full, refusing to sync.

What one replica loses another one must have, so damage is done once in a run, and to one; and not
where an ISR of one is enough: that one may be it, after the others have restarted.
Must never know: networks, sessions.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TypeAlias

import trio

from broker.log.directory import Checkpoint, DataDirectory
from protocol.batch import split_batches
from simulation.faults.stage import is_in_sync
from simulation.plan import TOPIC

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from simulation.cluster import SimulatedBroker
    from simulation.faults.stage import Act, Stage
    from simulation.plan import Fault


Harm: TypeAlias = "Callable[[SimulatedBroker], bool]"
"""Damages the disk of a process that has ended. Returns: whether there was anything to damage."""

SOUND_WITHIN_S: Final = 3.0
"""How long damage waits for all replicas to be in sync."""

OTHERS_DIE: Final = 1
NO_COORDINATOR: Final = 2
"""What comes with damage to a disk: the damaged broker is alone for a while, not heard of."""

FREE_ON_A_FULL_DISK_BYTES: Final = 2_000
STARTED_AGAIN_AFTER_S: Final = 1.0


class DiskFaults:
    """Faults of disks."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._damaged = False

    @property
    def acts(self) -> dict[str, Act]:
        """Name what can be carried out."""
        return {
            "lose-disk": self._lose_disk,
            "damage-tail": self._damage_tail,
            "cut-file": self._cut_file,
            "roll-back": self._roll_back,
            "slow-disk": self._slow_disk,
            "fail-sync": self._fail_sync,
            "fill-disk": self._fill_disk,
        }

    def _may_damage(self) -> bool:
        machines = self._stage.machines()
        found = [p for m in machines if m.is_running and m.broker for p in m.broker.partitions]
        return (
            self._stage.plan.settings.get("min.insync.replicas") == "2"
            and not self._damaged
            # Else an ISR may be about to shrink to the one that is struck.
            and self._stage.under_way == 1
            and all(machine.is_running for machine in machines)
            and bool(found)
            and all(is_in_sync(partition) for partition in found)
        )

    async def _damage(self, fault: Fault, harm: Harm) -> bool:
        machine = self._stage.machine(fault)
        with trio.move_on_after(SOUND_WITHIN_S):
            while not self._may_damage():
                await trio.sleep(0.05)
                machine = self._stage.machine(fault)
        if machine is None or not self._may_damage():
            return False
        self._stage.begin(fault)
        self._damaged = True
        await machine.kill()
        done = harm(machine)
        others = [other for other in self._stage.machines() if other.is_running]
        if int(fault.amount) & OTHERS_DIE:
            for other in others:
                await other.kill()
        if int(fault.amount) & NO_COORDINATOR:
            self._stage.cluster.cut_from_store(fault.broker)
        self._stage.start_soon(machine)
        await trio.sleep(fault.lasts_s / 2)
        self._stage.cluster.reconnect_to_store(fault.broker)
        await trio.sleep(fault.lasts_s / 2)
        for other in others:
            self._stage.start_soon(other)
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

    async def _roll_back(self, fault: Fault) -> bool:
        """Give a file what it held some time ago, as a disk does that lost its writes.

        Not where that leaves of a log all that is noted as committed: see `_damage_tail`.
        """
        disk = self._stage.cluster.brokers[fault.broker].disk
        if not (files := disk.durable_files()):
            return False
        path = files[fault.other % len(files)]
        remembered = disk.remember(path)
        await trio.sleep(fault.lasts_s / 2)

        def harm(machine: SimulatedBroker) -> bool:
            if path.endswith(".log"):
                found = _last_committed(machine)
                if found is None or found[0] != path or found[1] < len(remembered):
                    return False
            if path not in machine.disk.durable_files():
                return False
            machine.disk.roll_back(path)
            return True

        return await self._damage(fault, harm)

    async def _slow_disk(self, fault: Fault) -> bool:
        disk = self._stage.cluster.brokers[fault.broker].disk
        self._stage.begin(fault)
        disk.sync_latency_s = lambda: fault.amount
        await trio.sleep(fault.lasts_s)
        disk.sync_latency_s = self._stage.sync_s
        return True

    async def _fail_sync(self, fault: Fault) -> bool:
        """Refuse a sync; with an `amount`, power fails everywhere so many seconds later."""
        if (machine := self._stage.machine(fault)) is None:
            return False
        self._stage.begin(fault)
        machine.disk.fail_next_sync()
        await trio.sleep(fault.amount or STARTED_AGAIN_AFTER_S)
        for other in self._stage.machines() if fault.amount else ():
            if other.is_running:
                await other.kill(power=True)
            self._stage.start_soon(other)
        self._stage.start_soon(machine)
        return True

    async def _fill_disk(self, fault: Fault) -> bool:
        disk = self._stage.cluster.brokers[fault.broker].disk
        if disk.capacity_bytes is not None:
            return False
        self._stage.begin(fault)
        disk.capacity_bytes = 1 << 40
        disk.capacity_bytes -= disk.free_bytes("") - FREE_ON_A_FULL_DISK_BYTES
        await trio.sleep(fault.lasts_s)
        disk.capacity_bytes = None
        return True


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
