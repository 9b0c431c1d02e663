"""Receiving over a real socket, where reading goes straight into the buffer."""

from __future__ import annotations

import struct

import pytest
import trio
import trio.testing

from client.receiver import Receiver
from protocol.frame_reader import FrameReader
from tests.support.loopback import loopback


def framed(payload: bytes) -> bytes:
    return struct.pack(">i", len(payload)) + payload


async def receive_frames(stream: trio.abc.Stream, frames: FrameReader) -> list[bytes]:
    found, receiver = [], Receiver(stream, frames)
    while await receiver.receive():
        found += [bytes(frame) for frame in frames]
    return found


async def test_frames_of_every_size_arrive_as_they_were_sent():
    payloads = [bytes([number]) * size for number, size in enumerate((0, 1, 70_000, 5, 3_000_000))]
    found: list[bytes] = []

    async def read(stream: trio.abc.Stream) -> None:
        found.extend(await receive_frames(stream, FrameReader()))

    async with loopback() as (sender, stream), trio.open_nursery() as nursery:
        nursery.start_soon(read, stream)
        for payload in payloads:
            await sender.send_all(framed(payload))
        await sender.send_eof()

    assert found == payloads


async def test_what_came_in_pieces_with_pauses_is_put_together():
    async with loopback() as (sender, stream), trio.open_nursery() as nursery:
        frames: list[bytes] = []
        reader = FrameReader()
        receiver = Receiver(stream, reader)

        async def send() -> None:
            for byte in framed(b"abc"):
                await sender.send_all(bytes([byte]))
                await trio.testing.wait_all_tasks_blocked()

        nursery.start_soon(send)
        while not frames:
            assert await receiver.receive()
            frames = [bytes(frame) for frame in reader]

    assert frames == [b"abc"]


async def test_a_connection_that_was_reset_is_broken():
    async with loopback() as (sender, stream):
        sender.setsockopt(trio.socket.SOL_SOCKET, trio.socket.SO_LINGER, struct.pack("ii", 1, 0))
        await sender.aclose()

        with pytest.raises(trio.BrokenResourceError, match="cannot receive"):
            await Receiver(stream, FrameReader()).receive()
