"""Carries out the faults of a schedule on a cluster of real processes, each for its time.

A fault that does not fit the moment (its broker is down already) does nothing. What two faults cut
is whole again only when both have passed.
Must never know: who writes and reads meanwhile, what is judged.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from functools import partial
from typing import TYPE_CHECKING, Final

import trio
from msgspec import Struct, field

from chaos.running import ClusterTrouble
from chaos.schedule import COORDINATOR

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from chaos.running import RunningCluster
    from chaos.schedule import Fault

PROCESS_KINDS: Final = {
    "kill": "kill",
    "kill-all": "kill",
    "coordinator-kill": "kill",
    "stop": "stop",
    "pause": "pause",
    "coordinator-pause": "pause",
}


class Met(Struct):
    """A fault that did something: when it began and ended, in seconds of the run."""

    fault: Fault
    began_s: float
    ended_s: float | None = None


class Breakage(Struct):
    """The faults of one run. `met` are those that did something, `now` those that are going on."""

    cluster: RunningCluster
    told: Callable[[str], None]
    met: list[Met] = field(default_factory=list)
    troubles: list[str] = field(default_factory=list)
    """What must not happen: a process that does not stop or start."""
    _down: set[str] = field(default_factory=set)
    _paused: set[str] = field(default_factory=set)
    _cuts: Counter[tuple[str, str]] = field(default_factory=Counter)
    _refused: Counter[tuple[str, str]] = field(default_factory=Counter)
    _of_node: dict[str, trio.Lock] = field(default_factory=lambda: defaultdict(trio.Lock))
    _starting_or_ending: trio.Lock = field(default_factory=trio.Lock)
    """One process at a time, as the command line demands; pauses need not wait for that."""

    _began_at: float = 0.0

    @property
    def now(self) -> list[Fault]:
        """What is broken at the moment."""
        return [met.fault for met in self.met if met.ended_s is None]

    @property
    def injected(self) -> Counter[str]:
        """How often each kind of fault did something."""
        return Counter(met.fault.kind for met in self.met)

    async def run(self, faults: Iterable[Fault]) -> None:
        """Break what the schedule names, each in its time; return when all has passed."""
        self._began_at = trio.current_time()
        async with trio.open_nursery() as nursery:
            for fault in faults:
                await trio.sleep_until(self._began_at + fault.at_s)
                nursery.start_soon(self._meet, fault)

    def _elapsed_s(self) -> float:
        return round(trio.current_time() - self._began_at, 3)

    async def _meet(self, fault: Fault) -> None:
        nodes, began_s = self._nodes(fault), self._elapsed_s()
        try:
            begun = await self._begin(fault, nodes)
        except ClusterTrouble as error:
            self._complain(fault, error)
            return
        if not begun:
            return
        met = Met(fault, began_s)
        self.met.append(met)
        self.told(f"{fault}")
        await trio.sleep(fault.lasts_s)
        try:
            await self._end(fault, nodes)
        except ClusterTrouble as error:
            self._complain(fault, error)  # it goes on until all is mended
            return
        met.ended_s = self._elapsed_s()
        self.told(f"{fault} is over")

    def _complain(self, fault: Fault, error: ClusterTrouble) -> None:
        """Tell of a fault that could not be: only settings may fail, where nobody can take them."""
        if fault.planted:
            reason = str(error).rpartition("ottla: error: ")[2]
            self.told(f"{fault}: settings cannot be changed now ({reason})")
        else:
            self.troubles.append(f"{fault}: {error}")
            self.told(f"{fault} FAILED: {error}")

    def _nodes(self, fault: Fault) -> list[str]:
        if fault.kind == "kill-all":
            return [name for name in self.cluster.nodes if name != COORDINATOR]
        return [fault.node]

    async def _begin(self, fault: Fault, nodes: list[str]) -> bool:
        """Break something. Returns: whether there was anything to break. Raises: ClusterTrouble."""
        if fault.kind in PROCESS_KINDS:
            return await self._begin_process(PROCESS_KINDS[fault.kind], nodes)
        if fault.planted:
            if fault.node in self._down | self._paused:
                return False
            await self._plant(fault.planted, fault.node)
            return True
        self._cut(fault)
        return True

    async def _begin_process(self, act: str, nodes: list[str]) -> bool:
        begun = False
        for node in nodes:
            async with self._of_node[node]:
                if node in self._down or (act != "kill" and node in self._paused):
                    continue
                begun = True
                if act == "pause":
                    self._paused.add(node)
                    await trio.to_thread.run_sync(self.cluster.pause, node)
                    continue
                self._down.add(node)
                self._paused.discard(node)
                async with self._starting_or_ending:
                    await trio.to_thread.run_sync(getattr(self.cluster, act), node)
        return begun

    async def _end(self, fault: Fault, nodes: list[str]) -> None:
        if fault.kind in PROCESS_KINDS:
            for node in nodes:
                await self._end_process(PROCESS_KINDS[fault.kind], node)
        elif fault.planted:
            await self._plant("", fault.node)
        else:
            self._mend(fault)

    async def _plant(self, faults: str, node: str) -> None:
        plant = partial(self.cluster.plant, faults, broker=int(node), wait=False)
        await trio.to_thread.run_sync(plant)

    async def _end_process(self, act: str, node: str) -> None:
        async with self._of_node[node]:
            if act == "pause" and node in self._paused:
                self._paused.discard(node)
                await trio.to_thread.run_sync(self.cluster.resume, node)
            elif act != "pause" and node in self._down:
                async with self._starting_or_ending:
                    await trio.to_thread.run_sync(self.cluster.start_again, node)
                self._down.discard(node)

    # Links. Cutting them takes no time worth a thread.

    def _directions(self, fault: Fault) -> list[tuple[str, str]]:
        """Give who is not heard by whom: (source, target)."""
        one, others = fault.node, [n for n in self.cluster.nodes if n != fault.node]
        match fault.kind:
            case "partition":
                others = [fault.other]
            case "cut-store":
                others = [COORDINATOR]
            case "one-way":
                return [(one, other) for other in ([fault.other] if fault.other else others)]
        return [pair for other in others for pair in ((one, other), (other, one))]

    def _cut(self, fault: Fault) -> None:
        if fault.kind == "reject":
            self._refused[fault.node, fault.other] += 1
            self.cluster.refuse(fault.node, fault.other)
            return
        for source, target in self._directions(fault):
            self._cuts[source, target] += 1
            self.cluster.block(source, target)

    def _mend(self, fault: Fault) -> None:
        if fault.kind == "reject":
            one, other = fault.node, fault.other
            self._refused[one, other] -= 1
            if not self._refused[one, other] and not self._refused[other, one]:
                self.cluster.allow(one, other)
            return
        for source, target in self._directions(fault):
            self._cuts[source, target] -= 1
            if not self._cuts[source, target]:
                self.cluster.unblock(source, target)

    def note_healed(self) -> None:
        """Take note that all is mended that was still broken."""
        for met in self.met:
            if met.ended_s is None:
                met.ended_s = self._elapsed_s()
