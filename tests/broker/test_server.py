"""Listeners: many connections at a time, a bound on them, and a graceful stop."""

from __future__ import annotations

import errno
import struct
from functools import partial
from typing import TYPE_CHECKING

import pytest
import trio
import trio.testing

from broker.config import NetworkConfig
from broker.dispatch import Dispatch, Route
from broker.handlers.api_versions import ApiVersionsHandler
from broker.server import ACCEPT_PAUSE_S, Server
from protocol.api import ApiKey
from protocol.api.heartbeat import HeartbeatResponse

if TYPE_CHECKING:
    from collections.abc import Coroutine
    from typing import Any

API_VERSIONS_0 = struct.pack(">ihhih", 10, 18, 0, 1, -1)
HEARTBEAT_0 = struct.pack(">ihhihhih", 18, 12, 0, 1, -1, 0, 0, 0)


class MemoryListener(trio.abc.Listener[trio.abc.Stream]):
    """Hands out ends of memory streams, and errors before them."""

    def __init__(self) -> None:
        self._send, self._receive = trio.open_memory_channel[trio.abc.Stream](100)
        self.errors: list[OSError] = []
        self.attempts = 0

    async def connect(self) -> trio.abc.Stream:
        ours, theirs = trio.testing.memory_stream_pair()
        await self._send.send(ours)
        return theirs

    async def accept(self) -> trio.abc.Stream:
        self.attempts += 1
        if self.errors:
            raise self.errors.pop()
        return await self._receive.receive()

    async def aclose(self) -> None:
        self._receive.close()


def make_server(
    gate: trio.Event | None = None, *, connections_possible: int = 1_000, **config: int
) -> Server:
    async def wait() -> HeartbeatResponse:
        assert gate is not None
        await gate.wait()
        return HeartbeatResponse()

    def heartbeat(_request: object, _context: object) -> Coroutine[Any, Any, HeartbeatResponse]:
        return wait()

    routes = {ApiKey.HEARTBEAT: Route(heartbeat, 0, 4)}
    routes[ApiKey.API_VERSIONS] = Route(ApiVersionsHandler(routes), 0, 4)
    return Server(
        Dispatch(routes), NetworkConfig(**config), connections_possible=connections_possible
    )


async def answers(stream: trio.abc.Stream) -> bool:
    with trio.move_on_after(1):
        await stream.send_all(API_VERSIONS_0)
        return bool(await stream.receive_some())
    return False


async def test_all_listeners_are_served(autojump_clock, nursery):
    one, two = MemoryListener(), MemoryListener()
    server = make_server()
    await nursery.start(server.run, {"PLAINTEXT": one, "INTERNAL": two})

    assert await answers(await one.connect())
    assert await answers(await two.connect())
    assert server.traffic.connections_open == 2


async def test_a_connection_beyond_the_bound_waits_for_another_to_close(autojump_clock, nursery):
    listener = MemoryListener()
    server = make_server(max_connections=2)
    await nursery.start(server.run, {"PLAINTEXT": listener})
    first, _second, third = [await listener.connect() for _ in range(3)]
    await trio.testing.wait_all_tasks_blocked()
    assert server.traffic.connections_open == 2
    assert not await answers(third)

    await first.aclose()

    assert await third.receive_some()


async def test_a_bound_that_is_raised_lets_waiting_connections_in(autojump_clock, nursery):
    listener = MemoryListener()
    server = make_server(max_connections=1)
    await nursery.start(server.run, {"PLAINTEXT": listener})
    _first, second = [await listener.connect() for _ in range(2)]
    await trio.testing.wait_all_tasks_blocked()
    assert server.traffic.connections_open == 1

    server.limit_connections(2)

    assert await answers(second)


async def test_no_more_connections_are_held_than_are_possible_whatever_is_configured(
    autojump_clock, nursery
):
    listener = MemoryListener()
    server = make_server(connections_possible=2)
    await nursery.start(server.run, {"PLAINTEXT": listener})
    _first, _second, third = [await listener.connect() for _ in range(3)]
    assert not await answers(third)

    server.limit_connections(1_000)

    assert not await answers(third)
    assert server.traffic.connections_open == 2


