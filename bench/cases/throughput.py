"""Produce and consume as fast as it goes: MB/s, and CPU seconds of the servers for each GB.

The same encoded requests over one connection to each leader, five on their way, a batch in each;
each broker leads one partition, with three replicas where there are three brokers. With acks=1 a
last batch with acks=all ends the measurement: what is copied later counts as well. Apache Kafka
never fsyncs, we do before we acknowledge. 1 GB is 10^9 bytes of batches as they are stored.
"""

from __future__ import annotations

import time
from collections.abc import Iterator

from bench.bench import Bench, Measured
from bench.figure import Case
from bench.meter import Meter
from bench.replay import ALL, Batch, Leaders, consume, end_offsets, make_batch, produce
from bench.systems import System
from protocol.compression import Compression

RECORD_BYTES = (100, 1_000, 10_000)
SMALL_BATCH_BYTES = 65_536
LARGE_BATCH_BYTES = 900_000
"""About what librdkafka fills under load."""

FETCH_BYTES = 1 << 20
TIMES_READ = 5
"""It is read that often, for once takes no more than a tenth of a second."""

IN_FLIGHT = 5
MEGABYTES = 300
BATCHES_MAX = 20_000
"""Of small batches fewer bytes are produced: what they cost shows all the same."""
GB = 1e9


def measure(system: System, case: Case) -> Measured:
    """Produce so much to a new topic, and read it."""
    batch = make_batch(
        record_bytes=int(case["record_bytes"]),
        batch_bytes=int(case["batch_bytes"]),
        compression=Compression[str(case["compression"]).upper()],
    )
    acks = ALL if case["acks"] == "all" else int(case["acks"])
    topic = f"throughput-{time.time_ns()}"
    with system.topic(topic, partitions=system.brokers) as leaders:
        wanted = min(BATCHES_MAX, int(MEGABYTES * 1e6 / batch.size_bytes))
        batches = max(2, wanted // len(leaders))
        volume_bytes = batches * len(leaders) * batch.size_bytes
        meter = Meter(system.pids())
        taken_s = produce(
            leaders, topic, batch, batches=batches - 1, acks=acks, in_flight=IN_FLIGHT
        )
        taken_s += produce(leaders, topic, batch, batches=1, acks=ALL, in_flight=1)
        yield "produce", costs(meter, volume_bytes=volume_bytes, taken_s=taken_s)
        ends = _require_all(leaders, topic, batch, batches)
        meter = Meter(system.pids())
        taken_s = sum(
            consume(leaders, topic, batch, ends=ends, fetch_bytes=FETCH_BYTES)
            for _ in range(TIMES_READ)
        )
        yield "consume", costs(meter, volume_bytes=TIMES_READ * volume_bytes, taken_s=taken_s)


def costs(meter: Meter, *, volume_bytes: int, taken_s: float) -> dict[str, float]:
    """Put what a meter shows in relation to the volume."""
    cpu, volume_gb = meter.read(), volume_bytes / GB
    return {
        "mb_per_s": volume_bytes / taken_s / 1e6,
        "cpu_s_per_gb": cpu.servers_s / volume_gb,
        "client_cpu_s_per_gb": cpu.client_s / volume_gb,
        "other_cpu_s_per_gb": cpu.other_s / volume_gb,
    }


def _require_all(leaders: Leaders, topic: str, batch: Batch, batches: int) -> dict[int, int]:
    ends, wanted = end_offsets(leaders, topic), batches * batch.records
    assert set(ends.values()) == {wanted}, f"the partitions end at {ends}, {wanted} wanted"
    return ends


def _cases() -> Iterator[Case]:
    for record_bytes in RECORD_BYTES:
        for acks in ("all", "1"):
            for compression in ("none", "lz4"):
                yield _case(record_bytes, SMALL_BATCH_BYTES, acks=acks, compression=compression)
        yield _case(record_bytes, LARGE_BATCH_BYTES, acks="all", compression="none")


def _case(record_bytes: int, batch_bytes: int, *, acks: str, compression: str) -> Case:
    return {
        "record_bytes": record_bytes,
        "batch_bytes": batch_bytes,
        "acks": acks,
        "compression": compression,
    }


THROUGHPUT = Bench("throughput", "produce and consume as fast as it goes", measure, tuple(_cases()))

BATCH_SIZES = Bench(
    "batch-sizes",
    "how both grow with the size of the batches",
    measure,
    tuple(
        _case(1_000, size, acks="all", compression="none")
        for size in (1_024, 4_096, 16_384, SMALL_BATCH_BYTES, 262_144, LARGE_BATCH_BYTES)
    ),
    rounds=2,
)
