"""An in-memory network: hosts by name, listeners by port, streams with bounded buffers.

Everything happens in one trio run and in a fixed order, so a run can be repeated. `kill` takes one
host off the network as a power cut would: its peers see broken connections, new ones are refused.
What is sent arrives at once, or after the `latency_s` of its own; within a connection in order.
Must never know: Kafka's protocol, brokers, clients.
"""

from __future__ import annotations

from collections import deque
from contextlib import contextmanager
from dataclasses import dataclass
from operator import index
from typing import TYPE_CHECKING

import trio

from client.environment import NetworkListener

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

PIPE_BYTES = 256 * 1024
"""Bytes that one direction of a stream holds before its sender waits."""

BACKLOG = 128
"""Connections that wait to be accepted before further ones are refused."""

FIRST_FREE_PORT = 30_000
LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})


class MemoryNetwork:
    """All hosts and what listens on them; ask `host(name)` for one host's view of it."""

    def __init__(self, *, pipe_bytes: int = PIPE_BYTES) -> None:
        self.latency_s: Callable[[], float] | None = None
        """How long what is sent takes, asked for each piece (seconds); at once without it."""
        self._pipe_bytes = pipe_bytes
        self._listeners: dict[tuple[str, int], MemoryListener] = {}
        self._streams: dict[MemoryStream, tuple[str, str]] = {}  # whose end it is, and its peer
        self._separated: set[frozenset[str]] = set()
        self._next_port = FIRST_FREE_PORT

    def host(self, name: str) -> MemoryHost:
        """Return the network as the host `name` sees it; loopback names mean that host."""
        return MemoryHost(self, name)

    def kill(self, host: str) -> None:
        """Cut every listener and every connection of a host; it may listen again afterwards."""
        for (owner, _), listener in list(self._listeners.items()):
            if owner == host:
                listener.cut()
        for stream, (owner, _) in list(self._streams.items()):
            if owner == host:
                stream.cut()

    def reset(self, host: str) -> None:
        """Break every connection of a host; it goes on listening."""
        for stream, (owner, _) in list(self._streams.items()):
            if owner == host:
                stream.cut()

    def separate(self, one: str, other: str) -> None:
        """Break the connections of two hosts and let them have no new ones; neither seems dead."""
        self._separated.add(frozenset({one, other}))
        for stream, ends in list(self._streams.items()):
            if ends == (one, other):
                stream.cut()

    def rejoin(self) -> None:
        """Let all hosts reach one another again."""
        self._separated.clear()

    def listen(self, host: str, port: int) -> MemoryListener:
        """Listen on a port of a host, on a free one for 0. Raises: OSError when it is taken."""
        if port == 0:
            port = self._next_port
            self._next_port += 1
        address = (host, port)
        if address in self._listeners:
            raise OSError(f"{host}:{port} is in use")
        listener = MemoryListener(port, closed=lambda: self._listeners.pop(address, None))
        self._listeners[address] = listener
        return listener

    def connect(self, source: str, host: str, port: int) -> MemoryStream:
        """Connect `source` to a listener. Raises: ConnectionRefusedError, OSError (separated)."""
        if frozenset({source, host}) in self._separated:
            raise OSError(f"{host} cannot be reached from {source}")
        listener = self._listeners.get((host, port))
        if listener is None:
            raise ConnectionRefusedError(f"nothing listens on {host}:{port}")
        near, far = self._open_pair(source, host)
        if not listener.offer(far):
            near.cut()
            raise ConnectionRefusedError(f"{host}:{port} accepts no more connections")
        return near

    def _open_pair(self, source: str, host: str) -> tuple[MemoryStream, MemoryStream]:
        forth, back = (_Pipe(self._pipe_bytes, latency_s=self.latency_s) for _ in range(2))
        near = MemoryStream(back, forth, closed=self._forget)
        far = MemoryStream(forth, back, closed=self._forget)
        self._streams[near], self._streams[far] = (source, host), (host, source)
        return near, far

    def _forget(self, stream: MemoryStream) -> None:
        self._streams.pop(stream, None)


class MemoryHost:
    """One host's view of a memory network (implements `client.environment.Network`)."""

    def __init__(self, network: MemoryNetwork, name: str) -> None:
        self._network = network
        self.name = name

    async def connect(self, host: str, port: int) -> MemoryStream:
        """Connect to a host by its name. Raises: OSError."""
        await trio.lowlevel.checkpoint()
        return self._network.connect(self.name, self.name if host in LOOPBACK else host, port)

    async def listen(self, host: str, port: int) -> MemoryListener:  # noqa: ARG002 (a host has one address)
        """Listen on this host, whatever address was named. Raises: OSError."""
        await trio.lowlevel.checkpoint()
        return self._network.listen(self.name, port)


