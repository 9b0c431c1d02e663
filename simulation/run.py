"""One simulated run, from its plan to the verdict.

Clients work while things break; then all is mended, the cluster has to come back to full strength
within a bound of virtual time, everything is read, and the checker judges.
Must never know: where plans come from, who is shown the verdict.
"""

from __future__ import annotations

import gc
import hashlib
import random  # noqa: TID251 - seeded here, with the seed that was handed in
from collections import Counter
from functools import partial
from itertools import product
from typing import TYPE_CHECKING, Final

import trio
from msgspec import Struct, field

from broker.housekeeper import CHECKPOINT_INTERVAL_S
from chaos.anomaly import Anomaly
from chaos.asking import ask_ends, ask_offsets, ask_times, note_offsets
from chaos.checker import Promises, check
from chaos.history import Partition, Replica
from chaos.liveness import wait_committed, wait_consumed, wait_read
from chaos.load import Load
from chaos.trimming import Trimming
from chaos.tuning import Tuning
from chaos.workload import Workload
from client import Admin, NewTopic
from simulation.breakage import Breakage, in_sync_everywhere
from simulation.cluster import simulated_cluster
from simulation.faults.stage import Stage
from simulation.invariants import Invariants, records_of, replicas
from simulation.passing import PASSING, Passing
from simulation.plan import FAULTS_S, TOPIC
from simulation.process import Process
from simulation.scheduling import deterministic_scheduling, virtual_clock
from simulation.themes import ACKS_ALL
from simulation.trace import Trace

if TYPE_CHECKING:
    from collections.abc import Mapping

    from broker.partition import Partition as BrokerPartition
    from simulation.cluster import SimulatedCluster
    from simulation.plan import Plan

HEALING_BOUND_S: Final = 120.0
RUN_BOUND_S: Final = 600.0
CALM_S: Final = 1.0
BURST_RECORDS_MAX: Final = 8
"""What goes wrong goes wrong with batches; more records in them only take longer."""
DELIVERY_TIMEOUT_S: Final = 120.0
"""How long producers send again. A follower fetches a segment at a time, as with Kafka: of 512 B
each and 0.1 s away, what is produced while there is no leader has taken more than 60 s."""
LOOK_EVERY_S: Final = 0.5
GROUPS_BOUND_S: Final = 120.0
SETTLING_BOUND_S: Final = 120.0
PATIENCE_S: Final = 10.0
PASSES: Final = 5
"""How many passes of the cleaner there is time for at least, before it is done."""


class Verdict(Struct):
    """What a run has shown."""

    plan: Plan
    anomalies: list[Anomaly] = field(default_factory=list)
    injected: Counter[str] = field(default_factory=Counter)
    operations: int = 0
    acknowledged: int = 0
    steps: int = 0
    virtual_s: float = 0.0
    trace: Trace = field(default_factory=Trace)


def collect_seldom() -> None:
    """Have this process look for cycles rarely: runs make few. It saves a tenth of their time."""
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)


def simulate(plan: Plan) -> Verdict:
    """Run a plan. Returns: the verdict, the same every time; whatever was raised is an anomaly."""
    verdict = Verdict(plan)
    clock = virtual_clock(tick_s=plan.tick_s)
    with deterministic_scheduling(plan.seed), verdict.trace.of_the_log():
        try:
            trio.run(_run, verdict, clock=clock)
        except Exception as error:  # noqa: BLE001 - a bug in whatever ran is what is looked for
            for cause in _causes(error):
                verdict.trace.tell(f"raised {cause!r}")
                verdict.anomalies.append(Anomaly("crash", "a task", repr(cause)))
    told_of_damage = [] if verdict.injected["rot"] else verdict.trace.damage
    if bugs := [*verdict.trace.bugs, *told_of_damage]:
        verdict.anomalies.append(Anomaly("crash", f"a broker, {len(bugs)} times", bugs[0]))
    return verdict


async def _run(verdict: Verdict) -> None:
    plan = verdict.plan
    with trio.move_on_after(RUN_BOUND_S) as bound:
        async with simulated_cluster(
            plan.brokers, seed=plan.seed, properties=plan.properties
        ) as cluster:
            _slow_down(cluster, plan)
            await _live(cluster, verdict)
    verdict.virtual_s = trio.current_time()
    if bound.cancelled_caught:
        facts = f"the run did not end within {RUN_BOUND_S:g} s"
        verdict.anomalies.append(Anomaly("no-progress", "the cluster", facts))


def _slow_down(cluster: SimulatedCluster, plan: Plan) -> None:
    """Have the network and the coordinator take their time."""
    rng = random.Random(f"{plan.seed} latency")  # noqa: S311 - to be repeatable
    if plan.latency_s:
        cluster.network.set_latency(lambda: rng.random() * plan.latency_s)

    async def travel() -> None:
        await trio.sleep(rng.random() * plan.store_latency_s)

    if plan.store_latency_s:
        cluster.memory.latency = travel


