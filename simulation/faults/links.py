"""The network: connections that break, hosts that hear nothing, links that are slow.

Must never know: disks, the coordinator.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Protocol

import trio

if TYPE_CHECKING:
    from collections.abc import Callable

    from simulation.faults.stage import Act, Stage
    from simulation.kinds import Fault


class Kill(Protocol):
    """Ends the process that a fault meets."""

    async def __call__(self, fault: Fault, *, power: bool) -> bool:
        """End it, by a power failure perhaps."""


class LinkFaults:
    """Faults of the network between brokers."""

    def __init__(self, stage: Stage, kill: Kill) -> None:
        self._stage = stage
        self._kill = kill

    @property
    def acts(self) -> dict[str, Act]:
        """Name what can be carried out."""
        return {
            "separate": self._separate,
            "mute": self._mute,
            "block": self._block,
            "vanish": self._vanish,
            "slow-link": self._slow_link,
            "narrow-link": self._narrow_link,
            "reset": self._reset,
            "isolate": self._isolate,
            "isolate-kill": partial(self._isolate_and_kill, power=False),
            "isolate-power": partial(self._isolate_and_kill, power=True),
        }

    async def _separate(self, fault: Fault) -> bool:
        one, other = (self._stage.cluster.brokers[b].host for b in (fault.broker, fault.other))
        self._stage.begin(fault)
        self._stage.cluster.network.separate(one, other)
        await trio.sleep(fault.lasts_s)
        self._stage.told("links are mended")
        self._stage.cluster.network.reunite(one, other)
        return True

    async def _mute(self, fault: Fault) -> bool:
        """Let nobody hear of a broker, nor it of anybody; no connection breaks."""
        host = self._stage.cluster.brokers[fault.broker].host
        self._stage.begin(fault)
        self._stage.cluster.network.isolate(host)
        await trio.sleep(fault.lasts_s)
        self._stage.cluster.network.rejoin_host(host)
        return True

    async def _vanish(self, fault: Fault) -> bool:
        """Let not even the coordinator hear of a broker; clients do not reach it either."""
        self._stage.cluster.cut_from_store(fault.broker)
        await self._mute(fault)
        self._stage.cluster.reconnect_to_store(fault.broker)
        return True

    async def _block(self, fault: Fault) -> bool:
        """Let what one broker sends to another not arrive; what comes back does."""
        one, other = (self._stage.cluster.brokers[b].host for b in (fault.broker, fault.other))
        self._stage.begin(fault)
        self._stage.cluster.network.block(one, other)
        await trio.sleep(fault.lasts_s)
        self._stage.cluster.network.unblock(one, other)
        return True

    async def _slow_link(self, fault: Fault) -> bool:
        return await self._shape(fault, self._stage.slow_links)

    async def _narrow_link(self, fault: Fault) -> bool:
        return await self._shape(fault, partial(self._stage.narrow_links, bytes_per_s=fault.amount))

    async def _shape(self, fault: Fault, links: Callable[[int, int], None]) -> bool:
        """Have the links between two brokers be otherwise for a while."""
        self._stage.begin(fault)
        links(fault.broker, fault.other)
        await trio.sleep(fault.lasts_s)
        self._stage.cluster.network.restore_links()
        return True

    async def _reset(self, fault: Fault) -> bool:
        """Break all connections of a broker: what was answered may be unknown to who asked."""
        self._stage.begin(fault)
        self._stage.cluster.network.reset(self._stage.cluster.brokers[fault.broker].host)
        return True

    async def _isolate(self, fault: Fault) -> bool:
        """Separate a broker from all others, not from clients and coordinator."""
        self._stage.begin(fault)
        self._stage.isolate(fault.broker)
        await trio.sleep(fault.lasts_s)
        self._stage.reunite(fault.broker)
        return True

    async def _isolate_and_kill(self, fault: Fault, *, power: bool) -> bool:
        """Let a broker fall behind, or stand alone, before it ends."""
        await self._isolate(fault)
        return await self._kill(fault._replace(lasts_s=fault.lasts_s / 2), power=power)
