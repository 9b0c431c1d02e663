"""Faults of machines that are picked at random: what random stories of all kinds break alike.

Must never know: what runs on the machines, what is judged.
"""

from __future__ import annotations

import random
from contextlib import suppress

from simulation.cluster import SimulatedBroker, SimulatedCluster


class MachineFaults:
    """Stops, starts and cuts off machines, by a seed."""

    def __init__(self, cluster: SimulatedCluster, rng: random.Random) -> None:
        self._cluster = cluster
        self._rng = rng

    def _machines(self) -> list[SimulatedBroker]:
        return list(self._cluster.brokers.values())

    def _pick(self, *, running: bool) -> SimulatedBroker | None:
        found = [m for m in self._machines() if m.is_running is running]
        return self._rng.choice(found) if found else None

    async def _stop(self) -> None:
        machine = self._pick(running=True)
        if machine is not None and machine.broker is not None:
            machine.broker.stop()

    async def _start(self) -> None:
        if (machine := self._pick(running=False)) is not None:
            self._start_soon(machine)

    def _start_soon(self, machine: SimulatedBroker) -> None:
        self._cluster.nursery.start_soon(self._start_and_die, machine)

    async def _start_and_die(self, machine: SimulatedBroker) -> None:
        if not machine.is_running:
            with suppress(RuntimeError):  # killed before it was registered
                await machine.start()

    async def _cut_off(self) -> None:
        machine = self._pick(running=True)
        if machine is not None and machine.store is not None:
            self._cluster.cut_from_store(machine.broker_id)
