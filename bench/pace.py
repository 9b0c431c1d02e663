"""Requests sent when their time has come, whatever is on its way, and how long each waited.

The wait counts from when a request should have been sent, so a server that stalls is charged for
all that it kept waiting ("coordinated omission" is what hides that).
"""

from __future__ import annotations

import struct
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass

from bench.raw_requests import frame_of, percentile
from bench.replay import (
    FETCH_VERSION,
    PRODUCE_VERSION,
    REPLY_BYTES_MAX,
    Batch,
    Leaders,
    Wire,
    produce_request,
)
from protocol.api.fetch import FetchPartition, FetchRequest, FetchTopic
from protocol.api.produce import ProduceRequest
from protocol.errors import ErrorCode

HEAD_START_S = 0.01
LED_WITHIN_S = 30.0
NOT_LED_YET = (ErrorCode.UNKNOWN_TOPIC_OR_PARTITION, ErrorCode.NOT_LEADER_OR_FOLLOWER)
BASE_OFFSET_AND_LENGTH = struct.Struct(">qi")


@dataclass(frozen=True)
class Waits:
    """How long the records of one round waited, in seconds."""

    acknowledged: list[float]
    late_s: float
    """How much later than planned the last request was sent: the rate was too high for this."""

    consumed: list[float]
    """From when it should have been sent until a consumer had it; empty where none read."""

    def values(self) -> dict[str, float]:
        """Give the shares that are reported, in milliseconds."""
        found = {"late_ms": self.late_s * 1e3}
        for name, waits in (("ack", self.acknowledged), ("e2e", self.consumed)):
            for title, share in (("p50", 0.5), ("p99", 0.99), ("p999", 0.999)):
                if waits:
                    found[f"{name}_{title}_ms"] = percentile(waits, share) * 1e3
        return found


class Lanes:
    """A connection to each leader, and the request to append one batch to each partition."""

    def __init__(
        self, topics: Mapping[str, Leaders], batch: Batch, *, acks: int, stack: ExitStack
    ) -> None:
        addresses = {address for leaders in topics.values() for address in leaders.values()}
        self.wires = {each: stack.enter_context(Wire(each)) for each in sorted(addresses)}
        self.frames = [
            self._try_out(self.wires[address], produce_request(topic, partition, batch, acks=acks))
            for topic, leaders in topics.items()
            for partition, address in leaders.items()
        ]

    def _try_out(self, wire: Wire, request: ProduceRequest) -> tuple[Wire, bytes]:
        """Append once; a leader may hear of its partition a moment after others show it."""
        until = time.monotonic() + LED_WITHIN_S
        while (code := self._code_of(wire, request)) in NOT_LED_YET and time.monotonic() < until:
            time.sleep(0.05)
        assert code == ErrorCode.NONE, f"error {code}"
        return wire, frame_of(request, version=PRODUCE_VERSION)

    def _code_of(self, wire: Wire, request: ProduceRequest) -> int:
        (outcome,) = wire.ask(request, version=PRODUCE_VERSION).responses[0].partition_responses
        return int(outcome.error_code)


def at_a_rate(lanes: Lanes, *, rate: int, seconds: float, due: list[float]) -> Waits:
    """Send to one partition after the other at fixed times; `due` takes those times."""
    count = int(rate * seconds)
    on_their_way: dict[Wire, deque[float]] = {wire: deque() for wire in lanes.wires.values()}
    waits: list[float] = []

    def receive(wire: Wire, answers: int) -> None:
        for _ in range(answers):
            wire.receive()
            waits.append(time.perf_counter() - on_their_way[wire].popleft())

    expected = dict.fromkeys(lanes.wires.values(), 0)
    for number in range(count):
        expected[lanes.frames[number % len(lanes.frames)][0]] += 1
    receivers = [threading.Thread(target=receive, args=each) for each in expected.items()]
    for each in receivers:
        each.start()
    began_at = time.perf_counter() + HEAD_START_S
    late_s = 0.0
    for number in range(count):
        due_at = began_at + number / rate
        if (left_s := due_at - time.perf_counter()) > 0:
            time.sleep(left_s)
        wire, frame = lanes.frames[number % len(lanes.frames)]
        due.append(due_at)
        on_their_way[wire].append(due_at)
        wire.send(frame)
        late_s = time.perf_counter() - due_at
    for each in receivers:
        each.join()
    assert len(waits) == count, f"{len(waits)} answers to {count} requests"
    return Waits(waits, late_s, [])


def one_in_flight(lanes: Lanes, *, rate: int, seconds: float, due: list[float]) -> Waits:
    """Send each once the one before it is acknowledged, not before its time, until time is up."""
    waits: list[float] = []
    began_at = time.perf_counter()
    late_s = 0.0
    for number in range(int(rate * seconds)):
        if time.perf_counter() > began_at + seconds:
            break
        due_at = began_at + number / rate
        if (left_s := due_at - time.perf_counter()) > 0:
            time.sleep(left_s)
        wire, frame = lanes.frames[number % len(lanes.frames)]
        sent_at = time.perf_counter()
        late_s = sent_at - due_at
        due.append(sent_at)
        wire.send(frame)
        wire.receive()
        waits.append(time.perf_counter() - sent_at)
    return Waits(waits, late_s, [])


Send = Callable[..., Waits]


class Reader:
    """A consumer of one partition on a thread, which notes when each record has come."""

    def __init__(self, address: tuple[str, int], topic: str, *, offset: int) -> None:
        self.arrived: list[float] = []
        self._wire = Wire(address)
        self._topic = topic
        self._first = self._next = offset
        self._failure: Exception | None = None
        self._ends = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def waits(self, due: Sequence[float], *, within_s: float) -> list[float]:
        """Wait until all that was sent has come. Returns: how long each took."""
        until = time.monotonic() + within_s
        while len(self.arrived) < len(due) and self._failure is None:
            assert time.monotonic() < until, f"{len(self.arrived)} of {len(due)} records came"
            time.sleep(0.01)
        if self._failure is not None:
            raise self._failure
        return [came - sent for came, sent in zip(self.arrived, due, strict=True)]

    def close(self) -> None:
        """End it."""
        self._ends.set()
        self._thread.join()
        self._wire.close()

    def _run(self) -> None:
        try:
            while not self._ends.is_set():
                self._fetch()
        except (AssertionError, OSError) as failure:
            self._failure = failure

    def _fetch(self) -> None:
        asked = FetchPartition(0, fetch_offset=self._next, partition_max_bytes=1 << 20)
        request = FetchRequest(
            max_wait_ms=500,
            min_bytes=1,
            max_bytes=REPLY_BYTES_MAX // 2,
            topics=[FetchTopic(self._topic, partitions=[asked])],
        )
        answer = self._wire.ask(request, version=FETCH_VERSION)
        now = time.perf_counter()
        (found,) = answer.responses[0].partitions
        assert found.error_code == 0, f"error {found.error_code}"
        records, position = found.records or b"", 0
        while position < len(records):
            offset, length = BASE_OFFSET_AND_LENGTH.unpack_from(records, position)
            assert offset == self._next, f"record {offset} came, {self._next} was expected"
            self.arrived.append(now)
            self._next += 1
            position += BASE_OFFSET_AND_LENGTH.size + length