class MemoryListener(NetworkListener):
    """Accepts the connections of one port."""

    def __init__(self, port: int, *, closed: Callable[[], object]) -> None:
        self._port = port
        self._closed: Callable[[], object] | None = closed
        self._offered, self._queue = trio.open_memory_channel[MemoryStream](BACKLOG)

    @property
    def port(self) -> int:
        """The port it listens on."""
        return self._port

    def offer(self, stream: MemoryStream) -> bool:
        """Queue a new connection; False when the backlog is full."""
        try:
            self._offered.send_nowait(stream)
        except trio.WouldBlock:
            return False
        return True

    async def accept(self) -> MemoryStream:
        """Wait for the next connection. Raises: trio.ClosedResourceError once closed."""
        try:
            return await self._queue.receive()
        except trio.EndOfChannel:
            raise trio.ClosedResourceError("the listener was closed") from None

    async def aclose(self) -> None:
        """Stop listening; connections that nobody accepted are broken."""
        self.cut()
        await trio.lowlevel.checkpoint()

    def cut(self) -> None:
        """Stop listening at once."""
        if self._closed is None:
            return
        self._closed()
        self._closed = None
        while True:
            try:
                self._queue.receive_nowait().cut()
            except (trio.WouldBlock, trio.EndOfChannel):
                break
        self._offered.close()


class _Pipe:
    """One direction of a stream: bytes in order, at most `size` of them waiting."""

    def __init__(self, size: int, *, latency_s: Callable[[], float] | None = None) -> None:
        self._size = size
        self._latency_s = latency_s
        self._chunks: deque[bytes] = deque()
        self._arrivals: deque[float] = deque()
        """When each of the chunks can be read; with latency only."""
        self._held = 0
        self._ended = False
        self._broken = False
        self._readable = trio.lowlevel.ParkingLot()
        self._writable = trio.lowlevel.ParkingLot()

    async def write(self, data: bytes | bytearray | memoryview) -> None:
        """Write all of `data`, waiting for room. Raises: trio.BrokenResourceError."""
        rest = bytes(data)
        while rest:
            await self.wait_room()
            part, rest = rest[: self._size - self._held], rest[self._size - self._held :]
            self._chunks.append(part)
            if self._latency_s is not None:
                arrival = trio.current_time() + self._latency_s()
                self._arrivals.append(max([arrival, *list(self._arrivals)[-1:]]))
            self._held += len(part)
            self._readable.unpark_all()

    async def wait_room(self) -> None:
        """Wait for room. Raises: trio.BrokenResourceError when nobody will read any more."""
        while self._held >= self._size and not self._ended:
            await self._writable.park()
        if self._ended:
            raise trio.BrokenResourceError("connection reset by peer")

    async def read(self, size: int | None) -> bytes:
        """Read up to `size` bytes, b"" at the end. Raises: trio.BrokenResourceError."""
        while not self._chunks and not self._ended:
            await self._readable.park()
        if self._latency_s is not None:
            await self._wait_arrived()
        if self._broken:
            raise trio.BrokenResourceError("connection reset by peer")
        if not self._chunks:
            return b""
        chunk = self._chunks.popleft()
        if size is not None and len(chunk) > size:
            self._chunks.appendleft(chunk[size:])
            chunk = chunk[:size]
        elif self._arrivals:
            self._arrivals.popleft()
        self._held -= len(chunk)
        self._writable.unpark_all()
        return chunk

    async def _wait_arrived(self) -> None:
        while self._arrivals and self._arrivals[0] > trio.current_time():
            with trio.move_on_at(self._arrivals[0]):
                await self._readable.park()

    def end(self) -> None:
        """Take no more bytes; those held can still be read."""
        self._ended = True
        self._readable.unpark_all()
        self._writable.unpark_all()

    def shatter(self) -> None:
        """Break both ends and drop the bytes held."""
        self._broken = True
        self._chunks.clear()
        self._arrivals.clear()
        self.end()


@dataclass(slots=True)
class _Turn:
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
            self._outgoing.end()
            self._incoming.shatter()
            self._on_closed(self)
        await trio.lowlevel.checkpoint()

    def cut(self) -> None:
        """Break both directions at once, as a reset does; bytes on their way are lost."""
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
