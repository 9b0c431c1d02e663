"""How long from the command until the first record is acknowledged by a new cluster.

Three of ours are started by `ottla up --detach`, whose own start is counted, one by
`ottla broker --coordinator`. Apache Kafka's directories were
formatted before; its nodes are started at once. One record, acks=all, to a topic that is made for
it with as many replicas as the cluster allows, by our client.
"""

from __future__ import annotations

import time

import trio

from bench.bench import Bench, Measured, When
from bench.figure import Case
from bench.systems import System
from client import Producer

TOPIC = "first"


def measure(system: System, _case: Case) -> Measured:
    """Start it and send one record."""
    began_at = time.monotonic()
    system.cluster.up()
    up_s = time.monotonic() - began_at
    with system.topic(TOPIC, partitions=1):
        trio.run(_produce_one, system.bootstrap)
        acknowledged_s = time.monotonic() - began_at
    yield "start", {"serves_s": up_s, "first_ack_s": acknowledged_s}


async def _produce_one(bootstrap: str) -> None:
    async with Producer(bootstrap) as producer:
        await producer.send(TOPIC, b"record")


START = Bench(
    "start", "from the command to the first acknowledged record", measure, rounds=3, when=When.NEW
)
