"""A run on a real cluster: clients work while things break, then all is mended, read and judged.

Must never know: who is shown what happens, command lines.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from math import inf
from typing import TYPE_CHECKING, Final

import trio
from msgspec import Struct

from chaos.anomaly import Anomaly
from chaos.asking import ask_ends, ask_offsets, ask_times, note_offsets
from chaos.breakage import Breakage
from chaos.checker import Promises, check
from chaos.deletion import HEARD_WITHIN_S
from chaos.history import Partition
from chaos.leadership import Leadership
from chaos.liveness import wait_consumed, wait_read, wait_written
from chaos.replicas import read_replicas
from chaos.running import ClusterTrouble
from chaos.schedule import draw_schedule
from chaos.trimming import Trimming
from chaos.tuning import Tuning
from chaos.workload import Workload
from client import Admin, Environment, NewTopic
from client.admin import AdminConfig
from protocol.errors import ErrorCode, OttlaError, RequestError

if TYPE_CHECKING:
    from chaos.history import Operation, Replica
    from chaos.order import Order
    from chaos.running import RunningCluster

CALM_S: Final = 2.0
IN_SYNC_WITHIN_S: Final = 60.0
READ_WITHIN_S: Final = 300.0
WRITTEN_WITHIN_S: Final = 60.0
REPLICAS_MAX: Final = 3
LOOK_EVERY_S: Final = 0.1


class TopicExists(Exception):
    """The topic of this seed is there already, from an earlier run."""

    def __init__(self, topic: str) -> None:
        super().__init__(f"there is a topic {topic} already")
        self.topic = topic


class Gap(Struct):
    """How long nothing was acknowledged, at most, and until when; in seconds of the run."""

    lasts_s: float = 0.0
    ended_s: float = 0.0


@dataclass(slots=True)
class ChaosRun:
    """One run, and all that can be seen of it meanwhile.

    `told` is given a line for whatever happens. Without a `cluster` nothing is broken: there is
    only somebody else's cluster to write to and to read from.
    """

    order: Order
    bootstrap: str
    cluster: RunningCluster | None
    told: Callable[[str], None]
    phase: str = "starting"
    anomalies: list[Anomaly] = field(default_factory=list)
    longest: Gap = field(default_factory=Gap)
    operations: int = 0
    lasted_s: float = 0.0
    """How long clients worked until all was read, once that is known."""
    wall_at_0_s: float = field(init=False)
    """Seconds since 1970 at time 0 of the history, to find what brokers logged meanwhile."""
    work: Workload = field(init=False)
    breakage: Breakage | None = field(init=False)
    _stop: trio.Event = field(default_factory=trio.Event)
    _began_at: float = field(init=False)
    _is_drained: bool = field(default=False, init=False)

    def __post_init__(self) -> None:
        load = self.order.load()
        self.work = Workload(self.bootstrap, load, environment=lambda _: Environment.real())
        self.breakage = None if self.cluster is None else Breakage(self.cluster, self.told)
        self._began_at = trio.current_time()
        self.wall_at_0_s = Environment.real().wall_ms() / 1000 - self._began_at

    @property
    def elapsed_s(self) -> float:
        """How long the clients have worked."""
        return trio.current_time() - self._began_at

    @property
    def is_ending(self) -> bool:
        """Whether it was told to end early."""
        return self._stop.is_set()

    def end_early(self) -> None:
        """Break nothing more; mend, read and judge what has been."""
        self._stop.set()

    async def run(self) -> None:
        """Run to the verdict, which is `anomalies`. Raises: OttlaError, TopicExists."""
        await self._make_topic()
        self._began_at = trio.current_time()
        ends = await self._live()
        self.lasted_s = self.elapsed_s
        starts: dict[int, int] = {}
        if self.cluster is not None:
            starts = await self._ask_starts()
            self.phase = "stopping the cluster"
            try:
                await trio.to_thread.run_sync(self.cluster.close)
            except ClusterTrouble as error:
                self._find("trouble", "the cluster", str(error))
            for bug in self.cluster.bugs_met():
                self._find("crash", "a process", bug)
            for trouble in self.cluster.troubles:
                self._find("trouble", "a process", trouble)
        self.phase = "judging"
        history = self.work.history
        self.operations = len(history)
        judge = partial(self._judge, history, starts, ends, drained=self._is_drained)
        self.anomalies += await trio.to_thread.run_sync(judge)
        if self.cluster is None and not self.anomalies:
            await self._tidy_up()
        self.phase = "over"

    # Working.

    def _admin(self, *, timeout_s: float = 30.0) -> Admin:
        return Admin(self.bootstrap, AdminConfig(timeout_s=timeout_s))

    async def _make_topic(self) -> None:
        async with self._admin() as admin:
            brokers = len((await admin.describe_cluster()).brokers)
            topic = NewTopic(
                self.order.topic,
                partitions=self.order.partitions,
                replication_factor=min(REPLICAS_MAX, brokers),
                configs={
                    "min.insync.replicas": "2" if brokers > 1 else "1",
                    "message.timestamp.type": "CreateTime",  # else seals would break
                    "cleanup.policy": "delete",
                },
            )
            try:
                await admin.create_topic(topic)
            except RequestError as error:
                if error.code is ErrorCode.TOPIC_ALREADY_EXISTS:
                    raise TopicExists(self.order.topic) from error
                raise

    async def _live(self) -> dict[int, int]:
        """Have clients work and things break; then mend and read. Returns: the partitions' ends."""
        work, order, done = self.work, self.order, trio.Event()
        async with trio.open_nursery() as readers:
            for number in range(order.readers):
                readers.start_soon(work.read, f"reader-{number}")
            for number in range(order.members):
                readers.start_soon(work.share, f"member-{number}", order.topic)
            readers.start_soon(ask_offsets, work, "asker")
            readers.start_soon(ask_ends, work, "asker-of-ends")
            if self.cluster is not None:  # others' brokers may give an older record of that batch
                times = partial(ask_times, work, "asker-of-times", back_s=order.duration_s)
                readers.start_soon(times)
            readers.start_soon(Leadership(work).watch, "asker-of-leaders")
            if order.trims:
                readers.start_soon(Trimming(work, seed=order.seed).run, "trimmer")
            if order.tunes and self.cluster is not None:
                readers.start_soon(Tuning(work, seed=order.seed).run, "tuner")
            async with trio.open_nursery() as producers:
                for number in range(order.producers):
                    producers.start_soon(partial(work.write, f"producer-{number}", until=done))
                readers.start_soon(self._measure_gaps, done)
                await self._break()
                await self._heal()
                await self._wait_written()
                await trio.sleep(CALM_S)
                done.set()
            ends = await self._read_all()
            readers.cancel_scope.cancel()
        return ends

    async def _measure_gaps(self, done: trio.Event) -> None:
        count, since_s = 0, self.elapsed_s
        while not done.is_set():
            await trio.sleep(LOOK_EVERY_S)
            gap = Gap(self.elapsed_s - since_s, self.elapsed_s)
            if gap.lasts_s > self.longest.lasts_s:
                self.longest = gap
            if self.work.counts.acknowledged > count:
                count, since_s = self.work.counts.acknowledged, self.elapsed_s

    async def _break(self) -> None:
        self.phase = "breaking" if self.breakage is not None else "writing and reading"
        with trio.move_on_after(self.order.duration_s):
            async with trio.open_nursery() as nursery:
                if self.breakage is not None and self.cluster is not None:
                    schedule = draw_schedule(
                        self.order.seed,
                        duration_s=self.order.duration_s,
                        brokers=len(self.cluster.brokers),
                        kinds=self.order.kinds,
                    )
                    nursery.start_soon(self.breakage.run, schedule)
                await self._stop.wait()
                nursery.cancel_scope.cancel()

    async def _heal(self) -> None:
        if self.cluster is None or self.breakage is None:
            return
        self.phase = "mending"
        try:
            await trio.to_thread.run_sync(self.cluster.heal)
        except ClusterTrouble as error:
            self._find("no-progress", "the cluster", str(error))
        self.breakage.note_healed()
        self.told("all is mended")
        for trouble in self.breakage.troubles:
            self._find("trouble", "a process", trouble)

    async def _wait_written(self) -> None:
        """Demand that something is acknowledged in every partition now."""
        with trio.move_on_after(WRITTEN_WITHIN_S) as bound:
            await wait_written(self.work)
        if bound.cancelled_caught:
            facts = f"not every partition took a record in {WRITTEN_WITHIN_S:g} s"
            self._find("no-progress", self.order.topic, facts)

    async def _read_all(self) -> dict[int, int]:
        """Wait until all is in sync, and read everything to its end. Returns: the ends."""
        self.phase = "reading everything"
        ends: dict[int, int] = {}
        try:
            with trio.fail_after(IN_SYNC_WITHIN_S):
                await self._wait_in_sync()
            async with self._admin() as admin:
                ends = await admin.end_offsets(self.order.topic)
                with trio.fail_after(READ_WITHIN_S):
                    await self.work.read_to("last", ends)
                    self._is_drained = True
                    self.phase = "waiting for the readers"
                    readers = [f"reader-{number}" for number in range(self.order.readers)]
                    await wait_read(self.work, readers, ends)
                    if self.order.members:
                        self.phase = "waiting for the group"
                        await wait_consumed(self.work, [self.order.topic], ends, admin)
                await note_offsets(self.work, "last", admin)
        except* trio.TooSlowError:
            self._find("no-progress", self.order.topic, f"not {self.phase} in time, ends {ends}")
        except* OttlaError as group:
            self._find("no-progress", self.order.topic, f"{self.phase}: {group.exceptions[0]!r}")
        return ends

    async def _ask_starts(self) -> dict[int, int]:
        """Ask where the partitions begin, now that nobody has records deleted any more."""
        try:
            async with self._admin() as admin:
                return await admin.beginning_offsets(self.order.topic)
        except* OttlaError as group:
            self._find("no-progress", self.order.topic, f"{self.phase}: {group.exceptions[0]!r}")
        return {}

    async def _wait_in_sync(self) -> None:
        self.phase = "waiting for replicas"
        topic = self.order.topic
        async with self._admin() as admin:
            while True:
                with suppress(RequestError):  # a leader may be missing for a moment yet
                    info = (await admin.describe_topics([topic]))[topic]
                    if all(set(p.isr) == set(p.replicas) for p in info.partitions.values()):
                        break
                await trio.sleep(LOOK_EVERY_S)
        self.phase = "reading everything"

    async def _tidy_up(self) -> None:
        """Leave nothing behind in somebody else's cluster, if it lets us."""
        try:
            async with self._admin() as admin:
                await admin.delete_groups([self.order.topic])
                await admin.delete_topic(self.order.topic)
        except* OttlaError as group:
            self.told(f"topic and group {self.order.topic} stay: {group.exceptions[0]}")

    # Judging.

    def _find(self, name: str, place: str, facts: str) -> None:
        self.anomalies.append(Anomaly(name, place, facts))

    def _judge(
        self,
        history: list[Operation],
        starts: dict[int, int],
        ends: dict[int, int],
        *,
        drained: bool,
    ) -> list[Anomaly]:
        """Judge each partition by itself, its replicas included, which saves memory.

        What nobody has come to read, not `drained`, is not lost yet; that is told already. Where
        somebody else breaks the cluster nobody knows for how long producers have to try, nor how
        long a leader that was replaced may go on unheard.
        """
        ours = self.cluster is not None
        heard_within_s = HEARD_WITHIN_S if ours else inf
        promises = Promises(drained=drained, delivered=ours, heard_within_s=heard_within_s)
        partitions: dict[Partition, list[Operation]] = defaultdict(list)
        for operation in history:
            partitions[operation.partition].append(operation)
        found = []
        for place, operations in sorted(partitions.items()):
            replicas: list[Replica] = []
            if self.cluster is not None and place.number in starts:
                # A deletion that nobody was told the end of may be carried out yet.
                start = max(starts[place.number], self.work.trimmed.get(place.number, 0))
                end = ends.get(place.number, 0)
                count = min(REPLICAS_MAX, len(self.cluster.brokers))
                directory = self.cluster.directory
                replicas, wrong = read_replicas(directory, place, start=start, end=end, count=count)
                found += wrong
            found += check([*operations, *replicas], promises)
        return found
