"""Proxies between processes: what arrives through them, what does not, and what breaks."""

from __future__ import annotations

import pytest
import trio

from chaos.proxy import HOST, Proxies, Route
from chaos.proxy_thread import ProxyThread
from client.environment import TcpNetwork
from simulation.network import MemoryNetwork

A_WHILE_S = 5.0
THERE, BACK = ("a", "b"), ("b", "a")


class Peer:
    """A process that listens, and keeps what connects to it."""

    def __init__(self, network, port=0):
        self.network = network
        self.port = port
        self._arrived, self.accepted = trio.open_memory_channel(99)
        self.scope = trio.CancelScope()

    async def run(self, task_status=trio.TASK_STATUS_IGNORED):
        with self.scope:
            async with await self.network.listen(HOST, self.port) as listener:
                self.port = listener.port
                task_status.started()
                while True:
                    await self._arrived.send(await listener.accept())


class Stage:
    """Process a dials process b through `proxies`."""

    def __init__(self, network, peer, port, proxies):
        self.network, self.peer, self.port, self.proxies = network, peer, port, proxies

    async def dial(self):
        return await self.network.connect(HOST, self.port)

    async def pair(self):
        """Connect; give both ends."""
        near = await self.dial()
        await near.send_all(b"hello")
        while True:
            far = await self.peer.accepted.receive()
            said = await far.receive_some(99)
            if said:  # else the proxy only looked whether anybody listens
                assert said == b"hello"
                return near, far


@pytest.fixture
async def stage(nursery):
    network = MemoryNetwork().host("here")
    peer = Peer(network)
    await nursery.start(peer.run)
    proxies = Proxies([Route("a", "b", 777, HOST, peer.port)], network)
    await nursery.start(proxies.run)
    return Stage(network, peer, 777, proxies)


async def hears_nothing(stream) -> bool:
    with trio.move_on_after(A_WHILE_S):
        await stream.receive_some(99)
        return False
    return True


async def test_bytes_pass_in_both_directions_and_the_end_too(autojump_clock, stage):
    near, far = await stage.pair()
    await far.send_all(b"and you")
    assert await near.receive_some(99) == b"and you"

    await near.aclose()
    assert await far.receive_some(99) == b""


@pytest.mark.parametrize("pair", [THERE, BACK])
async def test_a_blocked_direction_holds_its_bytes_and_the_other_passes(
    autojump_clock, stage, pair
):
    near, far = await stage.pair()
    sender, receiver = (near, far) if pair == THERE else (far, near)
    stage.proxies.block(*pair)

    await sender.send_all(b"held")
    await receiver.send_all(b"passes")
    assert await sender.receive_some(99) == b"passes"
    assert await hears_nothing(receiver)
    stage.proxies.unblock(*pair)
    assert await receiver.receive_some(99) == b"held"


async def test_nobody_learns_of_an_end_through_a_blocked_direction(autojump_clock, stage):
    near, far = await stage.pair()
    stage.proxies.block(*THERE)
    await near.aclose()
    assert await hears_nothing(far)

    stage.proxies.heal()
    assert await far.receive_some(99) == b""


@pytest.mark.parametrize("pair", [THERE, BACK])
async def test_a_connection_made_while_blocked_waits_for_healing(autojump_clock, stage, pair):
    stage.proxies.block(*pair)
    near = await stage.dial()
    await near.send_all(b"anybody?")
    assert await hears_nothing(near)
    assert stage.peer.accepted.statistics().current_buffer_used == 0

    stage.proxies.heal()
    await trio.sleep(0.1)
    assert await (await stage.peer.accepted.receive()).receive_some(99) == b"anybody?"


async def test_a_connection_given_up_while_blocked_never_was(autojump_clock, stage):
    stage.proxies.block(*THERE)
    near = await stage.dial()
    await near.send_all(b"anybody?")
    await near.aclose()
    await trio.sleep(0.1)
    stage.proxies.heal()
    await trio.sleep(A_WHILE_S)

    assert stage.peer.accepted.statistics().current_buffer_used == 0


async def test_what_a_proxy_holds_is_bounded(autojump_clock, stage):
    near, _ = await stage.pair()
    stage.proxies.block(*THERE)
    with trio.move_on_after(A_WHILE_S) as patience:
        await near.send_all(bytes(10_000_000))

    assert patience.cancelled_caught


