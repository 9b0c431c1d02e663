from __future__ import annotations

import pytest
import trio

from client.environment import Environment


async def test_the_real_network_listens_connects_and_carries_bytes():
    network = Environment.real().network
    listener = await network.listen("127.0.0.1", 0)

    async with trio.open_nursery() as nursery:

        @nursery.start_soon
        async def echo():
            async with await listener.accept() as stream:
                await stream.send_all(await stream.receive_some())

        async with await network.connect("127.0.0.1", listener.port) as stream:
            await stream.send_all(b"hello")
            assert await stream.receive_some() == b"hello"
            assert stream.socket.getsockopt(trio.socket.IPPROTO_TCP, trio.socket.TCP_NODELAY)
            assert stream.socket.getsockopt(trio.socket.SOL_SOCKET, trio.socket.SO_KEEPALIVE)
    await listener.aclose()


async def test_a_port_that_nobody_listens_on_refuses():
    network = Environment.real().network
    listener = await network.listen("127.0.0.1", 0)
    port = listener.port
    await listener.aclose()

    with pytest.raises(ConnectionRefusedError, match="nobody listens"):
        await network.connect("127.0.0.1", port)


async def test_an_address_that_cannot_be_taken_is_named():
    network = Environment.real().network
    async with await network.listen("127.0.0.1", 0) as listener:
        with pytest.raises(OSError, match=f"127.0.0.1:{listener.port}: another process listens"):
            await network.listen("127.0.0.1", listener.port)
    with pytest.raises(OSError, match=r"192\.0\.2\.1:0: it is no address of this machine"):
        await network.listen("192.0.2.1", 0)


@pytest.mark.parametrize(
    ("host", "port"),
    [
        ("kafka-2..example.org", 9092),
        ("x" * 64 + ".org", 9092),
        ("\ud800", 9092),
        ("127.0.0.1", 2**70),
    ],
)
async def test_what_is_no_address_is_an_error_of_the_network_that_names_it(host, port):
    network = Environment.real().network

    with pytest.raises(OSError, match="is no address") as failed:
        await network.connect(host, port)
    assert repr(host) in str(failed.value)
    with pytest.raises(OSError, match="is no address"):
        await network.listen(host, port)


def test_the_wall_clock_counts_milliseconds_since_1970():
    assert Environment.real().wall_ms() > 1_700_000_000_000
