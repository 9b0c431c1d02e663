"""Proxies between the processes of a cluster, which cut them off from one another.

Each carries the connections that one process makes to another, in two directions. Cut silently,
bytes are held: connections stay, and those made meanwhile get no answer, as where packets are
dropped. Refused, connections break and none can be made, as where a firewall rejects them.
Must never know: what is said on a connection, how the processes were told to come here.
"""

from __future__ import annotations

from contextlib import suppress
from math import inf
from struct import pack
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Protocol

import trio

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

HOST: Final = "127.0.0.1"
HELD_BYTES: Final = 64 * 1024
"""Bytes of one direction of a connection that a proxy holds; beyond that its sender waits."""

CONNECTIONS_MAX: Final = 512
"""Connections that one proxy carries at a time; further ones are reset."""

PROBE_S: Final = 0.01
"""How often a process that has ended is looked for; meanwhile connections to it are refused."""


class Network(Protocol):
    """What a proxy needs of a network; every failure to connect is an OSError."""

    async def connect(self, host: str, port: int) -> trio.abc.Stream:
        """Connect to a listener. Raises: OSError."""

    async def listen(self, host: str, port: int) -> trio.abc.Listener[trio.abc.Stream]:
        """Listen on `port`. Raises: OSError."""


class Route(NamedTuple):
    """What `source` connects to, `port`, to get to `target` at `host:target_port`."""

    source: str
    target: str
    port: int
    host: str
    target_port: int


class Direction:
    """One direction of a proxy: open, or holding back all that comes."""

    def __init__(self) -> None:
        self._opened = trio.Event()
        self._opened.set()

    @property
    def is_open(self) -> bool:
        """Whether bytes pass."""
        return self._opened.is_set()

    def set_open(self, is_open: bool, /) -> None:
        """Let bytes pass, those held first; or hold them from now on."""
        if is_open:
            self._opened.set()
        elif self._opened.is_set():
            self._opened = trio.Event()

    async def wait_open(self) -> None:
        """Wait until bytes pass."""
        while not self._opened.is_set():
            await self._opened.wait()


