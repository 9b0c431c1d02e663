"""How long a record waits for its acknowledgement at a fixed rate, beside Apache Kafka.

    python -m bench.latency [--rates 100,500,2000] [--brokers 1,3] [--acks all] [--seconds 20]
        [--rounds 3] [--warm-up 180] [--one-in-flight] [--json FILE] [--only ottla]

Records of 1 KB, each in a request of its own, over one connection to the leader of a topic with one
partition. They are sent when their time has come, whatever is on its way, and their wait counts
from that time; with `--one-in-flight` each is sent once the one before it is acknowledged, and its
wait counts from when it was sent. Rounds of both systems are interleaved. Apache Kafka never
fsyncs, we do before we acknowledge.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path

import trio

from bench.raw_requests import frame_of, percentile
from bench.replay import PRODUCE_VERSION, Wire, leaders_of, make_batch
from bench.throughput import (
    ALL,
    OURS,
    THEIRS,
    acks_of,
    delete_topic,
    make_topic,
    numbers_of,
    start,
)
from protocol.api.produce import PartitionProduceData, ProduceRequest, TopicProduceData
from protocol.compression import Compression
from tests.support.under_test import UnderTest

RECORD_BYTES = 1_000
TIMEOUT_MS = 60_000
SHARES = (0.5, 0.99, 0.999)
WARM_UP_RATE = 2_000


@dataclass(frozen=True)
class Waits:
    """What one round has shown, in milliseconds."""

    system: str
    brokers: int
    acks: int
    rate: int
    p50_ms: float
    p99_ms: float
    p999_ms: float
    late_ms: float
    """How much later than planned the last record was sent: the rate was too high for it."""


def at_a_rate(wire: Wire, frame: bytes, *, rate: int, seconds: float) -> tuple[list[float], float]:
    """Send at fixed times. Returns: all waits, and how late the last was sent, in seconds."""
    count = int(rate * seconds)
    waits: list[float] = []
    began_at = time.perf_counter() + 0.01

    def receive() -> None:
        for number in range(count):
            wire.receive()
            waits.append(time.perf_counter() - began_at - number / rate)

    receiver = threading.Thread(target=receive)
    receiver.start()
    late_s = 0.0
    for number in range(count):
        due_at = began_at + number / rate
        if (left_s := due_at - time.perf_counter()) > 0:
            time.sleep(left_s)
        wire.send(frame)
        late_s = time.perf_counter() - due_at
    receiver.join()
    assert len(waits) == count, f"{len(waits)} answers to {count} requests"
    return waits, late_s


def one_in_flight(
    wire: Wire, frame: bytes, *, rate: int, seconds: float
) -> tuple[list[float], float]:
    """Send each once the one before it is acknowledged, not before its time."""
    waits: list[float] = []
    began_at = time.perf_counter()
    late_s = 0.0
    for number in range(int(rate * seconds)):
        due_at = began_at + number / rate
        if (left_s := due_at - time.perf_counter()) > 0:
            time.sleep(left_s)
        sent_at = time.perf_counter()
        late_s = sent_at - due_at
        wire.send(frame)
        wire.receive()
        waits.append(time.perf_counter() - sent_at)
    return waits, late_s


Send = Callable[..., tuple[list[float], float]]


def measure(
    cluster: UnderTest, *, brokers: int, acks: int, rate: int, seconds: float, send: Send
) -> tuple[list[float], float]:
    """Produce to a new topic for so long."""
    topic = f"bench-{time.time_ns()}"
    trio.run(make_topic, cluster.bootstrap, topic, 1, min(3, brokers))
    try:
        (address,) = leaders_of(cluster.bootstrap, topic).values()
        batch = make_batch(record_bytes=RECORD_BYTES, batch_bytes=0, compression=Compression.NONE)
        request = ProduceRequest(
            acks=acks,
            timeout_ms=TIMEOUT_MS,
            topic_data=[TopicProduceData(topic, [PartitionProduceData(0, batch.data)])],
        )
        with Wire(address) as wire:
            answer = wire.ask(request, version=PRODUCE_VERSION)
            (outcome,) = answer.responses[0].partition_responses
            assert outcome.error_code == 0, f"error {outcome.error_code}"
            return send(
                wire, frame_of(request, version=PRODUCE_VERSION), rate=rate, seconds=seconds
            )
    finally:
        trio.run(delete_topic, cluster.bootstrap, topic)


def report(found: list[Waits]) -> None:
    """Print medians over the rounds, and ours as ratios of theirs."""
    medians: dict[str, tuple[float, float, float]] = {}
    for system in dict.fromkeys(each.system for each in found):
        of = [each for each in found if each.system == system]
        p50, p99, p999 = (
            statistics.median(getattr(each, name) for each in of)
            for name in ("p50_ms", "p99_ms", "p999_ms")
        )
        medians[system] = (p50, p99, p999)
        acks = "all" if of[0].acks == ALL else of[0].acks
        print(
            f"{of[0].brokers} x  acks {acks}  {of[0].rate:>5}/s  {system:<6}"
            f"  p50 {p50:6.2f}  p99 {p99:6.2f}  p99.9 {p999:7.2f} ms"
            f"  (p99 {min(e.p99_ms for e in of):.2f} to {max(e.p99_ms for e in of):.2f})"
            f"  late {max(e.late_ms for e in of):.1f}"
        )
    if {OURS, THEIRS} <= medians.keys():
        ratios = [a / b for a, b in zip(medians[OURS], medians[THEIRS], strict=True)]
        print("  ratio  p50 {:.2f}  p99 {:.2f}  p99.9 {:.2f}".format(*ratios), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--rates", type=numbers_of, default=[100, 500, 2_000])
    parser.add_argument("--brokers", type=numbers_of, default=[1, 3])
    parser.add_argument("--acks", type=acks_of, default=[ALL])
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--warm-up", type=float, default=180.0, help="seconds")
    parser.add_argument("--one-in-flight", action="store_true")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--only", choices=(OURS, THEIRS))
    arguments = parser.parse_args()
    send = one_in_flight if arguments.one_in_flight else at_a_rate
    systems = [arguments.only] if arguments.only else [OURS, THEIRS]
    measured: list[Waits] = []
    for brokers in arguments.brokers:
        with ExitStack() as stack:
            clusters = {name: start(name, brokers, stack) for name in systems}
            if THEIRS in clusters:
                measure(
                    clusters[THEIRS],
                    brokers=brokers,
                    acks=arguments.acks[0],
                    rate=WARM_UP_RATE,
                    seconds=arguments.warm_up,
                    send=send,
                )
            for acks in arguments.acks:
                for rate in arguments.rates:
                    found = []
                    for number in range(arguments.rounds):
                        for name in systems if number % 2 == 0 else reversed(systems):
                            waits, late_s = measure(
                                clusters[name],
                                brokers=brokers,
                                acks=acks,
                                rate=rate,
                                seconds=arguments.seconds,
                                send=send,
                            )
                            shares = [percentile(waits, share) * 1e3 for share in SHARES]
                            found.append(Waits(name, brokers, acks, rate, *shares, late_s * 1e3))
                    report(found)
                    measured += found
    if arguments.json is not None:
        command = " ".join(["python -m bench.latency", *sys.argv[1:]])
        figures = [asdict(each) for each in measured]
        arguments.json.write_text(json.dumps({"command": command, "figures": figures}, indent=1))


if __name__ == "__main__":
    main()
