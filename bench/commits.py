"""Offset commits: how many in a second, and how long each takes, with few groups and with many.

    python -m bench.commits [--seconds 5] [--in-flight 200] [--kafka]

Three brokers on the embedded coordinator, then on a real ZooKeeper (which fsyncs here), and with
--kafka an Apache Kafka of three nodes (jars in tests/interop/java/target, see .ci/run): all on this
machine, one after the other, with the same load: OffsetCommit 8 of one partition, by nobody's
member, `in-flight` requests on their way all the time over four connections to each broker.
"""

from __future__ import annotations

import argparse
import tempfile
from contextlib import ExitStack
from pathlib import Path

import trio

from bench.raw_requests import (
    RawConnection,
    cpu_seconds,
    frame_of,
    keep_in_flight,
    percentile,
)
from client import Admin, NewTopic
from protocol.api.find_coordinator import FindCoordinatorRequest
from protocol.api.offset_commit import (
    OffsetCommitRequest,
    OffsetCommitRequestPartition,
    OffsetCommitRequestTopic,
    OffsetCommitResponse,
)
from protocol.framing import decode_response
from tests.support.local_cluster import LocalCluster
from tests.support.real_kafka import Jvm, RealKafka
from tests.support.zookeeper import RealZooKeeper

COMMIT_VERSION = 8
FIND_VERSION = 4
PARTITIONS = 12
CONNECTIONS_PER_BROKER = 4
WARM_UP_S = 2.0
TOPIC = "commits"


async def owners_of(bootstrap: str, groups: list[str]) -> dict[str, list[str]]:
    """Sort groups by the address of their broker."""
    connection = await RawConnection.open(bootstrap.split(",", maxsplit=1)[0])
    found: dict[str, list[str]] = {}
    async with connection.stream:
        wanted = groups
        while wanted:
            request = FindCoordinatorRequest(coordinator_keys=wanted)
            answer = await connection.ask(request, version=FIND_VERSION)
            wanted = [each.key for each in answer.coordinators if each.error_code]
            for each in answer.coordinators:
                if not each.error_code:
                    found.setdefault(f"{each.host}:{each.port}", []).append(each.key)
            await trio.sleep(0.2 if wanted else 0)
    return found


def commit_of(group: str, number: int) -> OffsetCommitRequest:
    partition = OffsetCommitRequestPartition(number % PARTITIONS, number, committed_metadata="")
    return OffsetCommitRequest(
        group_id=group, topics=[OffsetCommitRequestTopic(TOPIC, [partition])]
    )


async def commit_once_each(address: str, groups: list[str]) -> None:
    """Make every group, and see that commits are accepted."""
    connection = await RawConnection.open(address)
    async with connection.stream:
        for group in groups:
            while True:
                answer = await connection.ask(commit_of(group, 1), version=COMMIT_VERSION)
                if answer.topics[0].partitions[0].error_code == 0:
                    break
                await trio.sleep(0.05)


async def drive(
    address: str, groups: list[str], *, in_flight: int, seconds: float, latencies: list[float]
) -> None:
    frames = [
        frame_of(commit_of(group, number), version=COMMIT_VERSION)
        for number in range(max(1, PARTITIONS // len(groups) + 1))
        for group in groups
    ]
    connection = await RawConnection.open(address)
    async with connection.stream:
        until = trio.current_time() + seconds
        await keep_in_flight(
            connection, frames, in_flight=in_flight, until=until, latencies=latencies
        )
        await connection.stream.send_all(frames[0])
        (frame,) = await connection.receive()
        _, answer = decode_response(OffsetCommitResponse, COMMIT_VERSION, frame)
        assert answer.topics[0].partitions[0].error_code == 0, answer


async def load(owners: dict[str, list[str]], *, in_flight: int, seconds: float) -> list[float]:
    """Commit for some seconds. Returns: how long each took."""
    latencies: list[float] = []
    shares = [
        (address, groups[start::CONNECTIONS_PER_BROKER])
        for address, groups in owners.items()
        for start in range(CONNECTIONS_PER_BROKER)
        if groups[start::CONNECTIONS_PER_BROKER] or len(groups) < CONNECTIONS_PER_BROKER
    ]
    async with trio.open_nursery() as nursery:
        for address, groups in shares:
            nursery.start_soon(
                lambda address=address, groups=groups: drive(
                    address,
                    groups or owners[address],
                    in_flight=max(1, in_flight // len(shares)),
                    seconds=seconds,
                    latencies=latencies,
                )
            )
    return latencies


async def measure(cluster: LocalCluster | RealKafka, *, groups: int, arguments) -> str:
    bootstrap = cluster.bootstrap
    names = [f"group-{groups}-{number}" for number in range(groups)]
    owners = await owners_of(bootstrap, names)
    async with trio.open_nursery() as nursery:
        for address, owned in owners.items():
            nursery.start_soon(commit_once_each, address, owned)
    await load(owners, in_flight=arguments.in_flight, seconds=WARM_UP_S)
    pids = [node.pid for node in cluster.nodes().values()]
    before, started = cpu_seconds(pids), trio.current_time()
    latencies = await load(owners, in_flight=arguments.in_flight, seconds=arguments.seconds)
    taken_s, used_s = trio.current_time() - started, cpu_seconds(pids) - before
    return (
        f"{len(latencies) / taken_s:>9,.0f}/s   p50 {percentile(latencies, 0.5) * 1000:5.1f} ms"
        f"   p99 {percentile(latencies, 0.99) * 1000:5.1f} ms"
        f"   {used_s / len(latencies) * 1e6:4.0f} us CPU each"
    )


async def make_topic(bootstrap: str) -> None:
    async with Admin(bootstrap) as admin:
        await admin.create_topic(NewTopic(TOPIC, partitions=PARTITIONS, replication_factor=3))


def run(what: str, cluster: LocalCluster | RealKafka, arguments) -> None:
    trio.run(make_topic, cluster.bootstrap)
    for groups in (1, 100, 1_000):
        figures = trio.run(lambda g=groups: measure(cluster, groups=g, arguments=arguments))
        print(f"{what:<22} {groups:>5} groups  {figures}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--in-flight", type=int, default=200)
    parser.add_argument("--kafka", action="store_true")
    arguments = parser.parse_args()
    for what in ("embedded coordinator", "real ZooKeeper", "Apache Kafka"):
        with tempfile.TemporaryDirectory() as directory, ExitStack() as stack:
            path = Path(directory)
            if what == "Apache Kafka":
                if not arguments.kafka:
                    continue
                cluster = RealKafka(path, jvm=Jvm(heap_mb=512, compiles_well=True))
            elif what == "real ZooKeeper":
                zookeeper = RealZooKeeper(path)
                zookeeper.start()
                stack.callback(zookeeper.kill)
                cluster = LocalCluster(path, zookeeper=zookeeper.hosts)
            else:
                cluster = LocalCluster(path)
            stack.callback(cluster.close)
            cluster.up()
            run(what, cluster, arguments)


if __name__ == "__main__":
    main()
