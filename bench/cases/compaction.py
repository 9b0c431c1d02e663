"""What compaction costs: a topic of 20,000 keys is written over many times, then compacted.

Nothing is compacted while it is written. The clock and the meter run from when the topic's setting
is changed until what the segments of all replicas hold together has come to less than twice what
the newest records take. That includes the time that a cleaner sleeps between two looks: 15 seconds
by default, in both systems.
"""

from __future__ import annotations

import os
import time
from pathlib import Path

import trio

from bench.bench import Bench, Measured
from bench.figure import Case
from bench.meter import Meter
from bench.systems import System
from client import Admin, Producer, ProducerConfig, ResourceType

KEYS = 20_000
RECORDS = 200_000
SEGMENT_BYTES = 1 << 20
WITHIN_S = 180.0
LOOK_S = 0.25
RATIO = "min.cleanable.dirty.ratio"
CONFIGS = {
    "cleanup.policy": "compact",
    "segment.bytes": str(SEGMENT_BYTES),
    RATIO: "1.0",
}


def measure(system: System, case: Case) -> Measured:
    """Write every key ten times, and wait until one record of each is left."""
    name, record_bytes = f"compacted-{time.time_ns()}", int(case["record_bytes"])
    with system.topic(name, partitions=1, configs=CONFIGS):
        trio.run(_write, system, name, record_bytes)
        written_bytes = _bytes_of(system, name)
        # The newest segment of each replica is never compacted.
        enough_bytes = system.replicas * (2 * KEYS * (record_bytes + 40) + SEGMENT_BYTES)
        assert enough_bytes < written_bytes / 2, "there is something to compact"
        trio.run(_have_compacted, system, name)
        began_at, meter = time.perf_counter(), Meter(system.pids())
        while _bytes_of(system, name) > enough_bytes:
            assert time.perf_counter() - began_at < WITHIN_S, "it is compacted at last"
            time.sleep(LOOK_S)
        cpu = meter.read()
        yield (
            "compact",
            {
                "compacted_s": time.perf_counter() - began_at,
                "cpu_s_per_gb": cpu.servers_s / written_bytes * 1e9,
                "memory_mb_per_broker": system.memory_mb_per_broker(),
            },
        )


async def _write(system: System, name: str, record_bytes: int) -> None:
    value = os.urandom(record_bytes)
    async with Producer(system.bootstrap, ProducerConfig(linger_ms=5)) as producer:
        for i in range(RECORDS):
            await producer.enqueue(name, value, key=b"key-%06d" % (i % KEYS))


async def _have_compacted(system: System, name: str) -> None:
    async with Admin(system.bootstrap) as admin:
        await admin.alter_configs(ResourceType.TOPIC, name, {RATIO: "0.01"})


def _bytes_of(system: System, name: str) -> int:
    directories = system.directories_of(name)
    return sum(_size(path) for each in directories for path in each.glob("*.log"))


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0  # compaction has just replaced it


COMPACTION = Bench(
    "compaction",
    "what it costs to compact a topic",
    measure,
    tuple({"record_bytes": size} for size in (100, 1_000)),
    brokers=(3,),
    rounds=2,
)
