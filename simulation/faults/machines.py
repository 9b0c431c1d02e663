"""Processes and machines: killed, stopped, paused, without power, with another time.

Must never know: networks, disks, the coordinator.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final

import trio

from simulation.themes import ACKS_ALL

if TYPE_CHECKING:
    from simulation.cluster import SimulatedBroker
    from simulation.faults.stage import Act, Stage
    from simulation.kinds import Fault


BEHIND_S: Final = 0.5
OTHERS_DIE: Final = 1
EVERYBODY_LOSES_POWER: Final = 3


class MachineFaults:
    """Faults of processes."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._stopping: set[int] = set()

    @property
    def acts(self) -> dict[str, Act]:
        """Name what can be carried out."""
        return {
            "kill": partial(self.kill, power=False),
            "bounce": partial(self.kill, power=False),
            "power": partial(self.kill, power=True),
            "blackout": self._blackout,
            "stop": self._stop,
            "power-two": self._power_two,
            "strand": self._strand,
            "pause": self._pause,
            "jump-clock": self._jump_clock,
        }

    async def kill(self, fault: Fault, *, power: bool) -> bool:
        """End a process, by a power failure perhaps, and start it again later."""
        if (machine := self._stage.machine(fault)) is None:
            return False
        self._stage.begin(fault)
        await machine.kill(power=power)
        await self._stage.start_after(machine, fault)
        return True

    async def _pause(self, fault: Fault) -> bool:
        """SIGSTOP and SIGCONT; whoever kills it meanwhile ends it."""
        machine = self._stage.machine(fault)
        if machine is None or machine.broker is None:
            return False
        self._stage.begin(fault)
        broker = machine.broker
        machine.pause()
        try:
            await trio.sleep(fault.lasts_s)
        finally:
            if machine.broker is broker and machine.is_running:
                machine.resume()  # also where the run ends
        return True

    async def _jump_clock(self, fault: Fault) -> bool:
        self._stage.begin(fault)
        self._stage.cluster.jump_clock(self._stage.cluster.brokers[fault.broker].host, fault.amount)
        return True

    async def _power_two(self, fault: Fault) -> bool:
        """Have two machines lose power at once."""
        machines = [self._stage.cluster.brokers[b] for b in (fault.broker, fault.other)]
        struck = [machine for machine in machines if machine.is_running]
        if not struck:
            return False
        self._stage.begin(fault)
        for machine in struck:
            await machine.kill(power=True)
        await trio.sleep(fault.lasts_s)
        for machine in struck:
            self._stage.start_soon(machine)
        return True

    async def _strand(self, fault: Fault) -> bool:
        """Have one machine fall behind with its syncs, and others end before it has caught up.

        `amount` says who ends: 1 all others, 2 all others for want of power, 3 all for that.
        """
        behind = self._stage.machine(fault)
        if behind is None:
            return False
        self._stage.begin(fault)
        behind.disk.sync_latency_s = lambda: BEHIND_S
        await trio.sleep(fault.lasts_s)
        struck = [m for m in self._stage.machines() if m.is_running]
        if fault.amount != EVERYBODY_LOSES_POWER:
            struck = [machine for machine in struck if machine is not behind]
        for machine in struck:
            await machine.kill(power=fault.amount != OTHERS_DIE)
        behind.disk.sync_latency_s = self._stage.sync_s
        await trio.sleep(fault.lasts_s)
        for machine in struck:
            self._stage.start_soon(machine)
        return True

    async def _blackout(self, fault: Fault) -> bool:
        self._stage.begin(fault)
        for machine in self._stage.machines():
            if machine.is_running:
                await machine.kill(power=True)
        await trio.sleep(fault.lasts_s)
        for machine in self._stage.machines():
            self._stage.start_soon(machine)
        return True

    async def _stop(self, fault: Fault) -> bool:
        machine = self._stage.machine(fault)
        if machine is None or machine.broker is None or not self._may_stop(machine):
            return False
        self._stage.begin(fault)
        self._stopping.add(machine.broker_id)
        machine.begin_stop()
        self._stage.cluster.nursery.start_soon(self._start_once_ended, machine, fault)
        await trio.sleep(fault.lasts_s)
        return True

    async def _start_once_ended(self, machine: SimulatedBroker, fault: Fault) -> None:
        """Start a process that was told to stop, which may take longer than the fault lasts."""
        starts_at = trio.current_time() + fault.lasts_s
        await machine.wait_ended()
        self._stopping.discard(machine.broker_id)
        await trio.sleep_until(starts_at)
        self._stage.start_soon(machine)

    def _may_stop(self, machine: SimulatedBroker) -> bool:
        """Say whether a stop costs no record of acks=1, where records are written with that.

        It does when nobody in sync is left to lead on: they go with their leader then, until it
        comes back, or somebody without them takes over.
        """
        if self._stage.plan.acks == ACKS_ALL or machine.broker is None:
            return True
        stay = {m.broker_id for m in self._stage.machines() if m.is_running} - {machine.broker_id}
        # While one stops, nobody knows who is to lead what.
        return not self._stopping and all(
            partition.pending_isr is None and stay.intersection(partition.isr)
            for partition in machine.broker.partitions.led()
        )
