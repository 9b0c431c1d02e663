"""How CPU, memory and latency grow with partitions, with connections and with brokers.

The same load each time: 500 records of 1 KB in a second, each in a request of its own, acks=all, to
one partition after the other. Connections beyond those of the load are idle. Of ten thousand
partitions there is one replica each: with three, Apache Kafka does not get through on two cores.
"""

from __future__ import annotations

import resource
import time
from contextlib import ExitStack

from bench.bench import Bench, Measured
from bench.figure import Case
from bench.meter import Meter
from bench.pace import Lanes, at_a_rate
from bench.replay import ALL, Wire, make_batch
from bench.systems import System
from protocol.compression import Compression

PER_S = 500
SECONDS = 10.0
RECORD_BYTES = 1_000
TOPIC_PARTITIONS_MAX = 2_000
CALM_CORES = 0.3
CALM_LOOK_S = 1.0
CALM_WITHIN_S = 30.0
"""Some take a third of a core and more with thousands of partitions, whatever they do."""


def measure(system: System, case: Case) -> Measured:
    """Have topics with so many partitions in all, and so many connections, and produce."""
    batch = make_batch(record_bytes=RECORD_BYTES, batch_bytes=0, compression=Compression.NONE)
    with ExitStack() as stack:
        began_at = time.perf_counter()
        topics = {
            name: stack.enter_context(
                system.topic(name, partitions=count, replicas=int(case.get("replicas", 0)) or None)
            )
            for name, count in _topics(int(case.get("partitions", system.brokers)))
        }
        created_s = time.perf_counter() - began_at
        addresses = sorted({each for leaders in topics.values() for each in leaders.values()})
        _allow_files(int(case.get("connections", 0)) + 1_000)
        for number in range(int(case.get("connections", 0))):
            stack.enter_context(Wire(addresses[number % len(addresses)]))
        lanes = Lanes(topics, batch, acks=ALL, stack=stack)
        settle(system)
        meter, began_at = Meter(system.pids()), time.perf_counter()
        waits = at_a_rate(lanes, rate=PER_S, seconds=SECONDS, due=[])
        cpu, lasted_s = meter.read(), time.perf_counter() - began_at
        yield (
            "steady load",
            {
                "cpu_share": cpu.servers_s / lasted_s,
                "memory_mb_per_broker": system.memory_mb_per_broker(),
                "created_s": created_s,
                **waits.values(),
            },
        )


def settle(system: System) -> None:
    """Wait until its servers have done what new topics and connections have them do, for a time."""
    until = time.monotonic() + CALM_WITHIN_S
    while time.monotonic() < until:
        meter = Meter(system.pids())
        time.sleep(CALM_LOOK_S)
        if meter.read().servers_s < CALM_CORES * CALM_LOOK_S:
            return


def _topics(partitions: int) -> list[tuple[str, int]]:
    """Divide partitions among topics: Apache Kafka makes no 10,000 at once."""
    count = -(-partitions // TOPIC_PARTITIONS_MAX)
    stem = f"growth-{time.time_ns()}"
    return [(f"{stem}-{number}", (partitions + number) // count) for number in range(count)]


def _allow_files(wanted: int) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(wanted, hard), hard))


PARTITIONS = Bench(
    "partitions",
    "how CPU, memory and latency grow with partitions",
    measure,
    (
        *({"partitions": number, "replicas": 3} for number in (1, 10, 100, 1_000)),
        {"partitions": 10_000, "replicas": 1},
    ),
    brokers=(3,),
    rounds=2,
)

CONNECTIONS = Bench(
    "connections",
    "how they grow with connections",
    measure,
    tuple({"connections": number} for number in (0, 100, 1_000)),
    brokers=(3,),
    rounds=2,
)

BROKERS = Bench(
    "brokers", "how they grow with brokers", measure, ({},), brokers=(1, 3, 5, 7), rounds=2
)
