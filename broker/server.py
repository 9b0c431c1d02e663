"""Listeners: accepts connections within a bound, serves each in a task, and stops gracefully.

Must never know: frames, requests, logs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import structlog
import trio

from broker.connection import Connection, Origin
from broker.places import Places
from broker.settings import INT32_MAX
from broker.traffic import Traffic
from protocol.frame_reader import BufferPool

if TYPE_CHECKING:
    from collections.abc import Mapping

    from broker.config import NetworkConfig
    from broker.dispatch import Dispatch

log_events = structlog.get_logger()

ACCEPT_PAUSE_S = 0.1
"""After an accept that failed, for want of file descriptors as a rule: time for some to close."""

LOOKS_FOR_SILENCE = 8
"""How often connections are looked at within connections.max.idle.ms: so much later they close."""

SILENCE_LOOK_PAUSE_MIN_S = 0.05

ACCEPT_HINT = "raise the limit of open files (ulimit -n) or lower max.connections"


class Server:
    """Serves any number of listeners with one table of handlers."""

    def __init__(
        self,
        dispatch: Dispatch,
        config: NetworkConfig,
        *,
        connections_possible: int = INT32_MAX,
        traffic: Traffic | None = None,
    ) -> None:
        """Have at most `connections_possible` connections, whatever `max.connections` says."""
        self.traffic = traffic or Traffic()
        self._buffers = BufferPool()
        self._dispatch = dispatch
        self._config = config
        self._connections: set[Connection] = set()
        self._connections_possible = connections_possible
        self._connections_max = config.max_connections
        self._places: dict[str, Places] = {}
        self._accepting = trio.CancelScope()
        self._serving = trio.CancelScope()
        self._is_over = trio.Event()

    async def run(
        self,
        listeners: Mapping[str, trio.abc.Listener[trio.abc.Stream]],
        *,
        peers_listener: str = "",
        task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
    ) -> None:
        """Serve the listeners, by name, until `stop`; they are closed on return.

        Where there are several, the one that brokers connect to has places of its own: clients of
        the others cannot keep them out. Kafka protects it likewise.
        """
        shared, own = Places(1), Places(1)
        is_apart = len(listeners) > 1
        self._places = {
            name: own if is_apart and name == peers_listener else shared for name in listeners
        }
        self._resize_places()
        try:
            with self._serving:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(self._close_silent)
                    await self._serve_all(listeners, task_status)
                    nursery.cancel_scope.cancel()
        finally:
            self._is_over.set()

    async def _serve_all(
        self,
        listeners: Mapping[str, trio.abc.Listener[trio.abc.Stream]],
        task_status: trio.TaskStatus[None],
    ) -> None:
        async with trio.open_nursery() as connections:
            with self._accepting:
                async with trio.open_nursery() as acceptors:
                    for name, listener in listeners.items():
                        acceptors.start_soon(self._accept, name, listener, connections)
                    task_status.started()
            self.hang_up()

    def limit_connections(self, count: int) -> None:
        """Hold at most `count` connections from now on, and no more than are possible.

        Those that are open stay.
        """
        self._connections_max = count
        self._resize_places()

    def _resize_places(self) -> None:
        kinds = set(self._places.values())
        for places in kinds:
            share = max(self._connections_possible // len(kinds), 1)
            places.resize(min(self._connections_max, share))

    def hang_up(self) -> None:
        """Close the connections that are open, each once what is in work there is answered.

        What lies unread in them, or is on its way through them, is never carried out.
        """
        for connection in self._connections:
            connection.drain()

    async def stop(self, *, grace_s: float) -> None:
        """Accept and read no more, answer what is in work within `grace_s`, then close."""
        self._accepting.cancel()
        self.hang_up()
        with trio.move_on_after(grace_s):
            await self._is_over.wait()
        self._serving.cancel()
        await self._is_over.wait()

    async def _close_silent(self) -> None:
        """Look for silent connections from time to time."""
        idle_s = self._config.connections_max_idle_ms / 1000
        while True:
            await trio.sleep(max(idle_s / LOOKS_FOR_SILENCE, SILENCE_LOOK_PAUSE_MIN_S))
            for connection in self._connections:
                connection.close_if_silent()

    async def _accept(
        self, name: str, listener: trio.abc.Listener[trio.abc.Stream], connections: trio.Nursery
    ) -> None:
        places = self._places[name]
        async with listener:
            while True:
                await places.take()
                try:
                    stream = await _accept_one(name, listener)
                except BaseException:
                    places.give_back()
                    raise
                connections.start_soon(self._serve, name, stream)

    async def _serve(self, listener: str, stream: trio.abc.Stream) -> None:
        _keep_alive(stream)
        connection = Connection(
            stream,
            dispatch=self._dispatch,
            config=self._config,
            traffic=self.traffic,
            buffers=self._buffers,
            origin=Origin(_peer_of(stream), listener),
        )
        self._connections.add(connection)
        self.traffic.connections_accepted += 1
        self.traffic.connections_open += 1
        if self._accepting.cancel_called:
            connection.drain()
        try:
            await connection.serve()
        finally:
            self.traffic.connections_open -= 1
            self._connections.discard(connection)
            self._places[listener].give_back()


async def _accept_one(name: str, listener: trio.abc.Listener[trio.abc.Stream]) -> trio.abc.Stream:
    """Accept a connection, with pauses while the system refuses us one."""
    is_refused = False
    while True:
        try:
            return await listener.accept()
        except OSError as error:
            if not is_refused:
                log_events.warning(
                    "accept_failed", listener=name, reason=str(error), hint=ACCEPT_HINT
                )
            is_refused = True
            await trio.sleep(ACCEPT_PAUSE_S)


def _keep_alive(stream: trio.abc.Stream) -> None:
    if not isinstance(stream, trio.SocketStream):
        return
    try:
        stream.setsockopt(trio.socket.SOL_SOCKET, trio.socket.SO_KEEPALIVE, True)
    except OSError as error:
        # The peer may be gone already; the first read will say so.
        log_events.debug("socket_not_kept_alive", reason=str(error))


def _peer_of(stream: trio.abc.Stream) -> str:
    if not isinstance(stream, trio.SocketStream):
        return "memory"
    try:
        host, port = stream.socket.getpeername()[:2]
    except OSError:
        return "gone"
    return f"{host}:{port}"
