"""An operator who has leaders elected and replicas moved, whatever else goes on.

Must never know: what is broken.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Final

import trio

from client.connection import open_connection
from protocol.api.alter_partition_reassignments import (
    AlterPartitionReassignmentsRequest,
    ReassignablePartition,
    ReassignableTopic,
)
from protocol.api.elect_leaders import ElectLeadersRequest
from protocol.errors import OttlaError
from simulation.cluster import PORT
from simulation.plan import TOPIC

if TYPE_CHECKING:
    from simulation.faults.stage import Act, Stage
    from simulation.kinds import Fault


ADMIN_PATIENCE_S: Final = 1.0
CATCHING_UP_S: Final = 0.3
"""How long a sync takes of those that a leader waits for before it stops."""

CAUGHT_UP_WITHIN_S: Final = 3.0


class OperatorActs:
    """What operators do at bad moments."""

    def __init__(self, stage: Stage, stop: Act) -> None:
        self._stage = stage
        self._stop = stop

    @property
    def acts(self) -> dict[str, Act]:
        """Name what can be carried out."""
        return {
            "elect": self._elect,
            "reassign": self._reassign,
            "stop-moved": self._stop_moved,
        }

    async def _elect(self, fault: Fault) -> bool:
        self._stage.begin(fault)
        await self._ask(fault, ElectLeadersRequest(topic_partitions=None), version=2)
        return True

    async def _reassign(self, fault: Fault) -> bool:
        bits = int(fault.amount)
        wanted = [broker for broker in self._stage.cluster.brokers if bits >> broker & 1]
        number = fault.other % self._stage.plan.partitions
        self._stage.begin(fault)
        asked = ReassignablePartition(partition_index=number, replicas=wanted)
        topic = ReassignableTopic(name=TOPIC, partitions=[asked])
        await self._ask(fault, AlterPartitionReassignmentsRequest(topics=[topic]), version=0)
        return True

    async def _stop_moved(self, fault: Fault) -> bool:
        """Stop a leader, and take replicas from what it leads while the others catch up with it.

        A new leader epoch begins by that, and it leads still: it has as much to wait for as before.
        """
        machine = self._stage.machine(fault)
        led = [p for p in machine.replicas() if p.is_leader and p.topic == TOPIC] if machine else []
        if not led:
            return False
        others = [m for m in self._stage.machines() if m is not machine]
        for each in others:
            each.disk.sync_latency_s = lambda: CATCHING_UP_S
        await trio.sleep(CATCHING_UP_S)
        async with trio.open_nursery() as nursery:
            for partition in led:
                stay = [b for b in partition.isr if b != fault.broker][:1]
                if stay:
                    bits = 1 << fault.broker | 1 << stay[0]
                    moved = fault._replace(broker=stay[0], other=partition.index, amount=bits)
                    nursery.start_soon(self._reassign, moved)
            done = await self._stop(fault)
            await trio.sleep(CAUGHT_UP_WITHIN_S)
        for each in others:
            each.disk.sync_latency_s = self._stage.sync_s
        return done

    async def _ask(self, fault: Fault, request: object, *, version: int) -> None:
        """Ask the broker, or the first one, and wait for a moment only."""
        host = self._stage.cluster.brokers[fault.broker or 1].host
        network = self._stage.cluster.environment("operator").network
        with trio.move_on_after(ADMIN_PATIENCE_S), suppress(OttlaError, OSError):
            async with open_connection(
                network, host, PORT, client_id="operator", negotiate=False
            ) as connection:
                await connection.call(request, version=version, timeout_s=ADMIN_PATIENCE_S)
