"""Clients beside each other at the same work, on our brokers and on Apache Kafka's.

Each in a process of its own (bench/client_work.py), on topics with three partitions: a client
produces its records to one, and consumes another one that was filled beforehand, the same for all,
and longer: librdkafka waits a second once it has 100,000 records. CPU is the client's.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time

from bench.bench import Bench, Measured
from bench.client_work import BATCH_BYTES, CLIENTS, PARTITIONS
from bench.figure import Case
from bench.replay import ALL, make_batch, produce
from bench.systems import System
from protocol.compression import Compression

PRODUCED_BYTES = 100_000_000
PRODUCED_MAX = 200_000
CONSUMED_BYTES = 400_000_000
CONSUMED_MAX = 2_000_000
PATIENCE_S = 120.0
GB = 1e9


def measure(system: System, case: Case) -> Measured:
    """Have one client produce so much, and consume so much."""
    record_bytes, topic = int(case["record_bytes"]), f"clients-{time.time_ns()}"
    records = min(PRODUCED_BYTES // record_bytes, PRODUCED_MAX)
    with system.topic(topic, partitions=len(PARTITIONS)):
        yield "produce", _have_done(system, case, "produce", topic, records)
    batch = make_batch(
        record_bytes=record_bytes, batch_bytes=BATCH_BYTES, compression=Compression.NONE
    )
    records = min(CONSUMED_BYTES // record_bytes, CONSUMED_MAX)
    batches = records // (batch.records * len(PARTITIONS))
    topic = f"filled-{time.time_ns()}"
    with system.topic(topic, partitions=len(PARTITIONS)) as leaders:
        produce(leaders, topic, batch, batches=batches, acks=ALL, in_flight=5)
        records = batches * batch.records * len(PARTITIONS)
        yield "consume", _have_done(system, case, "consume", topic, records)


def _have_done(system: System, case: Case, what: str, topic: str, records: int) -> dict[str, float]:
    record_bytes = int(case["record_bytes"])
    arguments = (case["client"], what, system.bootstrap, topic, records, record_bytes)
    done = subprocess.run(
        [sys.executable, "-m", "bench.client_work", *map(str, arguments)],
        stdout=subprocess.PIPE,
        check=True,
        timeout=PATIENCE_S,
    )
    effort = json.loads(done.stdout.splitlines()[-1])
    volume_bytes = records * record_bytes
    return {
        "records_per_s": records / effort["seconds"],
        "mb_per_s": volume_bytes / effort["seconds"] / 1e6,
        "cpu_s_per_gb": effort["cpu_s"] / (volume_bytes / GB),
        "cpu_us_per_record": effort["cpu_s"] / records * 1e6,
        "memory_mb": effort["memory_mb"],
    }


CLIENT_WORK = Bench(
    "clients",
    "clients beside each other at the same work",
    measure,
    tuple({"client": client, "record_bytes": size} for client in CLIENTS for size in (100, 1_000)),
    brokers=(3,),
)
