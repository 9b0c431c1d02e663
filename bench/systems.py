"""The systems that are compared: clusters of real processes, started side by side.

A single broker is one process in both, with the metadata in it; of several, ours have theirs in a
process of its own, and each of Apache Kafka's takes part in it.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import trio

from bench.figure import OURS, THEIRS
from bench.one_process import OneProcess
from bench.replay import Leaders, leaders_of
from client import Admin, NewTopic, UnknownTopic
from tests.support.local_cluster import LocalCluster
from tests.support.real_kafka import DISTRIBUTED, RealKafka

Cluster = LocalCluster | OneProcess | RealKafka

COORDINATOR = "coordinator"
IN_SYNC_WITHIN_S = 180.0
GONE_WITHIN_S = 60.0

DELETES_AFTER = "log.segment.delete.delay.ms=1000"
"""Of Apache Kafka, whose default is a minute: by then it would be somebody else's turn."""


@dataclass(frozen=True)
class System:
    """One of them, with a cluster of so many brokers that serves."""

    name: str
    brokers: int
    cluster: Cluster

    @property
    def bootstrap(self) -> str:
        """The addresses of its brokers."""
        return self.cluster.bootstrap

    @property
    def replicas(self) -> int:
        """How many replicas a topic gets: three, where there are as many brokers."""
        return min(3, self.brokers)

    def pids(self) -> list[int]:
        """Its servers: brokers, and our coordinator."""
        return [node.pid for node in self.cluster.nodes().values()]

    def broker_names(self) -> list[str]:
        """The brokers that run."""
        return [name for name in self.cluster.nodes() if name != COORDINATOR]

    def memory_mb_per_broker(self) -> float:
        """Resident memory of all servers, our coordinator too, for each broker."""
        names = self.cluster.nodes()
        return sum(map(self.cluster.memory_bytes, names)) / self.brokers / 1e6

    @contextmanager
    def topic(
        self,
        name: str,
        *,
        partitions: int,
        replicas: int | None = None,
        configs: Mapping[str, str] | None = None,
    ) -> Iterator[Leaders]:
        """Make a topic and give the leaders of its partitions; it is deleted afterwards.

        Its files are gone when this ends: a file system that frees them would hold up the syncs of
        what is measured next.
        """
        new = NewTopic(
            name,
            partitions=partitions,
            replication_factor=replicas or self.replicas,
            configs=configs or {},
        )
        trio.run(self._make_topic, new)
        try:
            yield leaders_of(self.bootstrap, name, partitions=partitions)
        finally:
            trio.run(self._delete_topic, name)
            self._wait_gone(name)

    def wait_in_sync(self, topic: str, *, partitions: int) -> None:
        """Wait until every partition is led and has all its replicas in sync."""
        trio.run(self._in_sync, topic, partitions, self.replicas)

    async def _make_topic(self, new: NewTopic) -> None:
        async with Admin(self.bootstrap) as admin:
            await admin.create_topic(new)
        await self._in_sync(new.name, new.partitions, new.replication_factor)

    async def _in_sync(self, name: str, partitions: int, replicas: int) -> None:
        async with Admin(self.bootstrap) as admin:
            with trio.fail_after(IN_SYNC_WITHIN_S):
                while not await _is_in_sync(admin, name, partitions, replicas):  # noqa: ASYNC110
                    await trio.sleep(0.05)

    async def _delete_topic(self, name: str) -> None:
        async with Admin(self.bootstrap) as admin:
            await admin.delete_topics([name])

    def directories_of(self, topic: str) -> Iterator[Path]:
        """Find what is there of a topic's partitions on all brokers, deleted ones as well."""
        # Not by a glob: it stumbles over directories of other topics that vanish meanwhile.
        for directory, names, _ in os.walk(self.cluster.directory):
            yield from (Path(directory, each) for each in names if each.startswith(f"{topic}-"))

    def _wait_gone(self, topic: str) -> None:
        deadline = time.monotonic() + GONE_WITHIN_S
        while any(self.directories_of(topic)):
            assert time.monotonic() < deadline, f"files of {topic} are still there"
            time.sleep(0.05)


async def _is_in_sync(admin: Admin, name: str, partitions: int, replicas: int) -> bool:
    try:
        described = (await admin.describe_topics([name]))[name].partitions
    except UnknownTopic:
        return False  # The broker that was asked has not heard of it yet.
    return len(described) == partitions and all(
        each.leader_id >= 0 and len(each.isr) == replicas for each in described.values()
    )


@contextmanager
def started(name: str, *, brokers: int) -> Iterator[System]:
    """Start a cluster in a directory of its own, with the defaults of its system; end it."""
    with prepared(name, brokers=brokers) as cluster:
        cluster.up()
        yield System(name, brokers, cluster)


@contextmanager
def prepared(name: str, *, brokers: int) -> Iterator[Cluster]:
    """Give a cluster that is not started yet; end whatever of it runs afterwards."""
    with tempfile.TemporaryDirectory(prefix=f"bench-{name}-") as directory:
        cluster: Cluster
        if name == OURS and brokers == 1:
            cluster = OneProcess(Path(directory))
        elif name == OURS:
            cluster = LocalCluster(Path(directory), brokers=brokers)
        else:
            assert name == THEIRS, name
            cluster = RealKafka(
                Path(directory), brokers=brokers, settings=(DELETES_AFTER,), jvm=DISTRIBUTED
            )
            cluster.format()
        try:
            yield cluster
        finally:
            cluster.close()
