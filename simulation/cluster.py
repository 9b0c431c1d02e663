"""A whole cluster in one trio run: real brokers over a network, disks and a store in memory.

A broker's process is a cancel scope: `kill` ends it in the middle of whatever it does, cuts its
host off and abandons its session, as SIGKILL would; `start` runs it again over the same disk.
`pause` and `resume` are SIGSTOP and SIGCONT; what a host's wall clock shows can be changed.
Must never know: what tests do with it.
"""

from __future__ import annotations

import random  # noqa: TID251 - seeded here, for everything that is handed a generator
from collections import Counter
from contextlib import asynccontextmanager
from types import MappingProxyType
from typing import TYPE_CHECKING

import trio

from broker.broker import Broker
from broker.config import BrokerConfig
from broker.log.metadata import METADATA_FILE
from broker.log.recovery import EPOCHS_FILE
from client.environment import Environment
from coordinator.memory import MemoryCluster
from protocol.errors import CoordinationError, StorageError
from simulation.disk import Held, MemoryDisk
from simulation.network import MemoryNetwork
from simulation.process import Process, process_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Mapping
    from contextlib import AbstractAsyncContextManager

    from broker.partition import Partition
    from coordinator.store import Store

PORT = 9092
EPOCH_MS = 1_700_000_000_000
"""What the wall clock shows when the virtual clock shows 0."""


class _Started:
    """Takes note of a process that says it has started, for whoever else is to hear it."""

    def __init__(self, task_status: trio.TaskStatus[Mapping[str, int]]) -> None:
        self.value: Mapping[str, int] = {}
        self._task_status = task_status

    def started(self, value: Mapping[str, int] = MappingProxyType({})) -> None:
        """Tell that it has started."""
        self.value = value
        self._task_status.started(value)


def _cannot_lead(error: BaseException) -> bool:
    """Say whether all that went wrong is that there was no room for what a new leader notes."""
    if isinstance(error, BaseExceptionGroup):
        return all(_cannot_lead(one) for one in error.exceptions)
    return EPOCHS_FILE in str(error) or METADATA_FILE in str(error)


