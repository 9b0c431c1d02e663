"""An in-memory network: hosts by name, listeners by port, streams, and the faults of all of them.

Everything happens in one trio run and in a fixed order, so a run can be repeated. Faults are loud
(`kill`, `separate`, `reset`, `unplug`: connections break) or silent (`block`, `isolate`: nothing
arrives, and nobody is told). Times are virtual, and asked of what is handed in.
Must never know: Kafka's protocol, brokers, clients.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, TypeVar

import trio

from client.environment import NetworkListener
from simulation.stream import Link, MemoryStream, at_once, stream_pair

if TYPE_CHECKING:
    from collections.abc import Callable, Container

T = TypeVar("T")

PIPE_BYTES = 256 * 1024
"""Bytes that one direction of a stream holds, sent and not read, before its sender waits."""

BACKLOG = 128
"""Connections that wait to be accepted before further ones are refused."""

FIRST_FREE_PORT = 30_000
LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})


class MemoryNetwork:
    """All hosts and what listens on them; ask `host(name)` for one host's view of it.

    Unlike TCP, it does not acknowledge: the room that a reader makes is seen by the sender at
    once, even where nothing else arrives from the reader's host.
    """

    def __init__(self, *, pipe_bytes: int = PIPE_BYTES) -> None:
        self._pipe_bytes = pipe_bytes
        self._listeners: dict[tuple[str, int], MemoryListener] = {}
        self._streams: dict[MemoryStream, tuple[str, str]] = {}  # whose end it is, and its peer
        self._links: dict[tuple[str, str], Link] = {}
        # How many faults want it so: the end of one must not end the others.
        self._separated: Counter[frozenset[str]] = Counter()
        self._blocked: Counter[tuple[str, str]] = Counter()
        self._isolated: Counter[str] = Counter()
        self._unplugged: Counter[str] = Counter()
        self._next_port = FIRST_FREE_PORT
        self._latency_s: Callable[[], float] = at_once

    def host(self, name: str) -> MemoryHost:
        """Return the network as the host `name` sees it; loopback names mean that host."""
        return MemoryHost(self, name)

    def set_link(
        self,
        source: str,
        target: str,
        latency_s: Callable[[], float] = at_once,
        bytes_per_s: float | None = None,
    ) -> None:
        """Say how long what `source` sends to `target` takes from now on; not the way back.

        `latency_s` is asked for everything that is sent, also for each half of a connect; bytes
        of one connection stay in order. All connections share `bytes_per_s`; None is no limit.
        """
        assert bytes_per_s is None or bytes_per_s > 0, "block a link that lets nothing through"
        self.link(source, target).shape(latency_s, bytes_per_s)

    def set_latency(self, latency_s: Callable[[], float]) -> None:
        """Say how long every link takes from now on, those of hosts that appear later as well."""
        self._latency_s = latency_s
        self.restore_links()

    def restore_links(self) -> None:
        """Let all links be as `set_latency` says, else quick, for what is sent from now on."""
        for link in self._links.values():
            link.shape(self._latency_s, None)

    # Loud faults.

    def kill(self, host: str) -> None:
        """Cut every listener and every connection of a host; it may listen again afterwards.

        Its own ends break at once. Its peers learn of it when a reset arrives: after the link's
        latency, and where the link is blocked only once it no longer is. What would have arrived
        after the reset is lost.
        """
        for (owner, _), listener in list(self._listeners.items()):
            if owner == host:
                listener.cut()
        for stream, (owner, _) in list(self._streams.items()):
            if owner == host:
                stream.reset()

    def separate(self, one: str, other: str) -> None:
        """Break the connections of two hosts and let them have no new ones; neither seems dead."""
        self._separated[frozenset({one, other})] += 1
        for stream, ends in list(self._streams.items()):
            if ends == (one, other):
                stream.cut()

    def reunite(self, one: str, other: str) -> None:
        """Let two hosts have connections again, unless something else keeps them apart."""
        _take_one(self._separated, frozenset({one, other}))

    def reset(self, host: str) -> None:
        """Break all connections of a host, at once and at both ends; new ones are fine."""
        for stream, (owner, _) in list(self._streams.items()):
            if owner == host:
                stream.cut()

    def unplug(self, host: str) -> None:
        """Break all connections of a host and let it have no new ones, but with itself."""
        self._unplugged[host] += 1
        self.reset(host)

    def plug_in(self, host: str) -> None:
        """Let an unplugged host have connections again."""
        _take_one(self._unplugged, host)

    # Silent faults.

    def block(self, source: str, target: str) -> None:
        """Let nothing arrive that `source` sends to `target` from now on; the way back is open.

        Nobody is told, as where packets are dropped: connections stay, connects hang, the sender
        waits once a stream is full. What was already under way arrives.
        """
        self._blocked[source, target] += 1
        self._apply_blocks()

    def unblock(self, source: str, target: str) -> None:
        """Let what was held back set off now, in order, as TCP sends it again."""
        _take_one(self._blocked, (source, target))
        self._apply_blocks()

    def isolate(self, host: str) -> None:
        """Block both directions between a host and every other one, also those to come."""
        self._isolated[host] += 1
        self._apply_blocks()

    def rejoin_host(self, host: str) -> None:
        """End a host's isolation; what else was blocked stays so."""
        _take_one(self._isolated, host)
        self._apply_blocks()

    def rejoin(self) -> None:
        """Let all hosts reach one another again: none is separate, unplugged, blocked or isolated.

        Links keep their latency, which is how the network is and no fault: see `restore_links`.
        """
        self._separated.clear()
        self._blocked.clear()
        self._isolated.clear()
        self._unplugged.clear()
        self._apply_blocks()

    def _apply_blocks(self) -> None:
        for (source, target), link in self._links.items():
            link.set_blocked(self._is_blocked(source, target))

    def _is_blocked(self, source: str, target: str) -> bool:
        return _is_cut(self._isolated, source, target) or (source, target) in self._blocked

    # For the hosts.

    def link(self, source: str, target: str) -> Link:
        """Give one direction between two hosts."""
        link = self._links.get((source, target))
        if link is None:
            link = self._links[source, target] = Link()
            link.shape(self._latency_s, None)
            link.set_blocked(self._is_blocked(source, target))
        return link

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

    def demand_route(self, source: str, host: str) -> None:
        """Raises: OSError where two hosts are separate, or one of them is unplugged."""
        separated = frozenset({source, host}) in self._separated
        if separated or _is_cut(self._unplugged, source, host):
            raise OSError(f"{host} cannot be reached from {source}")

    def connect(self, source: str, host: str, port: int) -> MemoryStream:
        """Connect `source` to a listener, in no time whatever the links' latency is.

        Raises: ConnectionRefusedError, OSError (separated, unplugged).
        """
        self.demand_route(source, host)
        listener = self._listeners.get((host, port))
        if listener is None:
            raise ConnectionRefusedError(f"nothing listens on {host}:{port}")
        near, far = stream_pair(
            self.link(source, host),
            self.link(host, source),
            pipe_bytes=self._pipe_bytes,
            closed=self._forget,
        )
        if not listener.offer(far):
            raise ConnectionRefusedError(f"{host}:{port} accepts no more connections")
        self._streams[near], self._streams[far] = (source, host), (host, source)
        return near

    def _forget(self, stream: MemoryStream) -> None:
        self._streams.pop(stream, None)