class Proxy:
    """Carries the connections of one route."""

    def __init__(self, route: Route, network: Network) -> None:
        self.route = route
        self.there = Direction()
        """From the source to the target."""
        self.back = Direction()
        self._network = network
        self._refusing = False
        self._changed = trio.Event()
        self._listening: trio.CancelScope | None = None
        self._carried: set[trio.CancelScope] = set()

    @property
    def is_blocked(self) -> bool:
        """Whether at least one direction holds what comes; then no connection can be made."""
        return not (self.there.is_open and self.back.is_open)

    def set_refusing(self, refusing: bool, /) -> None:
        """Break all connections and refuse new ones, or let them be made again."""
        self._refusing = refusing
        if refusing:
            self._stop_listening()
            for scope in self._carried:
                scope.cancel()
        self.note_change()

    def note_change(self) -> None:
        """Look again at whether connections are to be refused."""
        self._changed.set()
        self._changed = trio.Event()

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Carry connections for ever; has started once the first may come. Raises: OSError."""
        listener = await self._network.listen(HOST, self.route.port)
        task_status.started()
        async with trio.open_nursery() as nursery:
            while True:
                async with listener:
                    await self._accept(listener, nursery)
                await self._wait_reachable()
                listener = await self._listen_again()

    async def _listen_again(self) -> trio.abc.Listener[trio.abc.Stream]:
        """Listen, as soon as nobody else tries our port, as those do who look for free ones."""
        while True:
            try:
                return await self._network.listen(HOST, self.route.port)
            except OSError:
                await trio.sleep(PROBE_S)

    async def _accept(
        self, listener: trio.abc.Listener[trio.abc.Stream], nursery: trio.Nursery
    ) -> None:
        with trio.CancelScope() as self._listening:
            while not self._refusing:
                try:
                    near = await listener.accept()
                except OSError:  # of our own process: it has too many files open
                    await trio.sleep(PROBE_S)
                    continue
                scope = trio.CancelScope()
                if len(self._carried) < CONNECTIONS_MAX:
                    self._carried.add(scope)
                else:
                    scope.cancel()
                nursery.start_soon(self._carry, near, scope)

    def _stop_listening(self) -> None:
        if self._listening is not None:
            self._listening.cancel()

    async def _wait_reachable(self) -> None:
        """Wait until the target listens, or nothing may be known of it; not while refusing."""
        while True:
            changed = self._changed
            if not self._refusing and (self.is_blocked or await self._listens()):
                return
            with trio.move_on_after(inf if self._refusing else PROBE_S):
                await changed.wait()

    async def _listens(self) -> bool:
        try:
            stream = await self._network.connect(self.route.host, self.route.target_port)
        except OSError:
            return False
        await trio.aclose_forcefully(stream)
        return True

    async def _carry(self, near: trio.abc.Stream, scope: trio.CancelScope) -> None:
        """Carry one connection until it is closed; where an end breaks, the other is reset."""
        far: trio.abc.Stream | None = None
        closed = False
        with scope:
            try:
                first = await self._wait_answerable(near)
                far = await self._network.connect(self.route.host, self.route.target_port)
                await far.send_all(first)
                await self._exchange(near, far)
                closed = True
            except* OSError:  # nobody is there
                self._stop_listening()
            except* trio.BrokenResourceError:
                pass  # the other end is told below
        self._carried.discard(scope)
        with trio.CancelScope(shield=True):
            for stream in filter(None, (near, far)):
                await (trio.aclose_forcefully if closed else _reset)(stream)

    async def _wait_answerable(self, near: trio.abc.Stream) -> bytes:
        """Wait until a connection can be made. Returns: what was sent meanwhile.

        Raises: trio.BrokenResourceError where whoever connects has given up: then it never was.
        """
        held = bytearray()

        async def hold() -> None:
            while len(held) < HELD_BYTES:
                data = await near.receive_some(HELD_BYTES - len(held))
                if not data:
                    raise trio.BrokenResourceError
                held.extend(data)

        while self.is_blocked:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(hold)
                await self.there.wait_open()
                await self.back.wait_open()
                nursery.cancel_scope.cancel()
        return bytes(held)

    async def _exchange(self, near: trio.abc.Stream, far: trio.abc.Stream) -> None:
        """Carry both directions; return when one end was closed. Raises: BrokenResourceError."""

        async def pump_to_end(*way: Any) -> None:
            await self._pump(*way)
            nursery.cancel_scope.cancel()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(pump_to_end, near, far, self.there, self.back)
            nursery.start_soon(pump_to_end, far, near, self.back, self.there)

    async def _pump(
        self, source: trio.abc.Stream, sink: trio.abc.Stream, ahead: Direction, behind: Direction
    ) -> None:
        """Carry the direction `ahead` until `source` is closed. Raises: trio.BrokenResourceError.

        That an end was closed or broke is news as well, which arrives only where bytes do.
        """
        while True:
            try:
                data = await source.receive_some(HELD_BYTES)
            except trio.BrokenResourceError:
                await ahead.wait_open()
                raise
            await ahead.wait_open()
            if not data:
                return
            try:
                await sink.send_all(data)
            except trio.BrokenResourceError:
                await behind.wait_open()
                raise


class Proxies:
    """All proxies of a cluster; processes go by their names."""

    def __init__(self, routes: Iterable[Route], network: Network) -> None:
        self._proxies = [Proxy(route, network) for route in routes]

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Carry for ever; has started once all proxies listen. Raises: OSError."""
        async with trio.open_nursery() as nursery:
            for proxy in self._proxies:
                await nursery.start(proxy.run)
            task_status.started()

    def block(self, source: str, target: str) -> None:
        """Silently hold all that `source` sends to `target`; the way back is open."""
        self._set_open(source, target, is_open=False)

    def unblock(self, source: str, target: str) -> None:
        """Let what was held arrive, in order, as TCP sends it again."""
        self._set_open(source, target, is_open=True)

    def refuse(self, one: str, other: str) -> None:
        """Break the connections between two processes and refuse new ones."""
        for proxy in self._between(one, other):
            proxy.set_refusing(True)

    def allow(self, one: str, other: str) -> None:
        """Let two processes connect to each other again."""
        for proxy in self._between(one, other):
            proxy.set_refusing(False)

    def heal(self) -> None:
        """Let everything through."""
        for proxy in self._proxies:
            proxy.there.set_open(True)
            proxy.back.set_open(True)
            proxy.set_refusing(False)

    def _set_open(self, source: str, target: str, *, is_open: bool) -> None:
        for proxy in self._between(source, target):
            goes_there = proxy.route.source == source
            (proxy.there if goes_there else proxy.back).set_open(is_open)
            proxy.note_change()

    def _between(self, one: str, other: str) -> Iterator[Proxy]:
        for proxy in self._proxies:
            if {proxy.route.source, proxy.route.target} == {one, other}:
                yield proxy


async def _reset(stream: trio.abc.Stream) -> None:
    """End a stream so that its peer sees it break."""
    with suppress(OSError, trio.ClosedResourceError):
        if isinstance(stream, trio.SocketStream):
            linger = pack("ii", 1, 0)
            stream.setsockopt(trio.socket.SOL_SOCKET, trio.socket.SO_LINGER, linger)
    await trio.aclose_forcefully(stream)