class SimulatedBroker:
    """One broker's machine: its disk stays when its process ends."""

    def __init__(self, cluster: SimulatedCluster, broker_id: int) -> None:
        self.broker_id = broker_id
        self.host = f"broker-{broker_id}"
        self.broker: Broker | None = None
        self._cluster = cluster
        self.disk = MemoryDisk(cluster.environment(self.host).random)
        self._process = Process()
        self._process_scope = trio.CancelScope()
        self._ended = trio.Event()
        self._ended.set()
        self._store: Store | None = None
        self._loses_power = self._is_to_stop = False
        self._held: Held | None = None
        """What was on the disk when its process was killed, until that has ended."""
        self.failure: BaseException | None = None
        """Of its disk, that ended its process."""

    @property
    def is_running(self) -> bool:
        """Whether its process runs or is paused."""
        return not self._ended.is_set()

    def replicas(self) -> Iterator[Partition]:
        """Give what its broker has replicas of, while its process runs."""
        if self.is_running and self.broker is not None:
            yield from self.broker.partitions

    async def start(self, *, wait_registered: bool = True) -> None:
        """Run the process; returns once the broker is registered, if that is asked for."""
        assert not self.is_running, f"{self.host} runs already"
        self._ended = trio.Event()
        self._process = self._cluster.new_process(self)
        self._process_scope = trio.CancelScope()
        self.failure = None
        self._loses_power = self._is_to_stop = False
        self._store = None  # that of the process before must run out, whoever is resumed
        self.broker = Broker(
            BrokerConfig.parse(self._properties()),
            environment=self._cluster.environment(self.host),
            disk=self.disk,
            connect_store=self._connect_store,
        )
        with self._process.started_here():
            if wait_registered:
                await self._cluster.nursery.start(self._run, self.broker)
            else:
                self._cluster.nursery.start_soon(self._run, self.broker)

    async def _run(
        self,
        broker: Broker,
        *,
        task_status: trio.TaskStatus[Mapping[str, int]] = trio.TASK_STATUS_IGNORED,
    ) -> None:
        started = _Started(task_status)
        try:
            with self._process_scope:
                await broker.run(task_status=started)
            self._demand_all_online(broker)
        except* StorageError as group:
            # A full one keeps a broker from starting, leading and stopping in order, no more.
            runs = started.value and not self._is_to_stop and not _cannot_lead(group)
            if not (self.disk.was_faulty or (self.disk.was_full and not runs)):
                raise  # nothing was wrong with it: that is a bug
            self.failure = group
        finally:
            if self._held is not None:  # who is killed tidies nothing up while it ends
                self.disk.leave(self._held)
                self._held = None
            # What was wrong excuses processes until one has come through it, and none after that.
            self.disk.was_full = False
            if started.value and not any(broker.partitions.offline()):
                self.disk.was_faulty = False
            if self._loses_power:
                self.disk.crash()  # at once: whoever waits for the end may start it again
            self._ended.set()

    def _demand_all_online(self, broker: Broker) -> None:
        offline = [f"{topic}-{index}" for (topic, index), _ in broker.partitions.offline()]
        excused = self.disk.was_faulty or self.disk.was_full or self.disk.is_rotten
        if offline and not excused:
            raise AssertionError(f"{self.host} cannot open {offline}, and its disk is sound")

    async def stop(self) -> None:
        """End the process cleanly, with leadership handed over; waits for `resume` if paused."""
        self.begin_stop()
        await self.wait_ended()

    def begin_stop(self) -> None:
        """Tell the process to end cleanly."""
        assert self.broker is not None, f"{self.host} was never started"
        self._is_to_stop = True
        self.broker.stop()

    @property
    def ended(self) -> trio.Event:
        """Is set once the process that was started last has ended."""
        return self._ended

    async def wait_ended(self) -> None:
        """Wait until the process that was started last has ended."""
        await self._ended.wait()

    async def kill(self, *, power: bool = False) -> None:
        """End the process as SIGKILL does: nobody is told, the session runs out by itself.

        With `power` its machine fails as well, and loses what its disk had not synced.
        """
        if power and not self.is_running:
            self.lose_power()
        if self.is_running and self._held is None:
            self._held = self.disk.hold()
        self._loses_power |= power
        self._cluster.abandon_session(self._store)
        self._cluster.network.kill(self.host)
        self._process_scope.cancel()
        self._process.go_on()
        await self._ended.wait()

    def pause(self) -> None:
        """Stop the process as SIGSTOP does: none of its tasks takes a step until `resume`.

        Its host goes on: connects to it succeed, it receives until streams are full, and what it
        sent still arrives. Its session gets no heartbeats and runs out after its timeout.
        What cannot be had: watches of its session still note in its memory that something changed,
        and a sync of its disk that is under way ends with `resume`, not in the meantime.
        """
        assert self.is_running, f"{self.host} does not run"
        if not self._process.is_stopped:
            self._process.stop()
            self._cluster.abandon_session(self._store)

    def resume(self) -> None:
        """Let a paused process go on, as SIGCONT does: all timeouts that passed come at once."""
        if self._process.is_stopped:
            self._process.go_on()
            self._cluster.resume_session(self.broker_id)

    def lose_power(self) -> None:
        """Let the machine of an ended process lose what its disk had not synced."""
        assert not self.is_running, f"{self.host} runs"
        self.disk.crash()

    def lose_disk(self) -> None:
        """Give the machine of an ended process an empty disk."""
        assert not self.is_running, f"{self.host} runs"
        self.disk = MemoryDisk(
            self._cluster.environment(self.host).random, sync_latency_s=self.disk.sync_latency_s
        )

    @property
    def store(self) -> Store | None:
        """The session with the coordinator that its process opened last."""
        return self._store

    def _properties(self) -> dict[str, str]:
        return {
            "node.id": str(self.broker_id),
            "listeners": f"{self.host}:{PORT}",
            "log.dirs": "data",
            **self._cluster.properties,
        }

    @asynccontextmanager
    async def _connect_store(self) -> AsyncIterator[Store]:
        if self._cluster.is_cut_off(self.broker_id):
            await trio.lowlevel.checkpoint()
            raise CoordinationError("the coordinator cannot be reached")
        async with self._cluster.connect_store() as store:
            self._store = store
            yield store


