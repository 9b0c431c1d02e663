"""The coordinator: sessions cut off, silent, expired, registrations removed.

Must never know: disks.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Final

import trio

from coordinator.store import NoNode

if TYPE_CHECKING:
    from simulation.faults.stage import Act, Stage
    from simulation.kinds import Fault


TAKEN_OVER_S: Final = 1.0
AWAY_S: Final = 1.0
"""How long who took over is dead when it dies once more."""

HEARD_STILL_S: Final = 0.2
"""How long a broker whose writes are stuck takes more of them, before nobody hears it."""


class SessionFaults:
    """Faults between brokers and the coordinator."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage

    @property
    def acts(self) -> dict[str, Act]:
        """Name what can be carried out."""
        return {
            "cut-store": self._cut_store,
            "pause-session": self._pause_session,
            "expire-session": self._expire_session,
            "deregister": self._deregister,
            "usurp": self._usurp,
        }

    def _session(self, fault: Fault) -> int | None:
        machine = self._stage.machine(fault)
        return self._stage.session_of(machine) if machine is not None else None

    async def _cut_store(self, fault: Fault) -> bool:
        machine = self._stage.machine(fault)
        if machine is None or machine.store is None:
            return False
        self._stage.begin(fault)
        self._stage.cluster.cut_from_store(fault.broker)
        await trio.sleep(fault.lasts_s)
        self._stage.cluster.reconnect_to_store(fault.broker)
        return True

    async def _pause_session(self, fault: Fault) -> bool:
        """Have a session be silent for a while; its writes come through when it is back."""
        if (session_id := self._session(fault)) is None:
            return False
        self._stage.begin(fault)
        self._stage.cluster.memory.disconnect(session_id)
        await trio.sleep(fault.lasts_s)
        self._reconnect(fault, session_id)
        return True

    def _reconnect(self, fault: Fault, session_id: int) -> None:
        """Let a session be heard again, if the process that had it lives."""
        if self._session(fault) == session_id:
            self._stage.cluster.memory.reconnect(session_id)

    async def _expire_session(self, fault: Fault) -> bool:
        if self._session(fault) is None:
            return False
        self._stage.begin(fault)
        self._stage.expire_session(self._stage.cluster.brokers[fault.broker])
        return True

    async def _deregister(self, fault: Fault) -> bool:
        """Take a broker for dead that is not, while it does not hear of it."""
        if (session_id := self._session(fault)) is None:
            return False
        self._stage.begin(fault)
        self._stage.cluster.memory.disconnect(session_id)
        async with self._stage.cluster.connect_store() as hand:
            tree = self._stage.cluster.memory.tree
            # It may have expired while the hand came.
            for path in tree.ephemerals(session_id) if session_id in tree.sessions else ():
                with suppress(NoNode):
                    await hand.delete(path)
        await trio.sleep(fault.lasts_s)
        self._reconnect(fault, session_id)
        return True

    async def _usurp(self, fault: Fault) -> bool:
        """Have a broker that was away take over from another, whose writes come through later.

        The groups of both are meant: who was away owns them by right, and who is not heard had them
        meanwhile. With an `amount` who was away dies once more before the other one is heard again:
        that owns them by right then, and must notice that somebody else has had them.
        """
        machine, back = (self._stage.cluster.brokers[b] for b in (fault.broker, fault.other))
        if not (machine.is_running and back.is_running):
            return False
        self._stage.begin(fault)
        self._stage.expire_session(back)
        await back.kill()
        await trio.sleep(TAKEN_OVER_S)
        session_id, network = self._session(fault), self._stage.cluster.network
        if session_id is not None:
            self._stage.cluster.memory.disconnect(session_id)
            await trio.sleep(HEARD_STILL_S)
            network.unplug(machine.host)
        self._stage.start_soon(back)
        await trio.sleep(fault.lasts_s)
        if fault.amount:
            self._stage.expire_session(back)
            await self._stage.kill([back])
        if session_id is not None:
            network.plug_in(machine.host)
            self._reconnect(fault, session_id)
        if fault.amount:
            await self._stage.start_after(back, fault._replace(lasts_s=AWAY_S))
        return True