async def _live(cluster: SimulatedCluster, verdict: Verdict) -> None:
    plan = verdict.plan
    load = Load(
        TOPIC,
        plan.partitions,
        plan.seed,
        acks="all" if plan.acks == ACKS_ALL else 1,
        burst_max=BURST_RECORDS_MAX,
        delivery_timeout_s=DELIVERY_TIMEOUT_S,
        groups=tuple(f"readers-{number}" for number in range(plan.groups)),
        lonely_groups=tuple(f"lonely-{number}" for number in range(plan.lonely)),
        keys=plan.keys,
        varied=plan.varied,
        sealed=plan.sealed,
    )
    work = Workload(cluster.bootstrap, load, environment=cluster.environment)
    invariants = Invariants(
        cluster,
        work,
        told=verdict.trace.tell,
        lag_time_max_s=int(plan.properties["replica.lag.time.max.ms"]) / 1000,
        compacted=[TOPIC] if plan.keys else (),
    )
    trio.lowlevel.add_instrument(invariants)
    clients = {f"producer-{number}": Process() for number in range(plan.producers)}
    clients |= {f"member-{number}": Process() for number in range(plan.members)}
    stage = Stage(cluster, plan, clients=clients, crash=work.crash, told=verdict.trace.tell)
    breakage = Breakage(stage)
    try:
        breakage.heal()
        async with Admin(cluster.bootstrap, environment=cluster.environment("admin")) as admin:
            topic = NewTopic(
                TOPIC,
                partitions=plan.partitions,
                replication_factor=plan.replicas,
                configs=dict(plan.settings),
            )
            await admin.create_topic(topic)
        await _work(cluster, work, breakage, clients, verdict)
    finally:
        trio.lowlevel.remove_instrument(invariants)
        verdict.injected = breakage.injected
        verdict.steps = invariants.steps
        verdict.acknowledged = sum(work.acknowledged.values()) + len(work.acknowledged)
        if invariants.broken is not None:
            name, _, facts = str(invariants.broken).partition(": ")
            verdict.anomalies.append(Anomaly(name, "the cluster", facts))
    history = work.history
    verdict.operations = len(history)
    fingerprint = hashlib.sha256(repr(history).encode()).hexdigest()
    verdict.trace.tell(f"{len(history)} operations of clients, {fingerprint}")
    is_safe = plan.acks == ACKS_ALL
    promises = Promises(idempotent=is_safe, delivered=is_safe, compacted=bool(plan.keys))
    verdict.anomalies += check(history, promises)


async def _work(
    cluster: SimulatedCluster,
    work: Workload,
    breakage: Breakage,
    clients: Mapping[str, Process],
    verdict: Verdict,
) -> None:
    plan, done = verdict.plan, trio.Event()
    async with trio.open_nursery() as readers:
        for number in range(plan.readers):
            readers.start_soon(work.read, f"reader-{number}")
        for number in range(plan.members):
            name = f"member-{number}"
            with clients[name].started_here():
                readers.start_soon(work.share, name, work.groups[number % plan.groups])
        for group, place in product(work.lonely_groups, work.partitions):
            name = f"committer-{place.partition}-of-{group}"
            readers.start_soon(work.commit_alone, name, group, place)
        readers.start_soon(ask_offsets, work, "asker")
        readers.start_soon(ask_ends, work, "asker-of-ends")
        if plan.looks_back:
            readers.start_soon(partial(ask_times, work, "asker-of-times", back_s=FAULTS_S))
        passing = Passing(cluster, work, meets_registrations=plan.meets_registrations)
        if plan.passing:
            readers.start_soon(passing.run)
        if plan.trims:
            readers.start_soon(Trimming(work, seed=plan.seed).run, "trimmer")
        if plan.tunes:
            readers.start_soon(Tuning(work, seed=plan.seed).run, "tuner")
        try:
            async with trio.open_nursery() as producers:
                for number in range(plan.producers):
                    name = f"producer-{number}"
                    with clients[name].started_here():
                        producers.start_soon(partial(work.write, name, until=done))
                await breakage.run()
                verdict.trace.tell("all is mended")
                await breakage.repair()
                await trio.sleep(CALM_S)
                done.set()
        finally:
            for process in clients.values():
                process.go_on()  # or it could not be cancelled
        await _converge(cluster, breakage, verdict)
        if plan.keys:
            await _settle(cluster, verdict)
        ends = {n: _end(cluster, n) for n in range(plan.partitions)}
        await work.read_to("last", ends)
        await _live_on(cluster, work, ends, verdict)
        readers.cancel_scope.cancel()
    async with Admin(cluster.bootstrap, environment=cluster.environment("last")) as admin:
        await note_offsets(work, "last", admin)
    _note_replicas(cluster, work)
    if plan.passing and not await passing.end():
        verdict.anomalies.append(Anomaly("no-progress", PASSING, "a deleted topic did not go"))


