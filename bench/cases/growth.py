"""How CPU, memory and latency grow with partitions, with connections and with brokers.

The same load each time: 500 records of 1 KB in a second, each in a request of its own, acks=all, to
one partition after the other. Connections beyond those of the load are idle.
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


def measure(system: System, case: Case) -> Measured:
    """Have a topic with so many partitions, and so many connections, and produce."""
    topic = f"growth-{time.time_ns()}"
    batch = make_batch(record_bytes=RECORD_BYTES, batch_bytes=0, compression=Compression.NONE)
    partitions = int(case.get("partitions", system.brokers))
    began_at = time.perf_counter()
    with system.topic(topic, partitions=partitions) as leaders, ExitStack() as stack:
        created_s = time.perf_counter() - began_at
        addresses = sorted(set(leaders.values()))
        _allow_files(int(case.get("connections", 0)) + 1_000)
        for number in range(int(case.get("connections", 0))):
            stack.enter_context(Wire(addresses[number % len(addresses)]))
        lanes = Lanes(leaders, topic, batch, acks=ALL, stack=stack)
        meter = Meter(system.pids())
        waits = at_a_rate(lanes, rate=PER_S, seconds=SECONDS, due=[])
        cpu = meter.read()
        yield (
            "steady load",
            {
                "cpu_share": cpu.servers_s / SECONDS,
                "memory_mb_per_broker": system.memory_mb_per_broker(),
                "created_s": created_s,
                **waits.values(),
            },
        )


def _allow_files(wanted: int) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(wanted, hard), hard))


PARTITIONS = Bench(
    "partitions",
    "how CPU, memory and latency grow with partitions",
    measure,
    tuple({"partitions": number} for number in (1, 10, 100, 1_000, 10_000)),
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
