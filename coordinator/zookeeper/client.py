"""kazoo's client, kept to one session, to silence and to the ticks of the trio loop.

Left to itself kazoo pings from its own thread, so a process whose trio loop is blocked would keep
its session for ever; and after an expiry it opens a second session and sends there what is still
queued. Here pings and reconnections happen only while the loop is seen to run, and the first
session is the only one. Neither has a public hook in kazoo: `_invoke` and `_send_ping` are
overridden, which the version pin and the fault tests watch over.
Must never know: trio, the port.
Source: ZooKeeper programmer's guide, "ZooKeeper Sessions".
"""

from __future__ import annotations

import logging
import math
import select
import socket
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NamedTuple

from kazoo.client import KazooClient
from kazoo.exceptions import AuthFailedError, ConnectionDropped
from kazoo.handlers.threading import SequentialThreadingHandler
from kazoo.protocol.connection import ConnectionHandler
from kazoo.protocol.serialization import Connect
from kazoo.retry import KazooRetry

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


class Opened(NamedTuple):
    """What the server granted, and when (`time.monotonic()`) it was asked."""

    session_id: int
    session_timeout_s: float
    asked_at: float

    def age_s(self) -> float:
        """Tell how long ago the server was asked, in seconds."""
        return time.monotonic() - self.asked_at


class OneSessionClient(KazooClient):  # type: ignore[misc]  # kazoo is untyped
    """A kazoo client that serves one session and retries nothing but connections.

    Raises: ValueError when `hosts` cannot be understood.
    """

    def __init__(self, hosts: str, session_timeout_s: float) -> None:
        self.opened: Opened | None = None
        self.session_timeout_s = session_timeout_s
        self.tick()
        silent = logging.getLogger("ottla.kazoo")
        silent.setLevel(logging.CRITICAL + 1)
        # A restarted server is to be found at once: the session waits for it.
        retry = KazooRetry(max_tries=-1, delay=0.05, backoff=1.5, max_delay=0.5)
        super().__init__(
            hosts,
            timeout=session_timeout_s,
            handler=_Handler(lambda: self.connect_patience_s),
            connection_retry=retry,
            command_retry=KazooRetry(max_tries=0),
            logger=silent,
        )
        self._connection = _Connection(self, self._conn_retry.copy(), logger=silent)

    @property
    def connect_patience_s(self) -> float:
        """How long one server may take to accept: so that time is left for the others."""
        return self.session_timeout_s / 4

    def tick(self) -> None:
        """Note that the trio loop runs."""
        self._ticked_at = time.monotonic()

    def let_go(self) -> None:
        """Keep the session alive no longer."""
        self._ticked_at = -math.inf

    def is_loop_ticking(self) -> bool:
        """Say whether the trio loop has run lately. Called in kazoo's thread."""
        return time.monotonic() - self._ticked_at < self.session_timeout_s / 2

    @property
    def has_other_servers(self) -> bool:
        """Say whether there is a server to go to besides the one that is connected."""
        return len(self.hosts) > 1

    def leave_server(self) -> None:
        """Break the connection, after which kazoo tries the next server. Called in any thread."""
        self._connection.break_off()

    def finish(self) -> None:
        """Close the session and the sockets; blocks until the server confirms, if it can."""
        self.stop()
        self.close()


class _Handler(SequentialThreadingHandler):  # type: ignore[misc]  # kazoo is untyped
    """kazoo's port to concurrency, without worker threads.

    It never counts as running, hence completions and watches are called in the connection's own
    thread: ours only pass on to trio, and a thread less is a switch less on every answer.
    """

    def __init__(self, connect_patience_s: Callable[[], float]) -> None:
        super().__init__()
        self._connect_patience_s = connect_patience_s

    def start(self) -> None:
        """Start no workers."""

    def stop(self) -> None:
        """Stop no workers."""

    def dispatch_callback(self, callback: Any) -> None:
        """Call a watch."""
        callback.func(*callback.args)

    def create_socket_pair(self) -> tuple[_WakeUps, _WakeUps]:
        """Make what kazoo is woken through, its reading and its writing end."""
        wake_ups = _WakeUps()
        return wake_ups, wake_ups

    def select(
        self,
        readers: Sequence[Any],
        writers: Sequence[Any],
        _exceptional: Sequence[Any],
        timeout_s: float | None = None,
    ) -> tuple[list[Any], list[Any], list[Any]]:
        """Wait for sockets, in one system call where kazoo's own way makes an epoll every time."""
        poller = select.poll()
        for reader in readers:
            poller.register(reader, select.POLLIN)
        for writer in writers:
            poller.register(writer, select.POLLOUT)
        ready = {fd for fd, _ in poller.poll(None if timeout_s is None else timeout_s * 1000)}
        return (
            [reader for reader in readers if reader.fileno() in ready],
            [writer for writer in writers if writer.fileno() in ready],
            [],
        )

    def create_connection(self, *args: Any, timeout: float, **options: Any) -> Any:
        """Connect, with less patience than kazoo has."""
        patience_s = min(timeout, self._connect_patience_s())
        return super().create_connection(*args, timeout=patience_s, **options)


class _WakeUps:
    """Counts the requests that kazoo's thread is to be woken for, and never blocks who adds one.

    kazoo sends a byte per request through a blocking socket pair, which on Linux is full after 278
    of them: during an outage the next request would stop the trio loop, and with it the heartbeat.
    """

    def __init__(self) -> None:
        self._reader, self._writer = socket.socketpair()
        self._lock = threading.Lock()
        self._count = 0

    def fileno(self) -> int:
        """Give what is readable while the count is above zero."""
        return self._reader.fileno()

    def send(self, byte: bytes) -> None:
        """Count one more."""
        with self._lock:
            if self._count == 0:
                self._writer.send(byte)
            self._count += 1

    def recv(self, _size: int) -> None:
        """Count one less; nothing to count is fine: kazoo may be ahead of who sends."""
        with self._lock:
            if self._count == 1:
                self._reader.recv(1)
            self._count = max(self._count - 1, 0)

    def close(self) -> None:
        """Close both ends."""
        with self._lock:
            self._reader.close()
            self._writer.close()


class _Connection(ConnectionHandler):  # type: ignore[misc]  # kazoo is untyped
    """kazoo's connection, where sessions are opened and kept alive."""

    def break_off(self) -> None:
        """Have kazoo find that its connection has ended. Called in any thread."""
        connected = self._socket
        if connected is not None:
            with suppress(OSError):  # it is closed: kazoo found out by itself
                connected.shutdown(socket.SHUT_RDWR)

    def _invoke(self, timeout: float, request: Any, xid: int | None = None) -> Any:
        client: OneSessionClient = self.client
        if not isinstance(request, Connect):
            return super()._invoke(timeout, request, xid)
        if client.opened is not None and not request.session_id:
            # Of all errors this is the one after which kazoo stops connecting.
            raise AuthFailedError("the session has ended, and a second one is not wanted")
        if not client.is_loop_ticking():
            raise ConnectionDropped("the trio loop is blocked: its session is not kept alive")
        asked_at = time.monotonic()
        granted, zxid = super()._invoke(min(timeout, client.connect_patience_s), request, xid)
        if granted.time_out > 0:
            client.session_timeout_s = granted.time_out / 1000
            client.opened = Opened(granted.session_id, client.session_timeout_s, asked_at)
        return granted, zxid

    def _send_ping(self, connect_timeout: float) -> None:
        if self.client.is_loop_ticking():
            super()._send_ping(connect_timeout)