@pytest.mark.parametrize("bounds", [{"max_connections": 2}, {"connections_possible": 4}])
async def test_clients_of_another_listener_do_not_keep_brokers_out(autojump_clock, nursery, bounds):
    internal, external = MemoryListener(), MemoryListener()
    server = make_server(**bounds)
    listeners = {"INTERNAL": internal, "EXTERNAL": external}
    await nursery.start(partial(server.run, listeners, peers_listener="INTERNAL"))
    clients = [await external.connect() for _ in range(3)]
    await trio.testing.wait_all_tasks_blocked()
    assert not await answers(clients[-1])

    peers = [await internal.connect() for _ in range(3)]

    assert await answers(peers[0])
    assert await answers(peers[1])
    assert not await answers(peers[2])


async def test_accept_that_fails_is_tried_again_after_a_pause(autojump_clock, nursery):
    listener = MemoryListener()
    listener.errors = [OSError(errno.EMFILE, "too many open files") for _ in range(5)]
    server = make_server()
    await nursery.start(server.run, {"PLAINTEXT": listener})
    started_at = trio.current_time()

    assert await answers(await listener.connect())
    assert trio.current_time() - started_at == pytest.approx(5 * ACCEPT_PAUSE_S)
    assert listener.attempts == 7


async def test_silent_connections_are_closed_and_others_are_not(autojump_clock, nursery):
    listener = MemoryListener()
    server = make_server(connections_max_idle_ms=8_000)
    await nursery.start(server.run, {"PLAINTEXT": listener})
    silent, busy = await listener.connect(), await listener.connect()
    for _ in range(12):
        assert await answers(busy)
        await trio.sleep(1)

    assert await silent.receive_some() == b""
    assert server.traffic.connections_open == 1


async def busy_and_idle(listener: MemoryListener) -> tuple[trio.abc.Stream, trio.abc.Stream]:
    """Open a connection with a request in work, and one without."""
    busy, idle = await listener.connect(), await listener.connect()
    await busy.send_all(HEARTBEAT_0)
    await trio.testing.wait_all_tasks_blocked()
    return busy, idle


async def test_stop_lets_what_is_in_work_finish(autojump_clock, nursery):
    gate = trio.Event()
    listener = MemoryListener()
    server = make_server(gate)
    await nursery.start(server.run, {"PLAINTEXT": listener})
    busy, idle = await busy_and_idle(listener)

    nursery.start_soon(lambda: server.stop(grace_s=10))
    await trio.sleep(3)
    assert await idle.receive_some() == b""
    gate.set()

    assert len(await busy.receive_some()) == 10
    assert await busy.receive_some() == b""
    assert trio.current_time() == pytest.approx(3)


async def test_to_hang_up_ends_the_connections_that_there_are_and_accepts_others(nursery):
    gate = trio.Event()
    listener = MemoryListener()
    server = make_server(gate)
    await nursery.start(server.run, {"PLAINTEXT": listener})
    busy, idle = await busy_and_idle(listener)
    server.hang_up()
    gate.set()

    assert await idle.receive_some() == b""
    assert len(await busy.receive_some()) == 10
    assert await busy.receive_some() == b""
    assert await answers(await listener.connect())


async def test_stop_does_not_wait_beyond_its_grace(autojump_clock):
    listener = MemoryListener()
    server = make_server(trio.Event())
    async with trio.open_nursery() as nursery:
        await nursery.start(server.run, {"PLAINTEXT": listener})
        busy = await listener.connect()
        await busy.send_all(HEARTBEAT_0)
        await trio.testing.wait_all_tasks_blocked()
        await server.stop(grace_s=10)

    assert trio.current_time() == pytest.approx(10)
    assert server.traffic.connections_open == 0
    assert await busy.receive_some() == b""


async def test_real_sockets_are_served(nursery):
    listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
    port = listeners[0].socket.getsockname()[1]
    server = make_server()
    await nursery.start(server.run, {"PLAINTEXT": listeners[0]})
    async with await trio.open_tcp_stream("127.0.0.1", port) as stream:
        with trio.fail_after(5):
            await stream.send_all(API_VERSIONS_0)
            assert await stream.receive_some()
    with trio.fail_after(5):
        await server.stop(grace_s=1)
