"""Apache Kafka's own perf tools against both: what its Java client gets, and what that costs.

kafka-producer-perf-test with acks=all, then kafka-consumer-perf-test on the same topic, whose
partitions are as many as the brokers. The producer lingers for 5 ms and fills batches of 64 KiB, as
the clients beside it do (bench/client_work.py). Each tool is a new JVM in each round: what it does
before it is warm counts, for both systems alike. 1 GB is 10^9 bytes of records' values.
"""

from __future__ import annotations

import csv
import re
import time

from bench.bench import Bench, Measured
from bench.cases.throughput import costs
from bench.client_work import BATCH_BYTES, LINGER_MS
from bench.figure import Case
from bench.meter import Meter
from bench.systems import System
from tests.interop.java_tools import TOOLS, Java
from tests.support.real_kafka import JARS

JAVA = Java(f"{JARS}/*", options=("-Xmx512m",))
MEGABYTES = 600
RECORDS_MAX = 2_000_000

SENT = re.compile(
    r"(?P<records>\d+) records sent, (?P<records_per_s>[\d.]+) records/sec .*?"
    r"(?P<p50>\d+) ms 50th, \d+ ms 95th, (?P<p99>\d+) ms 99th"
)


def measure(system: System, case: Case) -> Measured:
    """Have the tools produce so much to a new topic, and read it."""
    record_bytes, topic = int(case["record_bytes"]), f"perf-{time.time_ns()}"
    records = min(MEGABYTES * 1_000_000 // record_bytes, RECORDS_MAX)
    with system.topic(topic, partitions=system.brokers):
        yield "produce", _produce(system, topic, records, record_bytes)
        yield "consume", _consume(system, topic, records, record_bytes)


def _produce(system: System, topic: str, records: int, record_bytes: int) -> dict[str, float]:
    meter = Meter(system.pids())
    said = JAVA.run(
        f"{TOOLS}.ProducerPerformance",
        *("--topic", topic, "--num-records", str(records), "--throughput", "-1"),
        *("--record-size", str(record_bytes), "--producer-props"),
        *(f"bootstrap.servers={system.bootstrap}", "acks=all"),
        *(f"linger.ms={LINGER_MS}", f"batch.size={BATCH_BYTES}"),
    )
    sent = last_report(said)
    assert sent["records"] == records, said
    return {
        **_costs(meter, records, record_bytes, records_per_s=sent["records_per_s"]),
        "ack_p50_ms": sent["p50"],
        "ack_p99_ms": sent["p99"],
    }


def _consume(system: System, topic: str, records: int, record_bytes: int) -> dict[str, float]:
    meter = Meter(system.pids())
    said = JAVA.run(
        f"{TOOLS}.ConsumerPerformance",
        *("--topic", topic, "--bootstrap-server", system.bootstrap, "--messages", str(records)),
    )
    read = totals(said)
    assert read["data.consumed.in.nMsg"] >= records, said
    return _costs(meter, records, record_bytes, records_per_s=read["fetch.nMsg.sec"])


def _costs(
    meter: Meter, records: int, record_bytes: int, *, records_per_s: float
) -> dict[str, float]:
    volume_bytes, taken_s = records * record_bytes, records / records_per_s
    return {
        "records_per_s": records_per_s,
        **costs(meter, volume_bytes=volume_bytes, taken_s=taken_s),
    }


def last_report(said: str) -> dict[str, float]:
    """Read what kafka-producer-perf-test reports at its end. Raises: ValueError without one."""
    reports = [found.groupdict() for found in SENT.finditer(said)]
    if not reports:
        raise ValueError(f"kafka-producer-perf-test reports nothing: {said!r}")
    return {name: float(value) for name, value in reports[-1].items()}


def totals(said: str) -> dict[str, float]:
    """Read the two lines of kafka-consumer-perf-test. Raises: ValueError without them."""
    lines = [line for line in said.splitlines() if "," in line]
    head = next((number for number, line in enumerate(lines) if "fetch.nMsg.sec" in line), None)
    if head is None or head + 1 == len(lines):
        raise ValueError(f"kafka-consumer-perf-test reports nothing: {said!r}")
    (row,) = csv.DictReader(lines[head : head + 2], skipinitialspace=True)
    return {name: float(value) for name, value in row.items() if name.endswith((".sec", "nMsg"))}


PERF_TOOLS = Bench(
    "perf-tools",
    "Apache Kafka's own perf tools against both",
    measure,
    tuple({"record_bytes": size} for size in (100, 1_000)),
)