async def _converge(cluster: SimulatedCluster, breakage: Breakage, verdict: Verdict) -> None:
    """Wait until every replica is in sync, at one end, and knows that all is committed."""
    with trio.move_on_after(HEALING_BOUND_S):
        while not all(
            in_sync_everywhere(p for _, p in _replicas(cluster) if p.index == number)
            for number in range(verdict.plan.partitions)
        ):
            await trio.sleep(LOOK_EVERY_S)
            await breakage.repair()
        return
    for broker_id, p in _replicas(cluster):
        facts = (
            f"not healed in {HEALING_BOUND_S:g} s: broker {broker_id}, {p.name}, {p.state},"
            f" end {p.log.log_end_offset}, high watermark {p.high_watermark.value},"
            f" durable {p.durable.value}, offline {p.offline}"
        )
        verdict.anomalies.append(Anomaly("no-progress", p.name, facts))


async def _live_on(
    cluster: SimulatedCluster, work: Workload, ends: Mapping[int, int], verdict: Verdict
) -> None:
    """Wait until all have come through: who is refused for ever tells nothing wrong."""
    plan = verdict.plan
    groups = {work.groups[number % plan.groups] for number in range(plan.members)}
    readers = [f"reader-{number}" for number in range(plan.readers)]
    async with Admin(cluster.bootstrap, environment=cluster.environment("looker")) as admin:
        with trio.move_on_after(GROUPS_BOUND_S) as bound:
            await wait_committed(work)
            await wait_consumed(work, groups, ends, admin)
        if bound.cancelled_caught:
            facts = f"groups have not committed what is there in {GROUPS_BOUND_S:g} s, ends {ends}"
            verdict.anomalies.append(Anomaly("no-progress", "a group", facts))
        with trio.move_on_after(GROUPS_BOUND_S) as bound:
            await wait_read(work, readers, ends)
    if bound.cancelled_caught:
        facts = f"not read to {ends} in {GROUPS_BOUND_S:g} s, but to {work.read_up_to()}"
        verdict.anomalies.append(Anomaly("no-progress", "a reader", facts))


async def _settle(cluster: SimulatedCluster, verdict: Verdict) -> None:
    """Wait until no replica has been compacted for longer than tombstones are kept.

    Where few keys fit into memory that takes many passes. Each has to come further, or to make a
    log smaller, within the bound.
    """
    plan, before, come_to = verdict.plan, None, (0, 0)
    lags_ms = int(plan.settings["delete.retention.ms"]), int(plan.settings["min.compaction.lag.ms"])
    passes_ms = PASSES * int(plan.properties["log.cleaner.backoff.ms"])
    patience_s = min((sum(lags_ms) + passes_ms) / 1000, PATIENCE_S)
    await trio.sleep(CHECKPOINT_INTERVAL_S)  # by then every broker has begun to look
    with trio.move_on_after(SETTLING_BOUND_S) as bound:
        while before != (now := [p.log.segments for _, p in _replicas(cluster)]):
            before = now
            if (now_at := _compacted_to(cluster)) > come_to:
                come_to, bound.deadline = now_at, trio.current_time() + SETTLING_BOUND_S
            await trio.sleep(patience_s)
        return
    facts = f"logs were compacted for {SETTLING_BOUND_S:g} s, and nothing came of it"
    verdict.anomalies.append(Anomaly("no-progress", TOPIC, facts))


def _compacted_to(cluster: SimulatedCluster) -> tuple[int, int]:
    logs = [partition.log for _, partition in _replicas(cluster)]
    return sum(log.first_dirty_offset for log in logs), -sum(log.size_bytes for log in logs)


def _end(cluster: SimulatedCluster, number: int) -> int:
    found = (p.log.log_end_offset for _, p in _replicas(cluster) if p.index == number)
    return max(found, default=0)


def _replicas(cluster: SimulatedCluster) -> list[tuple[int, BrokerPartition]]:
    return [(broker_id, p) for broker_id, p in replicas(cluster) if p.topic == TOPIC]


def _note_replicas(cluster: SimulatedCluster, work: Workload) -> None:
    for broker_id, partition in _replicas(cluster):
        place = Partition(partition.topic, partition.index)
        start, mark = partition.log.log_start_offset, partition.high_watermark.value
        work.note(Replica(place, broker_id, start, mark, tuple(records_of(partition).items())))


def _causes(error: BaseException) -> list[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        return [cause for one in error.exceptions for cause in _causes(one)]
    return [error]
