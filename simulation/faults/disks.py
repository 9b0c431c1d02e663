"""Disks: slow, full, refusing to sync.

Must never know: networks, sessions, what is on a disk.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import trio

from simulation.faults.stage import seen

if TYPE_CHECKING:
    from simulation.cluster import SimulatedBroker
    from simulation.faults.stage import Act, Stage
    from simulation.kinds import Fault

FREE_ON_A_FULL_DISK_BYTES: Final = (0, 2_000)
"""By the broker: not even a checkpoint fits, or all but much that is appended."""

STARTED_AGAIN_AFTER_S: Final = 1.0
IN_SYNC_WITHIN_S: Final = 5.0
IN_SYNC_SEEN_WITHIN_S: Final = 0.01
GOES_ON_S: Final = 0.3
"""How long records are acknowledged by who came back after its sync had failed."""


class DiskFaults:
    """Faults of disks that keep what was synced."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage

    @property
    def acts(self) -> dict[str, Act]:
        """Name what can be carried out."""
        return {
            "slow-disk": self._slow_disk,
            "fail-sync": self._fail_sync,
            "drop-pages": self._drop_pages,
            "fail-read": self._fail_read,
            "fill-disk": self._fill_disk,
        }

    async def _slow_disk(self, fault: Fault) -> bool:
        machine = self._stage.cluster.brokers[fault.broker]
        self._stage.begin(fault)
        machine.disk.sync_latency_s = lambda: fault.amount
        await trio.sleep(fault.lasts_s)
        machine.disk.sync_latency_s = self._stage.sync_s  # it may be another one by now
        return True

    async def _fail_sync(self, fault: Fault) -> bool:
        """Refuse a sync; with an `amount`, power fails everywhere so many seconds later.

        Whether of a file or of a directory is read off the time, as one more draw would have every
        seed draw other plans.
        """
        if (machine := self._stage.machine(fault)) is None:
            return False
        self._stage.begin(fault)
        if round(fault.at_s * 1000) % 2:
            machine.disk.fail_next_directory_sync()
        else:
            machine.disk.fail_next_sync()
        await trio.sleep(fault.amount or STARTED_AGAIN_AFTER_S)
        for other in self._stage.machines() if fault.amount else ():
            if other.is_running:
                await other.kill(power=True)
            self._stage.start_soon(other)
        self._stage.start_soon(machine)
        return True

    async def _fail_read(self, fault: Fault) -> bool:
        """Refuse a read, whoever comes next, and start again what ends of it."""
        if (machine := self._stage.machine(fault)) is None:
            return False
        self._stage.begin(fault)
        machine.disk.fail_next_read()
        await trio.sleep(STARTED_AGAIN_AFTER_S)
        self._stage.start_soon(machine)
        return True

    async def _drop_pages(self, fault: Fault) -> bool:
        """Refuse a sync, and leave that broker the only one after a power failure everywhere.

        Before that it is in sync again: what the kernel has dropped, it must have written again.
        """
        if (machine := self._stage.machine(fault)) is None:
            return False
        self._stage.begin(fault)
        machine.disk.fail_next_sync()
        with trio.move_on_after(STARTED_AGAIN_AFTER_S):
            await machine.wait_ended()
        self._stage.start_soon(machine)
        await seen(
            lambda: self._is_in_sync(machine),
            within_s=IN_SYNC_WITHIN_S,
            every_s=IN_SYNC_SEEN_WITHIN_S,
        )
        await trio.sleep(GOES_ON_S)
        await self._stage.kill(self._stage.machines(), power=True)
        await self._stage.start_before(self._stage.machines(), machine, fault)
        return True

    def _is_in_sync(self, machine: SimulatedBroker) -> bool:
        """Say whether it is in the ISR of all that it has a replica of."""
        led = [p for p in self._stage.led() if p.state and machine.broker_id in p.state.replicas]
        return bool(led) and all(machine.broker_id in partition.isr for partition in led)

    async def _fill_disk(self, fault: Fault) -> bool:
        disk = self._stage.cluster.brokers[fault.broker].disk
        if disk.capacity_bytes is not None:
            return False
        self._stage.begin(fault)
        disk.capacity_bytes = 1 << 40
        free_bytes = FREE_ON_A_FULL_DISK_BYTES[fault.broker % 2]
        disk.capacity_bytes -= disk.free_bytes("") - free_bytes
        await trio.sleep(fault.lasts_s)
        disk.capacity_bytes = None
        return True