class SimulatedCluster:
    """Brokers, a network, a store: everything that a cluster needs, in memory."""

    def __init__(
        self, nursery: trio.Nursery, *, seed: int = 0, properties: Mapping[str, str] | None = None
    ) -> None:
        self.nursery = nursery
        self.network = MemoryNetwork()
        self.properties = dict(properties or {})
        self.brokers: dict[int, SimulatedBroker] = {}
        self._store = MemoryCluster()
        self._seed = seed
        self._cut_off: set[int] = set()
        self._machines: dict[Process, SimulatedBroker] = {}
        self._generators: Counter[str] = Counter()
        self._clock_jumps_ms: Counter[str] = Counter()

    @property
    def memory(self) -> MemoryCluster:
        """The coordinator: its tree and its sessions."""
        return self._store

    @property
    def bootstrap(self) -> str:
        """The addresses of all brokers, as a client is given them."""
        return ",".join(f"{broker.host}:{PORT}" for broker in self.brokers.values())

    def environment(self, host: str) -> Environment:
        """Give what a client or a broker on `host` needs of the outside world.

        A host that is started again draws other numbers: ids made of them stay unique.
        """
        drawn = self._generators[host]
        self._generators[host] += 1
        return Environment(
            network=self.network.host(host),
            wall_ms=lambda: self._wall_ms(host),
            random=random.Random(f"{self._seed} {host} {drawn}"),  # noqa: S311 - to be repeatable
        )

    def new_process(self, machine: SimulatedBroker) -> Process:
        """Give a machine its next process; tasks of the one before are nobody's."""
        self._machines = {p: other for p, other in self._machines.items() if other is not machine}
        self._machines[process := Process()] = machine
        return process

    def machine_of(self, task: trio.lowlevel.Task) -> SimulatedBroker | None:
        """Give the machine whose process a task belongs to; None for one of nobody's."""
        process = process_of(task)
        return None if process is None else self._machines.get(process)

    def jump_clock(self, host: str, seconds: float) -> None:
        """Set the wall clock of a host forwards, or backwards; it is seen at once."""
        self._clock_jumps_ms[host] += int(seconds * 1000)

    def _wall_ms(self, host: str) -> int:
        return EPOCH_MS + int(trio.current_time() * 1000) + self._clock_jumps_ms[host]

    def connect_store(self) -> AbstractAsyncContextManager[Store]:
        """Open a session with the coordinator."""
        return self._store.connect()

    def abandon_session(self, store: Store | None) -> None:
        """Cut a session off as the end of its process would."""
        if store is not None and store.session_id in self._store.session_ids:
            self._store.disconnect(store.session_id)

    def resume_session(self, broker_id: int) -> None:
        """Connect a broker's session again where it lives and the coordinator can be reached."""
        store = self.brokers[broker_id].store
        if store is None or self.is_cut_off(broker_id):
            return
        if store.session_id in self._store.session_ids:
            self._store.reconnect(store.session_id)

    def cut_from_store(self, broker_id: int) -> None:
        """Cut a running broker off from the coordinator; also the sessions that it opens anew."""
        self._cut_off.add(broker_id)
        self.abandon_session(self.brokers[broker_id].store)

    def reconnect_to_store(self, broker_id: int) -> None:
        """Let a broker reach the coordinator again."""
        self._cut_off.discard(broker_id)

    def is_cut_off(self, broker_id: int) -> bool:
        """Say whether a broker cannot reach the coordinator."""
        return broker_id in self._cut_off

    async def start(self, broker_count: int) -> None:
        """Start brokers 1 to `broker_count`, side by side."""
        async with trio.open_nursery() as starting:
            for broker_id in range(1, broker_count + 1):
                self.brokers[broker_id] = SimulatedBroker(self, broker_id)
                starting.start_soon(self.brokers[broker_id].start)


@asynccontextmanager
async def simulated_cluster(
    broker_count: int, *, seed: int = 0, properties: Mapping[str, str] | None = None
) -> AsyncIterator[SimulatedCluster]:
    """Run a cluster for the time of a `with`; it is cut off at the end, not stopped."""
    async with trio.open_nursery() as nursery:
        cluster = SimulatedCluster(nursery, seed=seed, properties=properties)
        await cluster.start(broker_count)
        try:
            yield cluster
        finally:
            for broker in cluster.brokers.values():
                broker.resume()  # or it could not be cancelled
        nursery.cancel_scope.cancel()
