"""A broker that ends while a compacted segment takes the place of others.

Must never know: which records a pass keeps, networks, clients.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final

import trio

from broker.log.compaction.swap import SWAP_FILE
from simulation.faults.stage import seen

if TYPE_CHECKING:
    from simulation.cluster import SimulatedBroker
    from simulation.faults.stage import Act, Stage
    from simulation.kinds import Fault

ALONE_WITHIN_S: Final = 8.0
ALONE_SEEN_WITHIN_S: Final = 0.1
"""How long the sessions of dead brokers last, so that they have left every ISR."""

STOPPED_WITHIN_S: Final = 6.0
BEGINS_WITHIN_S: Final = 3.0
LOOKS_PER_SYNC: Final = 10
SYNCS: Final = 3
"""How many times a swap waits for its disk, more or less."""


class SwapFaults:
    """Faults that meet a broker just while it compacts."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage

    @property
    def acts(self) -> dict[str, Act]:
        """Name what can be carried out."""
        return {
            "cut-swap": self._cut_swap,
            "cut-swap-alone": partial(self._cut_swap, alone=True),
            "stop-swap": partial(self._cut_swap, power=False),
        }

    async def _cut_swap(self, fault: Fault, *, alone: bool = False, power: bool = True) -> bool:
        """Wait for a swap, and have power fail before it is over; a sync takes `amount` seconds.

        Who is `alone` is the only one that is left, from before until it is back. Without `power`
        to fail the broker is told to stop, with most of the pass still to be done.
        """
        machine = self._stage.machine(fault)
        if machine is None:
            return False
        self._stage.begin(fault)
        others = [each for each in self._stage.machines() if each is not machine]
        if alone:
            await self._stage.kill(others)
            await seen(
                lambda: _is_alone(machine), within_s=ALONE_WITHIN_S, every_s=ALONE_SEEN_WITHIN_S
            )
        machine.disk.sync_latency_s = lambda: fault.amount
        swaps = await seen(
            lambda: _is_swapping(machine),
            within_s=BEGINS_WITHIN_S,
            every_s=fault.amount / LOOKS_PER_SYNC,
        )
        if swaps:
            await trio.sleep(self._stage.rng.random() * SYNCS * fault.amount)
            await self._end(machine, power=power)
        machine.disk.sync_latency_s = self._stage.sync_s
        await self._stage.start_before(others, machine, fault)
        return swaps

    async def _end(self, machine: SimulatedBroker, *, power: bool) -> None:
        if not machine.is_running:
            return
        if power:
            await machine.kill(power=True)
            return
        with trio.move_on_after(STOPPED_WITHIN_S):
            await machine.stop()


def _is_alone(machine: SimulatedBroker) -> bool:
    """Say whether all that a broker has is led by itself, with nobody in sync."""
    return machine.is_running and all(
        partition.isr == (machine.broker_id,) for partition in machine.replicas()
    )


def _is_swapping(machine: SimulatedBroker) -> bool:
    return any(
        machine.disk.exists(f"{partition.log.directory}/{SWAP_FILE}")
        for partition in machine.replicas()
    )
