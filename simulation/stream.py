"""The streams of an in-memory network: what is sent crosses a link, and takes its time for it.

A link is one direction between two hosts. It decides when what is sent now will arrive, and may
hold everything back; a reader waits for that time by itself, so nothing runs in the background.
Must never know: host names, listeners, Kafka's protocol.
"""

from __future__ import annotations

from collections import deque
from contextlib import contextmanager
from functools import partial
from math import inf
from operator import index
from typing import TYPE_CHECKING

import trio
from msgspec import Struct

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


def at_once() -> float:
    """Take no time: the latency of a link that was told nothing else."""
    return 0.0


class Link:
    """One direction between two hosts; all their connections share it.

    `latency_s` is asked once for whatever is sent. `bytes_per_s` is shared by what is sent at the
    same time; None is no limit.
    """

    def __init__(self) -> None:
        self.latency_s: Callable[[], float] = at_once
        self._bytes_per_s: float | None = None
        self._free_at = 0.0
        self._blocked = False
        self._held: list[tuple[int, Callable[[float], None]]] = []

    def shape(self, latency_s: Callable[[], float], bytes_per_s: float | None) -> None:
        """Change how long it takes; what is under way is not affected."""
        self.latency_s, self._bytes_per_s = latency_s, bytes_per_s
        self._free_at = 0.0

    def carry(self, settle: Callable[[float], None], *, size: int = 0) -> None:
        """Send `size` bytes; `settle` is told when they arrive, as soon as that is known.

        That is at once, or where the link is blocked at the moment at which it no longer is.
        """
        if self._blocked:
            self._held.append((size, settle))
        else:
            settle(self._arrival(size))

    async def cross(self) -> None:
        """Wait as long as something without a size takes."""
        arrivals: list[float] = []
        settled = trio.Event()

        def settle(arrives_at: float) -> None:
            arrivals.append(arrives_at)
            settled.set()

        self.carry(settle)
        if not arrivals:
            await settled.wait()
        if arrivals[0] > trio.current_time():
            await trio.sleep_until(arrivals[0])

    def set_blocked(self, blocked: bool, /) -> None:
        """Hold back what is sent from now on, or let all that was held set off now."""
        self._blocked = blocked
        if not blocked:
            held, self._held = self._held, []
            for size, settle in held:
                settle(self._arrival(size))

    def _arrival(self, size: int) -> float:
        departs_at = trio.current_time()
        if self._bytes_per_s is not None:
            departs_at = max(departs_at, self._free_at) + size / self._bytes_per_s
            self._free_at = departs_at
        return departs_at + self.latency_s()


class _Chunk(Struct):
    data: bytes
    arrives_at: float = inf


class _Pipe:
    """One direction of a stream: bytes in order, at most `size` of them not yet read.

    The sender's end finishes it, and that is news for its peer, which arrives like bytes do: the
    reader then sees the end, and the peer's writer, in the pipe `back`, that nobody will read.
    """

    def __init__(self, link: Link, size: int) -> None:
        self.back = self  # until `stream_pair` has made the other one
        self._link = link
        self._size = size
        self._chunks: deque[_Chunk] = deque()
        self._unread = 0
        self._last_arrival = 0.0
        self.finished = False
        self.finish_arrives_at = inf
        self._is_reset = False
        self._broken = False
        self.readable = trio.lowlevel.ParkingLot()
        self.writable = trio.lowlevel.ParkingLot()

    async def write(self, data: bytes | bytearray | memoryview) -> None:
        """Write all of `data`, waiting for room. Raises: trio.BrokenResourceError."""
        rest = bytes(data)
        while rest:
            await self.wait_room()
            room = self._size - self._unread
            chunk, rest = _Chunk(rest[:room]), rest[room:]
            self._unread += len(chunk.data)
            self._chunks.append(chunk)
            self._link.carry(partial(self._settle, chunk), size=len(chunk.data))

    async def wait_room(self) -> None:
        """Wait for room. Raises: trio.BrokenResourceError when nobody will read any more."""
        while True:
            news_at = self.back.finish_arrives_at
            if self._broken or self.finished or news_at <= trio.current_time():
                raise trio.BrokenResourceError("connection reset by peer")
            if self._unread < self._size:
                return
            await _park(self.writable, until=news_at)

    async def read(self, size: int | None) -> bytes:
        """Read up to `size` bytes, b"" at the end. Raises: trio.BrokenResourceError."""
        while True:
            now = trio.current_time()
            reset_at = self.finish_arrives_at if self._is_reset else inf
            if self._broken or self.back.finished or reset_at <= now:
                raise trio.BrokenResourceError("connection reset by peer")
            next_at = self._chunks[0].arrives_at if self._chunks else self.finish_arrives_at
            if next_at <= now:
                return self._take(size) if self._chunks else b""
            await _park(self.readable, until=min(next_at, reset_at))

    def finish(self, *, reset: bool) -> None:
        """Write no more: what was sent still arrives, unless a reset arrives before it."""
        if self.finished:
            return
        self.finished, self._is_reset = True, reset
        self.writable.unpark_all()
        self.back.readable.unpark_all()
        self._link.carry(self._settle_finish)

    def shatter(self) -> None:
        """Break it at once and at both of its ends; what was not read is lost."""
        self._broken = True
        self._chunks.clear()
        self.readable.unpark_all()
        self.writable.unpark_all()

    def _settle(self, chunk: _Chunk, arrives_at: float) -> None:
        chunk.arrives_at = self._last_arrival = max(self._last_arrival, arrives_at)
        self.readable.unpark_all()

    def _settle_finish(self, arrives_at: float) -> None:
        last_arrival = 0.0 if self._is_reset else self._last_arrival
        self.finish_arrives_at = max(last_arrival, arrives_at)
        self.readable.unpark_all()
        self.back.writable.unpark_all()

    def _take(self, size: int | None) -> bytes:
        chunk = self._chunks[0]
        if size is not None and len(chunk.data) > size:
            taken, chunk.data = chunk.data[:size], chunk.data[size:]
        else:
            taken = self._chunks.popleft().data
        self._unread -= len(taken)
        self.writable.unpark_all()
        return taken


