from __future__ import annotations

import pytest
import trio
from trio.testing import check_two_way_stream

from simulation.network import BACKLOG, MemoryNetwork, MemoryStream


async def make_pair(network: MemoryNetwork) -> tuple[MemoryStream, MemoryStream]:
    listener = await network.host("b").listen("b", 0)
    near = await network.host("a").connect("b", listener.port)
    far = await listener.accept()
    await listener.aclose()
    return near, far


async def test_streams_keep_the_rules_of_trio_streams():
    async def make_clogged_pair() -> tuple[MemoryStream, MemoryStream]:
        near, far = await make_pair(MemoryNetwork(pipe_bytes=10))
        await near.send_all(b"x" * 10)
        await far.send_all(b"x" * 10)
        return near, far

    await check_two_way_stream(lambda: make_pair(MemoryNetwork()), make_clogged_pair)


async def test_connects_are_refused_where_nobody_listens():
    network = MemoryNetwork()

    with pytest.raises(ConnectionRefusedError):
        await network.host("a").connect("b", 9092)


async def test_a_port_is_taken_once_per_host_and_free_again_after_close():
    network = MemoryNetwork()
    listener = await network.host("a").listen("0.0.0.0", 9092)
    await network.host("b").listen("0.0.0.0", 9092)

    with pytest.raises(OSError, match="in use"):
        await network.host("a").listen("0.0.0.0", 9092)
    await listener.aclose()

    assert (await network.host("a").listen("0.0.0.0", 9092)).port == 9092


async def test_port_zero_finds_a_free_port():
    network = MemoryNetwork()
    host = network.host("a")

    ports = {(await host.listen("a", 0)).port for _ in range(3)}

    assert len(ports) == 3


async def test_localhost_is_the_host_itself():
    network = MemoryNetwork()
    await network.host("a").listen("0.0.0.0", 9092)

    await network.host("a").connect("localhost", 9092)
    with pytest.raises(ConnectionRefusedError):
        await network.host("b").connect("localhost", 9092)


async def test_a_sender_waits_while_nobody_reads(autojump_clock):
    near, far = await make_pair(MemoryNetwork(pipe_bytes=100))

    with trio.move_on_after(1) as scope:
        await near.send_all(b"x" * 101)
    assert scope.cancelled_caught

    assert await far.receive_some() == b"x" * 100


async def test_a_killed_host_breaks_its_connections_on_both_ends_and_refuses_new_ones():
    network = MemoryNetwork()
    near, far = await make_pair(network)
    listener = await network.host("b").listen("b", 9092)
    await near.send_all(b"on its way")

    network.kill("b")

    for stream in (near, far):
        with pytest.raises(trio.BrokenResourceError):
            await stream.receive_some()
        with pytest.raises(trio.BrokenResourceError):
            await stream.send_all(b"x")
    with pytest.raises(trio.ClosedResourceError):
        await listener.accept()
    with pytest.raises(ConnectionRefusedError):
        await network.host("a").connect("b", 9092)


async def test_kill_wakes_whoever_waits(autojump_clock):
    network = MemoryNetwork()
    near, _far = await make_pair(network)
    listener = await network.host("b").listen("b", 9092)

    async def accept() -> None:
        with pytest.raises(trio.ClosedResourceError):
            await listener.accept()

    async def receive() -> None:
        with pytest.raises(trio.BrokenResourceError):
            await near.receive_some()

    with trio.fail_after(1):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(accept)
            nursery.start_soon(receive)
            await trio.testing.wait_all_tasks_blocked()
            network.kill("b")


async def test_a_killed_host_may_listen_again():
    network = MemoryNetwork()
    await network.host("b").listen("b", 9092)
    network.kill("b")
    listener = await network.host("b").listen("b", 9092)

    near = await network.host("a").connect("b", 9092)
    far = await listener.accept()
    await near.send_all(b"back")

    assert await far.receive_some() == b"back"


async def test_connections_between_other_hosts_survive_a_kill():
    network = MemoryNetwork()
    near, far = await make_pair(network)

    network.kill("c")
    await near.send_all(b"still here")

    assert await far.receive_some() == b"still here"


async def test_a_full_backlog_refuses():
    network = MemoryNetwork()
    await network.host("b").listen("b", 9092)
    for _ in range(BACKLOG):
        await network.host("a").connect("b", 9092)

    with pytest.raises(ConnectionRefusedError):
        await network.host("a").connect("b", 9092)
