"""What a socket takes at once, over a real one."""

from __future__ import annotations

import pytest
import trio
import trio.testing

from client.send_now import send_now
from tests.support.loopback import loopback


async def test_a_socket_takes_what_it_has_room_for_and_no_more():
    async with loopback() as (sender, receiver):
        assert send_now(sender, b"first") == 5
        assert await receiver.receive_some(100) == b"first"

        much, taken = bytes(1 << 20), 0
        while sent := send_now(sender, much):
            taken += sent
        received = 0
        while received < taken:
            received += len(await receiver.receive_some(1 << 20))
        assert received == taken
        assert send_now(sender, b"again") == 5


async def test_a_connection_that_is_over_is_told():
    async with loopback() as (sender, _):
        await sender.send_eof()
        with pytest.raises(trio.BrokenResourceError, match="Broken pipe"):
            send_now(sender, b"x")
        await sender.aclose()
        with pytest.raises(trio.BrokenResourceError, match="Bad file descriptor"):
            send_now(sender, b"x")


async def test_a_stream_that_is_no_socket_takes_nothing():
    ours, _ = trio.testing.memory_stream_pair()

    assert send_now(ours, b"data") == 0
