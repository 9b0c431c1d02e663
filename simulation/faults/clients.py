"""Clients: stood still, cut off, and what they come back to.

A member that was paused for longer than its session goes on in the belief that it is one.
Must never know: what clients do.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import trio

if TYPE_CHECKING:
    from simulation.faults.stage import Act, Stage
    from simulation.kinds import Fault
    from simulation.process import Process


class ClientFaults:
    """Faults of the processes of clients; `other` of a fault numbers them."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage

    @property
    def acts(self) -> dict[str, Act]:
        """Name what can be carried out."""
        return {
            "pause-client": self._pause,
            "isolate-client": self._isolate,
            "crash-client": self._crash,
        }

    def _client(self, fault: Fault) -> tuple[str, Process]:
        clients = sorted(self._stage.clients.items())
        return clients[fault.other % len(clients)]

    async def _pause(self, fault: Fault) -> bool:
        """SIGSTOP and SIGCONT: what was sent to it meanwhile is there when it goes on."""
        name, process = self._client(fault)
        if process.is_stopped:
            return False
        self._stage.begin(fault, whom=name)
        process.stop()
        try:
            await trio.sleep(fault.lasts_s)
        finally:
            process.go_on()  # also where the run ends: what stands still cannot be cancelled
        return True

    async def _isolate(self, fault: Fault) -> bool:
        """Let nothing that it sends arrive, nor anything that is sent to it."""
        name, _ = self._client(fault)
        self._stage.begin(fault, whom=name)
        self._stage.cluster.network.isolate(name)
        await trio.sleep(fault.lasts_s)
        self._stage.cluster.network.rejoin_host(name)
        return True

    async def _crash(self, fault: Fault) -> bool:
        """SIGKILL: it says goodbye to nobody, and whoever comes next knows nothing of it."""
        name, process = self._client(fault)
        if process.is_stopped:
            return False
        network = self._stage.cluster.network
        network.unplug(name)  # whatever it would say while it ends
        try:
            self._stage.begin(fault, whom=name)
            return await self._stage.crash(name)
        finally:
            network.plug_in(name)
