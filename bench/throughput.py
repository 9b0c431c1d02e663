"""Produce and consume: MB/s, and CPU seconds of the servers for each GB, beside Apache Kafka.

    python -m bench.throughput [--records 100,1000,10000] [--brokers 1,3] [--acks 1,all]
        [--compression none,lz4] [--batch 65536] [--megabytes 500] [--rounds 5] [--warm-up 180]
        [--json FILE] [--only ottla]

Both systems run at once and are measured in turn, round by round, with the same client work: the
same encoded requests over one connection to each leader, a batch in each, `--in-flight` of them
on their way (bench/replay.py). Three brokers have one partition led by each, with three replicas.
With acks=1 a last batch with acks=all ends the measurement: what is copied later counts as well.
Apache Kafka is warmed up with the same load first, its JVM has the settings of its distribution;
it never fsyncs, we do before we acknowledge. 1 GB is 10^9 bytes of batches.
Apache Kafka's jars are in tests/interop/java/target (see .ci/run).
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path

import trio

from bench.raw_requests import cpu_seconds
from bench.replay import Batch, consume, end_offsets, leaders_of, make_batch, produce
from client import Admin, NewTopic
from protocol.compression import Compression
from tests.support.local_cluster import LocalCluster
from tests.support.real_kafka import DISTRIBUTED, RealKafka
from tests.support.under_test import UnderTest

OURS, THEIRS = "ottla", "kafka"
FETCH_BYTES = 1 << 20
GB = 1e9
ALL = -1


@dataclass(frozen=True)
class Case:
    """What is sent, and how safely."""

    record_bytes: int
    brokers: int
    acks: int
    compression: str
    batch_bytes: int

    def __str__(self) -> str:
        acks = "all" if self.acks == ALL else str(self.acks)
        return (
            f"{self.record_bytes:>6} B  {self.brokers} x  acks {acks:<3}  {self.compression:<4}"
            f"  batches of {self.batch_bytes // 1024} KiB"
        )


@dataclass(frozen=True)
class Figures:
    """One measurement; CPU in seconds of the servers for each GB that clients see."""

    what: str
    mb_per_s: float
    cpu_s_per_gb: float
    client_cpu_s_per_gb: float
    other_cpu_s: float
    """CPU that neither the servers nor this process have taken: it should be next to nothing."""

    memory_mb: float
    """Resident memory of all servers afterwards."""


class Meter:
    """What it costs the servers of a cluster to have something done."""

    def __init__(self, cluster: UnderTest) -> None:
        self._cluster = cluster
        self._names = list(cluster.nodes())
        self._pids = [node.pid for node in cluster.nodes().values()]
        self._before = self._now()

    def stop(self, what: str, *, volume_bytes: int, taken_s: float) -> Figures:
        """Give the figures since this was made."""
        servers_s, client_s, all_s = (
            after - before for after, before in zip(self._now(), self._before, strict=True)
        )
        return Figures(
            what,
            mb_per_s=volume_bytes / taken_s / 1e6,
            cpu_s_per_gb=servers_s / (volume_bytes / GB),
            client_cpu_s_per_gb=client_s / (volume_bytes / GB),
            other_cpu_s=max(0.0, all_s - servers_s - client_s),
            memory_mb=sum(map(self._cluster.memory_bytes, self._names)) / 1e6,
        )

    def _now(self) -> tuple[float, float, float]:
        used = resource.getrusage(resource.RUSAGE_SELF)
        return cpu_seconds(self._pids), used.ru_utime + used.ru_stime, _machine_cpu_s()


def _machine_cpu_s() -> float:
    """CPU that everything on this machine has taken since it was started."""
    fields = Path("/proc/stat").read_text().split("\n", maxsplit=1)[0].split()[1:]
    user, nice, system, _, _, irq, softirq = map(int, fields[:7])
    return (user + nice + system + irq + softirq) / os.sysconf("SC_CLK_TCK")


def measure(cluster: UnderTest, topic: str, case: Case, *, megabytes: int, in_flight: int):
    """Produce so much to a new topic, and read it. Returns: the figures of both."""
    batch = make_batch(
        record_bytes=case.record_bytes,
        batch_bytes=case.batch_bytes,
        compression=Compression[case.compression.upper()],
    )
    trio.run(make_topic, cluster.bootstrap, topic, case.brokers, min(3, case.brokers))
    try:
        leaders = leaders_of(cluster.bootstrap, topic)
        batches = max(1, int(megabytes * 1e6 / len(leaders) / batch.size_bytes))
        meter = Meter(cluster)
        taken_s = produce(
            leaders, topic, batch, batches=batches - 1, acks=case.acks, in_flight=in_flight
        )
        taken_s += produce(leaders, topic, batch, batches=1, acks=ALL, in_flight=1)
        volume_bytes = batches * len(leaders) * batch.size_bytes
        produced = meter.stop("produce", volume_bytes=volume_bytes, taken_s=taken_s)
        ends = end_offsets(leaders, topic)
        _require_all(ends, batch, batches)
        meter = Meter(cluster)
        taken_s = consume(leaders, topic, batch, ends=ends, fetch_bytes=FETCH_BYTES)
        return produced, meter.stop("consume", volume_bytes=volume_bytes, taken_s=taken_s)
    finally:
        trio.run(delete_topic, cluster.bootstrap, topic)


def _require_all(ends: dict[int, int], batch: Batch, batches: int) -> None:
    wanted = batches * batch.records
    assert set(ends.values()) == {wanted}, f"the partitions end at {ends}, {wanted} wanted"


async def make_topic(bootstrap: str, topic: str, partitions: int, replicas: int) -> None:
    """Make a topic; with as many partitions as brokers each leads one."""
    async with Admin(bootstrap) as admin:
        new = NewTopic(topic, partitions=partitions, replication_factor=replicas)
        await admin.create_topic(new)


async def delete_topic(bootstrap: str, topic: str) -> None:
    async with Admin(bootstrap) as admin:
        await admin.delete_topics([topic])


def rounds(
    clusters: dict[str, UnderTest], case: Case, arguments: argparse.Namespace
) -> Iterator[tuple[str, Figures]]:
    """Measure the systems in turn; the first of each round takes turns as well."""
    for number in range(arguments.rounds):
        names = list(clusters) if number % 2 == 0 else list(reversed(clusters))
        for name in names:
            topic = f"bench-{time.time_ns()}"
            for figures in measure(
                clusters[name],
                topic,
                case,
                megabytes=arguments.megabytes,
                in_flight=arguments.in_flight,
            ):
                yield name, figures


def warm_up(cluster: UnderTest, case: Case, arguments: argparse.Namespace) -> None:
    """Have a JVM compile what it will need."""
    until = time.monotonic() + arguments.warm_up
    while time.monotonic() < until:
        topic = f"warm-up-{time.time_ns()}"
        measure(cluster, topic, case, megabytes=arguments.megabytes, in_flight=arguments.in_flight)


def report(case: Case, found: dict[tuple[str, str], list[Figures]]) -> None:
    """Print medians and spread, and ours as ratios of theirs."""
    for what in ("produce", "consume"):
        for system in (OURS, THEIRS):
            if not (figures := found.get((system, what))):
                continue
            speeds = [each.mb_per_s for each in figures]
            cpu = [each.cpu_s_per_gb for each in figures]
            print(
                f"{case}  {what}  {system:<6}"
                f"  {statistics.median(speeds):7.1f} MB/s ({min(speeds):.0f} to {max(speeds):.0f})"
                f"  {statistics.median(cpu):6.2f} CPU s/GB ({min(cpu):.2f} to {max(cpu):.2f})"
                f"  {max(each.memory_mb for each in figures):6.0f} MB"
                f"  else {max(each.other_cpu_s for each in figures):.2f} s"
            )
        ours, theirs = found.get((OURS, what)), found.get((THEIRS, what))
        if ours and theirs:
            print(
                f"{case}  {what}  ratio "
                f"  throughput {_ratio(ours, theirs, 'mb_per_s'):.2f}"
                f"  CPU {_ratio(ours, theirs, 'cpu_s_per_gb'):.2f}"
                f"  memory {_ratio(ours, theirs, 'memory_mb'):.2f}",
                flush=True,
            )


def _ratio(ours: list[Figures], theirs: list[Figures], field: str) -> float:
    medians = [statistics.median(getattr(each, field) for each in some) for some in (ours, theirs)]
    return medians[0] / medians[1]


def start(name: str, brokers: int, stack: ExitStack) -> UnderTest:
    """Start a cluster of so many brokers, ended with the stack."""
    directory = Path(stack.enter_context(tempfile.TemporaryDirectory()))
    cluster: UnderTest = (
        LocalCluster(directory, brokers=brokers)
        if name == OURS
        else RealKafka(directory, brokers=brokers, jvm=DISTRIBUTED)
    )
    stack.callback(cluster.close)
    cluster.up()
    return cluster


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--records", type=numbers_of, default=[100, 1_000, 10_000])
    parser.add_argument("--brokers", type=numbers_of, default=[1, 3])
    parser.add_argument("--acks", type=acks_of, default=[ALL])
    parser.add_argument("--compression", type=lambda s: s.split(","), default=["none"])
    parser.add_argument("--batch", type=numbers_of, default=[65_536])
    parser.add_argument("--megabytes", type=int, default=500)
    parser.add_argument("--in-flight", type=int, default=5)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--warm-up", type=float, default=180.0, help="seconds")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--only", choices=(OURS, THEIRS))
    arguments = parser.parse_args()
    systems = [arguments.only] if arguments.only else [OURS, THEIRS]
    measured: list[dict[str, object]] = []
    for brokers in arguments.brokers:
        cases = [
            Case(record_bytes, brokers, acks, compression, batch_bytes)
            for record_bytes in arguments.records
            for acks in arguments.acks
            for compression in arguments.compression
            for batch_bytes in arguments.batch
        ]
        with ExitStack() as stack:
            clusters = {name: start(name, brokers, stack) for name in systems}
            if THEIRS in clusters:
                warm_up(clusters[THEIRS], cases[0], arguments)
            for case in cases:
                found: dict[tuple[str, str], list[Figures]] = {}
                for name, figures in rounds(clusters, case, arguments):
                    found.setdefault((name, figures.what), []).append(figures)
                    measured.append({"system": name, **asdict(case), **asdict(figures)})
                report(case, found)
    if arguments.json is not None:
        command = " ".join(["python -m bench.throughput", *sys.argv[1:]])
        arguments.json.write_text(json.dumps({"command": command, "figures": measured}, indent=1))


def numbers_of(text: str) -> list[int]:
    """Read numbers with commas between them."""
    return [int(each) for each in text.split(",")]


def acks_of(text: str) -> list[int]:
    """Read acks with commas between them, `all` for -1."""
    return [ALL if each == "all" else int(each) for each in text.split(",")]


if __name__ == "__main__":
    main()
