"""Load that has a JVM compile what the benches will need: large requests, and single records."""

from __future__ import annotations

import time
from contextlib import ExitStack
from itertools import cycle

from bench.pace import Lanes, at_a_rate
from bench.replay import ALL, Batch, consume, end_offsets, make_batch, produce
from bench.systems import System
from protocol.compression import Compression

RATE = 2_000
AT_A_RATE_S = 5.0
MEGABYTES = 200
FETCH_BYTES = 1 << 20


def warm_up(system: System, *, seconds: float) -> None:
    """Keep one system busy for so long, with single records and with each kind of batch in turn."""
    until = time.monotonic() + seconds
    large = cycle(
        make_batch(record_bytes=record_bytes, batch_bytes=65_536, compression=compression)
        for compression in (Compression.NONE, Compression.LZ4)
        for record_bytes in (1_000, 100, 10_000)
    )
    single = make_batch(record_bytes=1_000, batch_bytes=0, compression=Compression.NONE)
    while time.monotonic() < until:
        _in_bulk(system, next(large))
        _one_by_one(system, single)


def _in_bulk(system: System, batch: Batch) -> None:
    topic = f"warm-up-{time.time_ns()}"
    with system.topic(topic, partitions=system.brokers) as leaders:
        batches = int(MEGABYTES * 1e6 / len(leaders) / batch.size_bytes)
        produce(leaders, topic, batch, batches=batches, acks=ALL, in_flight=5)
        ends = end_offsets(leaders, topic)
        consume(leaders, topic, batch, ends=ends, fetch_bytes=FETCH_BYTES)


def _one_by_one(system: System, batch: Batch) -> None:
    topic = f"warm-up-{time.time_ns()}"
    with system.topic(topic, partitions=system.brokers) as leaders, ExitStack() as stack:
        lanes = Lanes({topic: leaders}, batch, acks=ALL, stack=stack)
        at_a_rate(lanes, rate=RATE, seconds=AT_A_RATE_S, due=[])