async def _park(lot: trio.lowlevel.ParkingLot, *, until: float) -> None:
    """Wait to be woken, or until then where that is known."""
    if until == inf:
        await lot.park()
    else:
        with trio.move_on_at(until):
            await lot.park()


class _Turn(Struct):
    taken: bool = False


class MemoryStream(trio.abc.Stream):
    """One end of a connection."""

    def __init__(
        self, incoming: _Pipe, outgoing: _Pipe, *, closed: Callable[[MemoryStream], None]
    ) -> None:
        self._incoming = incoming
        self._outgoing = outgoing
        self._on_closed = closed
        self._closed = False
        self._senders = _Turn()
        self._receivers = _Turn()

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        """Send all bytes, waiting while the peer does not read."""
        with self._alone(self._senders):
            await trio.lowlevel.checkpoint()
            self._check_open()
            await self._outgoing.write(data)

    async def wait_send_all_might_not_block(self) -> None:
        """Wait until there is room for at least one byte."""
        with self._alone(self._senders):
            await trio.lowlevel.checkpoint()
            self._check_open()
            await self._outgoing.wait_room()

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        """Receive at least one byte, b"" once the peer has closed."""
        if max_bytes is not None and index(max_bytes) < 1:
            raise ValueError("max_bytes must be at least 1")
        with self._alone(self._receivers):
            await trio.lowlevel.checkpoint()
            self._check_open()
            return await self._incoming.read(max_bytes)

    async def aclose(self) -> None:
        """Close both directions; the peer still receives what was sent."""
        if not self._closed:
            self._closed = True
            self._outgoing.finish(reset=False)
            self._on_closed(self)
        await trio.lowlevel.checkpoint()

    def reset(self) -> None:
        """Break this end at once, and the peer's as soon as it learns of it.

        The peer loses what it has not read by then.
        """
        self._outgoing.finish(reset=True)
        self._on_closed(self)

    def cut(self) -> None:
        """Break both ends at once; bytes on their way are lost."""
        self._outgoing.shatter()
        self._incoming.shatter()
        self._on_closed(self)

    @contextmanager
    def _alone(self, turn: _Turn) -> Iterator[None]:
        """Admit one task to a direction; what breaks after our own close is called closed."""
        if turn.taken:
            raise trio.BusyResourceError("another task uses this direction of the stream")
        turn.taken = True
        try:
            yield
        except trio.BrokenResourceError:
            self._check_open()
            raise
        finally:
            turn.taken = False

    def _check_open(self) -> None:
        if self._closed:
            raise trio.ClosedResourceError("this end of the connection was closed")


def stream_pair(
    forth: Link, back: Link, *, pipe_bytes: int, closed: Callable[[MemoryStream], None]
) -> tuple[MemoryStream, MemoryStream]:
    """Make a connection, whose first end sends over `forth`; `closed` is told of each end's end."""
    there, here = _Pipe(forth, pipe_bytes), _Pipe(back, pipe_bytes)
    there.back, here.back = here, there
    return MemoryStream(here, there, closed=closed), MemoryStream(there, here, closed=closed)
