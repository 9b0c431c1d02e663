"""Producers write while brokers die, lose power, lose a disk and lose each other, by a seed.

With `moving` there is a broker more, and replicas are reassigned meanwhile. Then all is healed, and
what was acknowledged must be there: once, at its offset, in its order, on every replica.
"""

from __future__ import annotations

import random
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial

import trio
from trio.testing import MockClock

from broker.partition import Partition
from client import Admin, NewTopic, Producer, ProducerConfig, ResourceType
from client.connection import open_connection
from client.errors import DeliveryFailed
from protocol.api.alter_partition_reassignments import (
    AlterPartitionReassignmentsRequest,
    ReassignablePartition,
    ReassignableTopic,
)
from protocol.api.elect_leaders import ElectLeadersRequest
from protocol.batch import split_batches
from protocol.errors import OttlaError
from protocol.records import decode_batch
from simulation.breakage import in_sync_everywhere
from simulation.cluster import PORT, SimulatedBroker, SimulatedCluster, simulated_cluster
from simulation.faults.stage import is_in_sync
from simulation.scheduling import deterministic_scheduling
from tests.cluster.machine_faults import MachineFaults

TOPIC = "orders"
PARTITIONS = 2
PRODUCERS = 3
FAULTS_S = 6
HEALING_BOUND_S = 120
STORY_BOUND_S = 600


@dataclass
class Story:
    """What the producers were told: each value, where it is; and what they sent, in order."""

    acknowledged: dict[bytes, tuple[int, int]] = field(default_factory=dict)
    sent: dict[tuple[int, int], list[bytes]] = field(default_factory=dict)


async def write(
    cluster: SimulatedCluster, number: int, story: Story, *, until: trio.Event, rng: random.Random
) -> None:
    """Produce numbered values, some in flight at once, until told to stop."""
    config = ProducerConfig(linger_ms=rng.choice([0, 1, 5]), delivery_timeout_s=60)
    environment = cluster.environment(f"client-{number}")
    count = 0
    async with (
        Producer(cluster.bootstrap, config, environment=environment) as producer,
        trio.open_nursery() as nursery,
    ):
        while not until.is_set():
            for _ in range(rng.randint(1, 20)):
                index = rng.randrange(PARTITIONS)
                value = b"%d-%d" % (number, count)
                count += 1
                story.sent.setdefault((number, index), []).append(value)
                delivery = await producer.enqueue(TOPIC, value, partition=index)
                nursery.start_soon(note, delivery, value, index, story)
            await trio.sleep(rng.choice([0.0, 0.001, 0.01, 0.3]))


async def note(delivery, value: bytes, index: int, story: Story) -> None:
    with suppress(DeliveryFailed):
        metadata = await delivery.wait()
        story.acknowledged[value] = (index, metadata.offset)


