"""Clients beside each other at the same work, on our brokers and on Apache Kafka's.

Each in a process of its own (bench/client_work.py), on a topic with three partitions: all records
produced, then all consumed, and looked at. CPU is the client's.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time

from bench.bench import Bench, Measured
from bench.client_work import CLIENTS, PARTITIONS
from bench.figure import Case
from bench.systems import System

VOLUME_BYTES = 100_000_000
RECORDS_MAX = 200_000
PATIENCE_S = 120.0
GB = 1e9


def measure(system: System, case: Case) -> Measured:
    """Have one client produce so much, and consume it."""
    topic = f"clients-{time.time_ns()}"
    record_bytes = int(case["record_bytes"])
    records = min(VOLUME_BYTES // record_bytes, RECORDS_MAX)
    with system.topic(topic, partitions=len(PARTITIONS)):
        for what in ("produce", "consume"):
            arguments = (case["client"], what, system.bootstrap, topic, records, record_bytes)
            done = subprocess.run(
                [sys.executable, "-m", "bench.client_work", *map(str, arguments)],
                stdout=subprocess.PIPE,
                check=True,
                timeout=PATIENCE_S,
            )
            effort = json.loads(done.stdout.splitlines()[-1])
            volume_bytes = records * record_bytes
            yield (
                what,
                {
                    "records_per_s": records / effort["seconds"],
                    "mb_per_s": volume_bytes / effort["seconds"] / 1e6,
                    "cpu_s_per_gb": effort["cpu_s"] / (volume_bytes / GB),
                    "cpu_us_per_record": effort["cpu_s"] / records * 1e6,
                    "memory_mb": effort["memory_mb"],
                },
            )


CLIENT_WORK = Bench(
    "clients",
    "clients beside each other at the same work",
    measure,
    tuple({"client": client, "record_bytes": size} for client in CLIENTS for size in (100, 1_000)),
    brokers=(3,),
)
