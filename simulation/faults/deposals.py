"""A leader that is replaced while it goes on alone, and loses power when it is back in sync.

Its disk is slow, and the others' are slower than usual: what it alone has is cut from its log while
that is synced yet, and what it follows then is acknowledged before it has synced it, if it ever
says too soon that it has.
Must never know: damage, clients.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import trio

from simulation.faults.stage import seen

if TYPE_CHECKING:
    from simulation.cluster import SimulatedBroker
    from simulation.faults.stage import Act, Stage
    from simulation.kinds import Fault

BACK_WITHIN_S: Final = 4.0
BACK_SEEN_WITHIN_S: Final = 0.002
ALONE: Final = 0.1
OTHERS_SYNC: Final = 0.15
UNTIL_ACKNOWLEDGED: Final = 1.3
"""Parts of the time that a sync takes."""


class Deposals:
    """Faults of leaders; `deregister` takes a broker for dead."""

    def __init__(self, stage: Stage, deregister: Act) -> None:
        self._stage = stage
        self._deregister = deregister

    @property
    def acts(self) -> dict[str, Act]:
        """Name what can be carried out."""
        return {"depose": self._depose}

    async def _depose(self, fault: Fault) -> bool:
        """Replace a leader, and leave it the only one when it has lost power.

        A sync of it takes `amount` seconds; the fault strikes when the one that was under way has
        ended, and the next one has not.
        """
        machine = self._leader(fault)
        if machine is None:
            return False
        fault = fault._replace(broker=machine.broker_id)
        others = [other for other in self._stage.machines() if other is not machine]
        self._stage.begin(fault)
        self._stage.isolate(machine.broker_id)
        began_at = trio.current_time()
        machine.disk.sync_latency_s = lambda: fault.amount
        for each in others:
            each.disk.sync_latency_s = lambda: fault.amount * OTHERS_SYNC
        await trio.sleep(fault.amount * ALONE)
        await self._deregister(fault._replace(lasts_s=fault.amount * ALONE))
        self._stage.reunite(machine.broker_id)
        await seen(
            lambda: self._is_in_sync(machine), within_s=BACK_WITHIN_S, every_s=BACK_SEEN_WITHIN_S
        )
        await trio.sleep_until(began_at + fault.amount * UNTIL_ACKNOWLEDGED)
        for each in (machine, *others):
            if each.is_running:
                await each.kill(power=each is machine)
            each.disk.sync_latency_s = self._stage.sync_s
        await self._stage.start_before(others, machine, fault)
        return True

    def _leader(self, fault: Fault) -> SimulatedBroker | None:
        """Give the machine that a fault meets, or the next one that leads anything."""
        machines = self._stage.machines()
        for machine in (*machines[fault.broker - 1 :], *machines[: fault.broker - 1]):
            if machine.is_running and machine.broker and any(machine.broker.partitions.led()):
                return machine
        return None

    def _is_in_sync(self, machine: SimulatedBroker) -> bool:
        """Say whether one of the others has it in an ISR."""
        return any(
            machine.broker_id in partition.isr and partition.leader_id != machine.broker_id
            for partition in self._stage.led()
        )