def _take_one(wanted: Counter[T], key: T) -> None:
    """Count one fault less; none is left where all was mended at once meanwhile."""
    wanted[key] -= 1
    if wanted[key] <= 0:
        del wanted[key]


def _is_cut(from_all: Container[str], source: str, target: str) -> bool:
    """Say whether one of two hosts is cut off from all; no host is from itself."""
    return source != target and (source in from_all or target in from_all)


class MemoryHost:
    """One host's view of a memory network (implements `client.environment.Network`)."""

    def __init__(self, network: MemoryNetwork, name: str) -> None:
        self._network = network
        self.name = name

    async def connect(self, host: str, port: int) -> MemoryStream:
        """Connect to a host by its name, which takes a round trip. Raises: OSError.

        The host need not do anything: it has the connection half a round trip earlier.
        """
        await trio.lowlevel.checkpoint()
        if host in LOOPBACK:
            host = self.name
        self._network.demand_route(self.name, host)
        await self._network.link(self.name, host).cross()
        back = self._network.link(host, self.name)
        try:
            stream = self._network.connect(self.name, host, port)
        except ConnectionRefusedError:
            await back.cross()
            raise
        try:
            await back.cross()
        except trio.Cancelled:
            stream.reset()
            raise
        return stream

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
                self._queue.receive_nowait().reset()
            except (trio.WouldBlock, trio.EndOfChannel):
                break
        self._offered.close()