class Faults(MachineFaults):
    """Breaks one thing after the other, and mends everything in the end."""

    def __init__(self, cluster: SimulatedCluster, rng: random.Random) -> None:
        super().__init__(cluster, rng)
        self.loses_disk = self._may_lose_disk = rng.random() < 0.5
        self._has_lost_disk = False

    async def run(self) -> None:
        rng = self._rng
        kinds = [
            self._kill, self._kill, self._stop, self._cut_off, self._separate, self._start,
            self._start, self._mend_links, self._slow_disk, self._fail_sync, self._fill_disk,
            self._power_failure_everywhere, self._change_minimum,
        ]  # fmt: skip
        for machine in self._machines():
            machine.disk.sync_latency_s = lambda: rng.choice([0.0, 0.0005, 0.003])
        end = trio.current_time() + FAULTS_S
        while trio.current_time() < end:
            await trio.sleep(rng.expovariate(2.0) if rng.random() < 0.8 else 0.001)
            await rng.choice(kinds)()
        await self.mend()

    async def _kill(self) -> None:
        machine = self._pick(running=True)
        if machine is None:
            return
        in_sync = self._all_in_sync()
        await machine.kill()
        if in_sync and self._may_lose_disk and self._rng.random() < 0.3:
            self._may_lose_disk, self._has_lost_disk = False, True
            machine.lose_disk()
        elif self._rng.random() < 0.5:
            machine.lose_power()
        if self._rng.random() < 0.5:
            self._start_soon(machine)

    async def _power_failure_everywhere(self) -> None:
        if self._rng.random() < 0.7:
            return
        for machine in self._machines():
            if machine.is_running:
                await machine.kill()
                machine.lose_power()
        self._rng.shuffle(machines := self._machines())
        for machine in machines:
            self._start_soon(machine)

    async def _separate(self) -> None:
        one, other = self._rng.sample(self._machines(), 2)
        self._cluster.network.separate(one.host, other.host)

    async def _slow_disk(self) -> None:
        rng, machine = self._rng, self._rng.choice(self._machines())
        slowest_s = rng.choice([0.0005, 0.05, 0.5])
        machine.disk.sync_latency_s = lambda: rng.random() * slowest_s

    async def _fail_sync(self) -> None:
        self._rng.choice(self._machines()).disk.fail_next_sync()

    async def _fill_disk(self) -> None:
        disk = self._rng.choice(self._machines()).disk
        disk.capacity_bytes = 1 << 40
        disk.capacity_bytes -= disk.free_bytes("") - self._rng.randint(0, 50_000)

    async def _change_minimum(self) -> None:
        """Have one replica suffice, or two: as long as no disk was lost that is enough."""
        if self._may_lose_disk or self._has_lost_disk:
            return
        minimum = self._rng.choice(["1", "2"])
        environment = self._cluster.environment("operator")
        with trio.move_on_after(1), suppress(OttlaError):
            async with Admin(self._cluster.bootstrap, environment=environment) as admin:
                changes = {"min.insync.replicas": minimum}
                await admin.alter_configs(ResourceType.TOPIC, TOPIC, changes)

    async def _mend_links(self) -> None:
        self._cluster.network.rejoin()
        for machine in self._machines():
            self._cluster.reconnect_to_store(machine.broker_id)
            machine.disk.capacity_bytes = None

    async def mend(self) -> None:
        await self._mend_links()
        for machine in self._machines():
            machine.disk.sync_latency_s = lambda: 0.001
            machine.disk.fail_next_sync(0)
            self._start_soon(machine)

    def _all_in_sync(self) -> bool:
        machines = self._machines()
        return all(m.is_running for m in machines) and all(
            is_in_sync(partition) for machine in machines for partition in machine.broker.partitions
        )


class Operator:
    """Has replicas and leaders moved, again and again, at whatever broker answers."""

    def __init__(self, cluster: SimulatedCluster, rng: random.Random, *, fewest: int) -> None:
        self._cluster = cluster
        self._rng = rng
        self._fewest = fewest

    async def run(self, *, until: trio.Event) -> None:
        rng = self._rng
        kinds = [self._reassign, self._reassign, self._reassign, self._cancel, self._elect]
        while not until.is_set():
            await trio.sleep(rng.choice([0.01, 0.1, 0.5, 1.0]))
            await rng.choice(kinds)()

    async def _reassign(self) -> None:
        brokers = [*self._cluster.brokers]
        await self._alter(self._rng.sample(brokers, self._rng.randint(self._fewest, 3)))

    async def _cancel(self) -> None:
        await self._alter(None)

    async def _alter(self, wanted: list[int] | None) -> None:
        index = self._rng.randrange(PARTITIONS)
        asked = ReassignablePartition(partition_index=index, replicas=wanted)
        topic = ReassignableTopic(name=TOPIC, partitions=[asked])
        await self._ask(AlterPartitionReassignmentsRequest(topics=[topic]), version=0)

    async def _elect(self) -> None:
        await self._ask(ElectLeadersRequest(topic_partitions=None), version=2)

    async def _ask(self, request: object, *, version: int) -> None:
        """Ask any broker, and wait for the answer for a moment only."""
        host = self._rng.choice([*self._cluster.brokers.values()]).host
        network = self._cluster.environment("operator").network
        with trio.move_on_after(0.5), suppress(OttlaError, OSError):
            async with open_connection(
                network, host, PORT, client_id="operator", negotiate=False
            ) as connection:
                await connection.call(request, version=version, timeout_s=1)


