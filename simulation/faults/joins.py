"""A follower that joins an ISR, and what may go wrong while its leader has not heard of it yet.

Must never know: damage, clients.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import trio

from simulation.faults.stage import seen

if TYPE_CHECKING:
    from broker.partition import Partition
    from simulation.cluster import SimulatedBroker
    from simulation.faults.stage import Act, Stage
    from simulation.kinds import Fault

OUT_OF_SYNC_WITHIN_S: Final = 8.0
OUT_OF_SYNC_SEEN_WITHIN_S: Final = 0.1
"""How long a dead broker stays away, so that it has left every ISR."""

JOINS_WITHIN_S: Final = 3.0
SEEN_WITHIN_S: Final = 0.002
ACCEPTED_WITHIN_S: Final = 1.5
GOES_ON_S: Final = 0.1
"""How long records are acknowledged by a leader that does not know of its new ISR."""


class Joins:
    """Faults of who is about to join an ISR."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage

    @property
    def acts(self) -> dict[str, Act]:
        """Name what can be carried out."""
        return {"join-alone": self._join_alone}

    async def have_it_join(self, fault: Fault) -> list[Partition]:
        """Kill and start a broker, and wait until a leader proposes it for an ISR.

        What is sent takes its time from then on: the proposal is on its way for a while.
        Returns: what it is proposed for, as the leaders know it.
        """
        machine = self._stage.cluster.brokers[fault.broker]
        if machine.is_running:
            await machine.kill()
        await seen(
            lambda: all(fault.broker not in p.isr for p in self._stage.led()),
            within_s=OUT_OF_SYNC_WITHIN_S,
            every_s=OUT_OF_SYNC_SEEN_WITHIN_S,
        )
        self._stage.slow_links(*self._stage.cluster.brokers)
        self._stage.start_soon(machine)
        await seen(
            lambda: self._joined(fault.broker), within_s=JOINS_WITHIN_S, every_s=SEEN_WITHIN_S
        )
        return self._joined(fault.broker)

    def _joined(self, broker_id: int) -> list[Partition]:
        return [
            partition
            for partition in self._stage.led()
            if broker_id in (partition.pending_isr or ()) and broker_id not in partition.isr
        ]

    async def _join_alone(self, fault: Fault) -> bool:
        """Let a broker join, hear no more of its leaders, and be the only one that is left.

        The leaders do not hear that it has joined: what they count on meanwhile, it must have.
        """
        self._stage.begin(fault)
        joined = await self.have_it_join(fault)
        machine = self._stage.cluster.brokers[fault.broker]
        leaders = {partition.leader_id for partition in joined}
        self._stage.isolate(fault.broker)
        for leader_id in leaders:
            self._stage.cluster.cut_from_store(leader_id)
        await seen(
            lambda: not joined or is_member(machine, joined),
            within_s=ACCEPTED_WITHIN_S,
            every_s=SEEN_WITHIN_S,
        )
        await trio.sleep(GOES_ON_S)
        others = [other for other in self._stage.machines() if other is not machine]
        await self._stage.kill(others)
        for leader_id in leaders:
            self._stage.cluster.reconnect_to_store(leader_id)
        self._stage.reunite(fault.broker)
        self._stage.cluster.network.restore_links()
        await trio.sleep(fault.lasts_s)
        for other in others:
            self._stage.start_soon(other)
        return bool(joined)


def is_member(machine: SimulatedBroker, joined: list[Partition]) -> bool:
    """Say whether a broker has been told that it is in an ISR that it was proposed for."""
    places = {(partition.topic_id, partition.index) for partition in joined}
    return any(
        (partition.topic_id, partition.index) in places and machine.broker_id in partition.isr
        for partition in machine.replicas()
    )
