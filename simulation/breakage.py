"""Carries out the faults of a plan on a simulated cluster, and mends what it broke.

A fault that does not fit the moment (its broker is dead already, the only other copy is not in
sync) does nothing; that depends on the run alone, so that it repeats.
Must never know: who writes and reads meanwhile, what is judged.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Final

import trio

from simulation.faults.clients import ClientFaults
from simulation.faults.damage import Damage
from simulation.faults.deposals import Deposals
from simulation.faults.disks import DiskFaults
from simulation.faults.joins import Joins
from simulation.faults.links import LinkFaults
from simulation.faults.machines import MachineFaults
from simulation.faults.operators import OperatorActs
from simulation.faults.sessions import SessionFaults
from simulation.faults.stage import Stage, is_in_sync
from simulation.faults.swaps import SwapFaults

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from broker.partition import Partition
    from simulation.faults.stage import Act
    from simulation.kinds import Fault

AT_LEAST_S: Final = 3.0
"""How long a run goes on, however few its faults are."""


class Breakage:
    """The faults of one run; `injected` counts those that did something."""

    def __init__(self, stage: Stage) -> None:
        self.injected: Counter[str] = Counter()
        self._stage = stage
        machines = MachineFaults(stage)
        sessions = SessionFaults(stage)
        joins = Joins(stage)
        self._acts: Mapping[str, Act] = {
            **machines.acts,
            **DiskFaults(stage).acts,
            **joins.acts,
            **Damage(stage, joins).acts,
            **LinkFaults(stage, machines.kill).acts,
            **sessions.acts,
            **Deposals(stage, sessions.acts["deregister"]).acts,
            **OperatorActs(stage, machines.acts["stop"]).acts,
            **ClientFaults(stage).acts,
            **SwapFaults(stage).acts,
        }

    async def run(self) -> None:
        """Break what the plan names, each in its time; return when all has passed."""
        start = trio.current_time()
        async with trio.open_nursery() as nursery:
            for fault in self._stage.plan.faults:
                nursery.start_soon(self._meet, fault, start + fault.at_s)
            await trio.sleep(AT_LEAST_S)

    async def _meet(self, fault: Fault, at: float) -> None:
        await trio.sleep_until(at)
        self._stage.under_way += 1
        if await self._acts[fault.kind](fault):
            self.injected[fault.kind] += 1
        self._stage.under_way -= 1

    def heal(self) -> None:
        """Mend whatever may be broken, and start what does not run."""
        self._stage.cluster.network.rejoin()
        self._stage.cluster.network.restore_links()
        for process in self._stage.clients.values():
            process.go_on()
        for machine in self._stage.machines():
            machine.resume()
            self._stage.cluster.reconnect_to_store(machine.broker_id)
            machine.disk.capacity_bytes = None
            machine.disk.sync_latency_s = self._stage.sync_s
            machine.disk.fail_next_sync(0)
            machine.disk.fail_next_directory_sync(0)
            machine.disk.fail_next_read(0)
            self._stage.start_soon(machine)

    async def repair(self) -> None:
        """Do what an operator does: mend all, restart what has a replica that it cannot open.

        What is about to end by itself, for its disk has failed, is started when it has ended.
        """
        for machine in self._stage.machines():
            if machine.is_running and machine.broker and any(machine.broker.partitions.offline()):
                await machine.kill()
        self.heal()
        ending = [
            machine
            for machine in self._stage.machines()
            if machine.is_running and machine.broker and machine.broker.is_stopping
        ]
        # Of each that process: others may start it again while the first ones are waited for.
        for ended in [machine.ended for machine in ending]:
            await ended.wait()
        for machine in ending:
            self._stage.start_soon(machine)


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