def replicas(cluster: SimulatedCluster, index: int) -> list[Partition]:
    return [
        partition
        for machine in cluster.brokers.values()
        if machine.is_running and machine.broker is not None
        for partition in machine.broker.partitions
        if (partition.topic, partition.index) == (TOPIC, index)
    ]


async def converge(cluster: SimulatedCluster) -> None:
    """Return once every replica is in sync, at one end, and knows that all is committed."""
    with trio.move_on_after(HEALING_BOUND_S):
        while not all(in_sync_everywhere(replicas(cluster, index)) for index in range(PARTITIONS)):
            for machine in cluster.brokers.values():
                await repair(machine)
            await trio.sleep(0.1)
        return
    facts = [
        (p, p.state, p.offline, p.log.log_end_offset, p.high_watermark.value, p.durable.value)
        for index in range(PARTITIONS)
        for p in replicas(cluster, index)
    ]
    raise AssertionError(f"not healed in {HEALING_BOUND_S} s: {facts}")


async def repair(machine: SimulatedBroker) -> None:
    """Do what an operator does: start what has ended, restart what has a replica offline."""
    if machine.is_running and machine.broker.partitions._offline:
        await machine.kill()
    if not machine.is_running:
        with suppress(RuntimeError):  # its disk failed once more, before it was registered
            await machine.start()


def bytes_of(partition: Partition) -> bytes:
    log, offset, chunks = partition.log, partition.log.log_start_offset, []
    while offset < log.log_end_offset:
        chunk = log.read(offset, bytes_max=1 << 30, end_offset=log.log_end_offset).read_bytes()
        chunks.append(chunk)
        offset = split_batches(chunk, check_crc=True)[-1][0].next_offset
    return b"".join(chunks)


def check(cluster: SimulatedCluster, story: Story) -> None:
    for index in range(PARTITIONS):
        logs = [bytes_of(partition) for partition in replicas(cluster, index)]
        assert len({*logs}) == 1, f"the replicas of {TOPIC}-{index} differ"
        found = {
            record.offset: record.value
            for _, batch in split_batches(logs[0], check_crc=True)
            for record in decode_batch(batch)
        }
        values = list(found.values())
        assert len(values) == len(set(values)), "a record was written twice"
        lost = {
            value: place
            for value, place in story.acknowledged.items()
            if place[0] == index and found.get(place[1]) != value
        }
        assert not lost, f"acknowledged, but not there: {lost}"
        for (number, sent_to), sent in story.sent.items():
            if sent_to == index:
                order = {value: i for i, value in enumerate(sent)}
                numbers = [order[value] for value in values if value in order]
                assert numbers == sorted(numbers), f"producer {number} was reordered"


async def run_story(seed: int, *, moving: bool) -> Story:
    rng = random.Random(seed)
    story, done = Story(), trio.Event()
    properties = {"log.segment.bytes": str(rng.choice([1 << 30, 4096]))}
    count = 4 if moving else 3
    async with simulated_cluster(count, seed=seed, properties=properties) as cluster:
        async with Admin(cluster.bootstrap, environment=cluster.environment("admin")) as admin:
            await admin.create_topic(NewTopic(TOPIC, partitions=PARTITIONS, replication_factor=3))
        async with trio.open_nursery() as nursery:
            for number in range(PRODUCERS):
                seeded = random.Random(f"{seed} {number}")
                nursery.start_soon(
                    lambda n=number, r=seeded: write(cluster, n, story, until=done, rng=r)
                )
            faults = Faults(cluster, rng)
            if moving:  # As long as no disk is lost, one replica is enough.
                seeded = random.Random(f"{seed} operator")
                operator = Operator(cluster, seeded, fewest=3 if faults.loses_disk else 1)
                nursery.start_soon(partial(operator.run, until=done))
            await faults.run()
            await trio.sleep(1)
            done.set()
        await converge(cluster)
        check(cluster, story)
    return story


def play(seed: int, *, moving: bool) -> Story:
    """Run a story from its seed: the same every time."""

    async def main() -> Story:
        with trio.fail_after(STORY_BOUND_S):
            return await run_story(seed, moving=moving)

    with deterministic_scheduling(seed):
        return trio.run(main, clock=MockClock(autojump_threshold=0))