async def test_connections_break_and_new_ones_are_refused_until_allowed(autojump_clock, stage):
    near, far = await stage.pair()
    stage.proxies.refuse("b", "a")
    for stream in (near, far):
        with pytest.raises(trio.BrokenResourceError):
            await stream.send_all(b"x" * 10_000_000)
    with pytest.raises(ConnectionRefusedError):
        await stage.dial()

    stage.proxies.allow("b", "a")
    await trio.sleep(0.1)
    await stage.pair()


async def test_a_process_that_comes_back_while_refused_stays_refused(
    autojump_clock, stage, nursery
):
    stage.peer.scope.cancel()
    await stage.dial()
    await trio.sleep(0.1)
    stage.proxies.refuse("a", "b")
    stage.peer = Peer(stage.network, stage.peer.port)
    await nursery.start(stage.peer.run)
    await trio.sleep(0.1)
    with pytest.raises(ConnectionRefusedError):
        await stage.dial()

    stage.proxies.heal()
    await trio.sleep(0.1)
    await stage.pair()


async def test_connections_beyond_the_bound_are_ended(autojump_clock, stage, monkeypatch):
    monkeypatch.setattr("chaos.proxy.CONNECTIONS_MAX", 1)
    await stage.pair()

    assert await (await stage.dial()).receive_some(1) == b""


async def test_a_process_that_has_ended_refuses_through_its_proxy(autojump_clock, stage, nursery):
    await stage.pair()
    stage.peer.scope.cancel()
    await trio.sleep(0.1)
    near = await stage.dial()
    assert await near.receive_some(1) == b""
    await trio.sleep(0.1)
    with pytest.raises(ConnectionRefusedError):
        await stage.dial()

    stage.proxies.block(*THERE)  # nobody can know any more that it has ended
    await trio.sleep(0.1)
    async with await stage.dial() as near:
        assert await hears_nothing(near)

    stage.proxies.heal()
    stage.peer = Peer(stage.network, stage.peer.port)
    await nursery.start(stage.peer.run)
    await trio.sleep(0.1)
    await stage.pair()


async def test_a_port_that_somebody_tries_meanwhile_is_taken_back(autojump_clock, stage, nursery):
    stage.peer.scope.cancel()
    await stage.dial()
    await trio.sleep(0.1)
    async with await stage.network.listen(HOST, stage.port):
        stage.peer = Peer(stage.network, stage.peer.port)
        await nursery.start(stage.peer.run)
        await trio.sleep(A_WHILE_S)
    await trio.sleep(0.1)

    await stage.pair()


async def test_real_sockets_are_cut_and_reset_from_another_thread():
    network = TcpNetwork()
    peer = Peer(network)
    async with trio.open_nursery() as nursery:
        await nursery.start(peer.run)
        async with await network.listen(HOST, 0) as free:
            port = free.port
        thread = ProxyThread([Route("a", "b", port, HOST, peer.port)])
        thread.start()
        stage = Stage(network, peer, port, None)
        near, far = await stage.pair()
        thread.call(lambda proxies: proxies.block(*BACK))
        await far.send_all(b"held")
        await near.send_all(b"passes")
        assert await far.receive_some(99) == b"passes"
        thread.call(lambda proxies: proxies.heal())
        assert await near.receive_some(99) == b"held"

        thread.call(lambda proxies: proxies.refuse("a", "b"))
        for stream in (near, far):
            with pytest.raises(trio.BrokenResourceError), trio.fail_after(9):
                await stream.receive_some(1)
        with pytest.raises(ConnectionRefusedError):
            await stage.dial()
        thread.close()
        for stream in (near, far):
            await stream.aclose()
        nursery.cancel_scope.cancel()


def test_a_port_that_is_taken_is_said_at_the_start():
    async def main():
        async with await TcpNetwork().listen(HOST, 0) as taken:
            thread = ProxyThread([Route("a", "b", taken.port, HOST, 1)])
            with pytest.RaisesGroup(OSError, flatten_subgroups=True):
                thread.start()
            thread.close()

    trio.run(main)
