"""Requests sent without a client: encoded beforehand, many on their way, each answer timed.

A load generator of one process must cost less than what it measures.
"""

from __future__ import annotations

import time
from collections import deque
from dataclasses import dataclass, field
from typing import Any, Final

import trio

from protocol.api import API
from protocol.frame_reader import FrameReader
from protocol.framing import decode_response, encode_request
from protocol.message import layout_of

_CPUCLOCK_SCHED: Final = 2
"""What of a process is counted, in the number of its clock: time in which it ran (Linux)."""


def frame_of(request: object, *, version: int) -> bytes:
    """Encode a request once, to be sent many times."""
    chunks = encode_request(request, api_version=version, correlation_id=1, client_id="bench")
    return b"".join(bytes(chunk) for chunk in chunks)


def answer_of(frame: memoryview, request: object, *, version: int) -> Any:
    """Decode the answer to a request."""
    api = API[layout_of(type(request)).key or 0]
    return decode_response(api.response, version, frame)[1]


@dataclass
class RawConnection:
    """One stream: requests go out as they are, answers come in the same order."""

    stream: trio.SocketStream
    _frames: FrameReader = field(default_factory=lambda: FrameReader(2**27))

    @classmethod
    async def open(cls, address: str) -> RawConnection:
        host, _, port = address.rpartition(":")
        return cls(await trio.open_tcp_stream(host, int(port)))

    async def ask(self, request: Any, *, version: int) -> Any:
        """Send one request and decode its answer."""
        await self.stream.send_all(frame_of(request, version=version))
        (frame,) = await self.receive()
        return answer_of(frame, request, version=version)

    async def receive(self) -> list[memoryview]:
        """Wait for one answer at least; give all that have come."""
        answers: list[memoryview] = []
        while not answers:
            data = await self.stream.receive_some(2**18)
            if not data:
                raise ConnectionError("the broker closed the connection")
            self._frames.feed(data)
            while (frame := self._frames.next_frame()) is not None:
                answers.append(frame)
        return answers


async def keep_in_flight(
    connection: RawConnection,
    frames: list[bytes],
    *,
    in_flight: int,
    until: float,
    latencies: list[float],
) -> None:
    """Keep so many requests on their way until a time; note how long each took, in seconds."""
    sent: deque[float] = deque()
    position = 0
    while True:
        batch = []
        now = trio.current_time()
        while now < until and len(sent) < in_flight:
            batch.append(frames[position % len(frames)])
            position += 1
            sent.append(now)
        if batch:
            await connection.stream.send_all(b"".join(batch))
        if not sent:
            return
        answers = await connection.receive()
        arrived = trio.current_time()
        latencies += [arrived - sent.popleft() for _ in answers]


def cpu_seconds(pids: list[int]) -> float:
    """User and system time that processes have taken so far, by their own clocks (Linux)."""
    return sum(time.clock_gettime((~pid << 3) | _CPUCLOCK_SCHED) for pid in pids)


def percentile(values: list[float], share: float) -> float:
    """Give the value below which this share of all lies."""
    return sorted(values)[min(int(len(values) * share), len(values) - 1)]
