"""How a cluster of three brokers bears many partitions: creation, a broker's death, its return.

    python -m bench.partitions [--partitions 2000] [--topics 1]

Prints a table. Everything runs on 127.0.0.1 in a temporary directory and is ended afterwards.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from functools import partial
from pathlib import Path

import trio

from bench.raw_requests import cpu_seconds
from client import Admin, NewTopic, Producer, UnknownTopic
from tests.support.local_cluster import LocalCluster

PATIENCE_S = 120


async def measure(cluster: LocalCluster, *, topics: int, partitions: int) -> None:
    names = [f"many-{i}" for i in range(topics)]
    each = partitions // topics
    async with Admin(cluster.bootstrap) as admin:
        report("resident memory of a broker before", memory(cluster))
        started = trio.current_time()
        for start in range(0, topics, 200):
            batch = [
                NewTopic(name, partitions=each, replication_factor=3)
                for name in names[start : start + 200]
            ]
            for outcome in (await admin.create_topics(batch)).values():
                if isinstance(outcome, Exception):
                    raise outcome
        report("creation answered", seconds(started))
        await wait_for(admin, names, partial(led_and_in_sync, members=3))
        report("every partition led, all replicas in sync", seconds(started))
        await produce_to_all(cluster, names, each)
        report("a record acknowledged by every partition", seconds(started))
        report("resident memory of a broker", memory(cluster))
        await idle_cpu(cluster)
        victim = next(n for n in cluster.nodes() if n != "coordinator")
        cluster.kill(victim)
        killed = trio.current_time()
        await wait_for(admin, names, partial(led_by_others, victim=int(victim)))
        report("a broker killed: every partition led by another", seconds(killed))
        restarted = trio.current_time()
        cluster.start(victim)
        report("the broker restarted: it listens", seconds(restarted))
        await wait_for(admin, names, partial(led_and_in_sync, members=3))
        report("all its replicas back in sync", seconds(restarted))
        report("resident memory of a broker at the end", memory(cluster))


async def produce_to_all(cluster: LocalCluster, names: list[str], each: int) -> None:
    async with Producer(cluster.bootstrap) as producer:
        sent = [
            await producer.enqueue(name, b"one", partition=index)
            for name in names
            for index in range(each)
        ]
        for delivery in sent:
            await delivery.wait()


async def idle_cpu(cluster: LocalCluster) -> None:
    await trio.sleep(3)
    pids = [node.pid for node in cluster.nodes().values()]
    before, started = cpu_seconds(pids), time.monotonic()
    await trio.sleep(10)
    used = (cpu_seconds(pids) - before) / (time.monotonic() - started)
    report("CPU of all processes while idle", f"{used * 100:.1f} %")


async def wait_for(admin: Admin, names: list[str], condition) -> None:
    with trio.fail_after(PATIENCE_S):
        while True:
            try:
                described = await admin.describe_topics(names)
            except UnknownTopic:
                described = None  # The broker that was asked has not heard of it yet.
            if described is not None and all(
                condition(p) for t in described.values() for p in t.partitions.values()
            ):
                return
            await trio.sleep(0.05)


def led_and_in_sync(partition, *, members: int) -> bool:
    return partition.leader_id >= 0 and len(partition.isr) == members


def led_by_others(partition, *, victim: int) -> bool:
    return partition.leader_id >= 0 and partition.leader_id != victim


def memory(cluster: LocalCluster) -> str:
    brokers = [name for name in cluster.nodes() if name != "coordinator"]
    return " ".join(f"{cluster.memory_bytes(name) / 2**20:.0f} MiB" for name in brokers)


def seconds(since: float) -> str:
    return f"{trio.current_time() - since:.2f} s"


def report(what: str, figure: str) -> None:
    print(f"{what:<52} {figure}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--partitions", type=int, default=2000)
    parser.add_argument("--topics", type=int, default=1)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        cluster = LocalCluster(Path(directory))
        try:
            cluster.up()
            trio.run(
                partial(measure, cluster, topics=arguments.topics, partitions=arguments.partitions)
            )
        finally:
            cluster.close()


if __name__ == "__main__":
    main()
