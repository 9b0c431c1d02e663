"""How long nothing is acknowledged when the leader is killed, and how fast a follower catches up.

`gap`: librdkafka with its defaults and acks=all sends 200 records a second to one partition; its
leader is killed with SIGKILL. The longest time between two acknowledgements is the gap.
`catch up`: a follower is killed, so much is produced, and it is started again.
Both wait until all replicas are in sync again.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise

import trio

from bench.bench import Bench, Measured
from bench.figure import Case
from bench.replay import ALL, make_batch, produce
from bench.systems import System
from client import Admin
from protocol.compression import Compression

PER_S = 200
CALM_S = 2.0
LOAD_S = 25.0
MEGABYTES = 500
VALUE = b"x" * 1_000


class Load:
    """Records sent all the time through librdkafka on a thread, and when each was acknowledged."""

    def __init__(self, bootstrap: str, topic: str) -> None:
        from confluent_kafka import Producer  # noqa: PLC0415 - an optional part

        self.acknowledged_at: list[float] = []
        self.failures: list[str] = []
        self.sent = 0
        self._topic = topic
        self._producer = Producer({"bootstrap.servers": bootstrap, "acks": "all", "log_level": 0})
        self._ends = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def finish(self) -> None:
        """Send no more, and wait for what is on its way."""
        self._ends.set()
        self._thread.join()

    def longest_gap_s(self) -> float:
        """Give the longest time between two acknowledgements."""
        return max(after - before for before, after in pairwise(self.acknowledged_at))

    def _run(self) -> None:
        began_at = time.monotonic()
        while not self._ends.is_set():
            self._producer.produce(self._topic, VALUE, partition=0, on_delivery=self._note)
            self.sent += 1
            due_at = began_at + self.sent / PER_S
            while (left_s := due_at - time.monotonic()) > 0:
                self._producer.poll(left_s)
        self._producer.flush()

    def _note(self, error: object, _message: object) -> None:
        if error is None:
            self.acknowledged_at.append(time.monotonic())
        else:
            self.failures.append(str(error))


@contextmanager
def load(bootstrap: str, topic: str) -> Iterator[Load]:
    """Have records sent, until the end."""
    sending = Load(bootstrap, topic)
    try:
        yield sending
    finally:
        sending.finish()


def measure_gap(system: System, _case: Case) -> Measured:
    """Kill the leader under load."""
    topic = f"gap-{time.time_ns()}"
    with system.topic(topic, partitions=1):
        leader, _ = trio.run(_replicas, system.bootstrap, topic)
        with load(system.bootstrap, topic) as sending:
            time.sleep(CALM_S)
            system.cluster.kill(leader)
            killed_at = time.monotonic()
            while not any(when > killed_at + CALM_S for when in sending.acknowledged_at[-1:]):
                assert time.monotonic() < killed_at + LOAD_S * 4, "no acknowledgement any more"
                time.sleep(0.05)
        assert not sending.failures, sending.failures[:3]
        assert len(sending.acknowledged_at) == sending.sent
        system.cluster.start(leader)
        system.wait_in_sync(topic, partitions=1)
        yield "leader killed", {"gap_s": sending.longest_gap_s()}


def measure_catch_up(system: System, _case: Case) -> Measured:
    """Start a follower again that has missed so much."""
    topic = f"catch-up-{time.time_ns()}"
    batch = make_batch(record_bytes=1_000, batch_bytes=65_536, compression=Compression.NONE)
    batches = int(MEGABYTES * 1e6 / batch.size_bytes)
    with system.topic(topic, partitions=1) as leaders:
        _, followers = trio.run(_replicas, system.bootstrap, topic)
        system.cluster.kill(followers[0])
        produce(leaders, topic, batch, batches=batches - 1, acks=1, in_flight=5)
        produce(leaders, topic, batch, batches=1, acks=ALL, in_flight=1)
        began_at = time.monotonic()
        system.cluster.start(followers[0])
        listens_s = time.monotonic() - began_at
        system.wait_in_sync(topic, partitions=1)
        in_sync_s = time.monotonic() - began_at
        yield (
            "follower back",
            {
                "listens_s": listens_s,
                "in_sync_s": in_sync_s,
                "mb_per_s": batches * batch.size_bytes / 1e6 / (in_sync_s - listens_s),
            },
        )


async def _replicas(bootstrap: str, topic: str) -> tuple[str, list[str]]:
    """Name the leader of a topic's only partition, and its followers."""
    async with Admin(bootstrap) as admin:
        found = (await admin.describe_topics([topic]))[topic].partitions[0]
    followers = [str(each) for each in found.replicas if each != found.leader_id]
    return str(found.leader_id), followers


GAP = Bench(
    "failover",
    "how long nothing is acknowledged when a leader is killed",
    measure_gap,
    brokers=(3,),
)

CATCH_UP = Bench(
    "catch-up",
    "how fast a follower that was killed catches up",
    measure_catch_up,
    brokers=(3,),
    rounds=2,
)
