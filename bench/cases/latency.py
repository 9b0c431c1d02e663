"""How long a record waits at a fixed rate: until it is acknowledged, and until it is consumed.

Records of 1 KB, each in a request of its own, over one connection to the leader of a topic with one
partition; a consumer fetches all the time. `many` in flight: each is sent when its time has come,
and its wait counts from then. `one`: each is sent once the one before it is acknowledged, and its
wait counts from when it was sent. acks=all.
"""

from __future__ import annotations

import time
from contextlib import ExitStack, closing

from bench.bench import Bench, Measured
from bench.figure import Case
from bench.pace import Lanes, Reader, Send, at_a_rate, one_in_flight
from bench.replay import ALL, end_offsets, make_batch
from bench.systems import System
from protocol.compression import Compression

RECORD_BYTES = 1_000
SECONDS = 15.0
BY_THEN_S = 30.0
SENDS: dict[str, Send] = {"many": at_a_rate, "one": one_in_flight}


def measure(system: System, case: Case) -> Measured:
    """Produce to a new topic for so long, and consume it meanwhile."""
    topic = f"latency-{time.time_ns()}"
    batch = make_batch(record_bytes=RECORD_BYTES, batch_bytes=0, compression=Compression.NONE)
    with system.topic(topic, partitions=1) as leaders, ExitStack() as stack:
        lanes = Lanes({topic: leaders}, batch, acks=ALL, stack=stack)
        reader = stack.enter_context(closing(Reader(leaders[0], topic, offset=1)))
        due: list[float] = []
        send = SENDS[str(case["in_flight"])]
        waits = send(lanes, rate=int(case["per_s"]), seconds=SECONDS, due=due)
        waits.consumed.extend(reader.waits(due, within_s=BY_THEN_S))
        ends = end_offsets(leaders, topic)
        assert ends == {0: len(due) + 1}, f"the log ends at {ends}, {len(due)} records were sent"
        yield "wait", waits.values()


LATENCY = Bench(
    "latency",
    "how long a record waits for its acknowledgement, and for its consumer",
    measure,
    (
        {"per_s": 100, "in_flight": "many"},
        {"per_s": 500, "in_flight": "many"},
        {"per_s": 2_000, "in_flight": "many"},
        {"per_s": 100, "in_flight": "one"},
        {"per_s": 500, "in_flight": "one"},
        {"per_s": 2_000, "in_flight": "one"},
    ),
)
