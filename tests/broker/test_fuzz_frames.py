"""Frames that no client would send, to a broker with its real table of handlers.

Whatever comes, the broker answers or closes that connection; it stays within memory, no handler
crashes, and other connections are served all the while.
"""

from __future__ import annotations

import random
import struct
import tracemalloc
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest
import trio

from broker.routes import routes
from protocol.api import API, ApiKey
from protocol.codec import encode_bytes
from simulation.cluster import simulated_cluster
from tests.support.populated import populated

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from broker.broker import Broker
    from simulation.network import MemoryStream

ROUNDS = 25
DAMAGES = 3
"""How often each valid frame is damaged."""

PATIENCE_S = 70.0
MEMORY_BYTES_MAX = 64 * 1024 * 1024
API_VERSIONS_0 = struct.pack(">ihhih", 10, 18, 0, 1, -1)

MAY_STAY_SILENT = {ApiKey.PRODUCE, ApiKey.FETCH}
"""No answer with acks=0; a long poll of any length."""

INTERESTING = (-(2**31), -2, -1, 0, 1, 2, 127, 255, 2**15, 2**16, 2**24, 2**31 - 1)


def valid_frames(broker: Broker) -> Iterator[tuple[ApiKey, bytes]]:
    """Give the body of a frame for every version that is served, without its size."""
    for key, route in routes(broker).items():
        for version in range(route.min_version, route.max_version + 1):
            body = encode_bytes(populated(API[key].request, version), version)
            header = struct.pack(">hhih", key, version, 1, 3) + b"fuz"
            tags = b"\0" if version >= API[key].flexible_since else b""
            yield key, header + tags + body


def mutated(frame: bytes, chance: random.Random) -> bytes:
    """Damage a frame in one of many ways; the size that precedes it will be right."""
    data = bytearray(frame)
    position = chance.randrange(len(data))
    match chance.randrange(8):
        case 0:
            data[position] ^= 1 << chance.randrange(8)
        case 1:
            del data[position:]
        case 2:
            data += chance.randbytes(chance.randrange(1, 50))
        case 3 if len(data) >= 4:
            at = chance.randrange(len(data) - 3)
            struct.pack_into(">i", data, at, chance.choice(INTERESTING))
        case 4:
            struct.pack_into(">h", data, 2, chance.choice((-1, 0, 1, 5, 99, 32767)))
        case 5:
            data[position:position] = b"\xff" * chance.randrange(1, 12)
        case 6:
            data[8:] = chance.randbytes(chance.randrange(200))
        case _:
            del data[position : position + chance.randrange(1, 9)]
    return bytes(data)


@asynccontextmanager
async def fuzzed_broker() -> AsyncIterator[tuple[Broker, FuzzClient]]:
    async with simulated_cluster(1) as cluster:
        broker = cluster.brokers[1].broker
        assert broker is not None
        yield broker, FuzzClient(cluster.network.host("fuzz"))
        assert broker._server.traffic.requests_crashed == 0


class FuzzClient:
    """Opens a connection for every frame, and one to see how others fare."""

    def __init__(self, host: Any) -> None:
        self._host = host
        self._witness: MemoryStream | None = None

    async def connect(self) -> MemoryStream:
        return await self._host.connect("broker-1", 9092)

    async def outcome_of(self, data: bytes) -> str:
        """Send bytes and say what came of it: answered, closed or silent."""
        stream = await self.connect()
        async with stream:
            with trio.move_on_after(PATIENCE_S):
                try:
                    await stream.send_all(data)
                    return "answered" if await stream.receive_some() else "closed"
                except trio.BrokenResourceError:
                    return "closed"
        return "silent"

    async def others_are_served(self) -> bool:
        if self._witness is None:
            self._witness = await self.connect()
        with trio.move_on_after(1):
            await self._witness.send_all(API_VERSIONS_0)
            return bool(await self._witness.receive_some())
        return False


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(4))
async def test_damaged_requests_are_answered_or_their_connection_is_closed(seed, autojump_clock):
    chance = random.Random(seed)
    async with fuzzed_broker() as (broker, client):
        for key, frame in (each for each in valid_frames(broker) for _ in range(DAMAGES)):
            damaged = mutated(frame, chance)
            outcome = await client.outcome_of(struct.pack(">i", len(damaged)) + damaged)

            expected = {"answered", "closed"} | ({"silent"} if key in MAY_STAY_SILENT else set())
            assert outcome in expected, (key, damaged)
        assert await client.others_are_served()


async def test_valid_requests_of_every_version_are_answered(autojump_clock):
    async with fuzzed_broker() as (broker, client):
        for key, frame in valid_frames(broker):
            outcome = await client.outcome_of(struct.pack(">i", len(frame)) + frame)

            assert outcome == "answered", (key, frame)


async def test_random_bytes_do_no_harm(autojump_clock):
    chance = random.Random(5)
    async with fuzzed_broker() as (_, client):
        for _round in range(ROUNDS * 4):
            await client.outcome_of(chance.randbytes(chance.randrange(1, 300)))
        assert await client.others_are_served()


async def test_random_bodies_behind_valid_headers_close_the_connection_or_are_answered(
    autojump_clock,
):
    chance = random.Random(6)
    async with fuzzed_broker() as (_, client):
        for _round in range(ROUNDS * 4):
            header = struct.pack(">hhih", chance.choice(list(API)), chance.randrange(14), 1, -1)
            frame = header + chance.randbytes(chance.randrange(100))
            await client.outcome_of(struct.pack(">i", len(frame)) + frame)
        assert await client.others_are_served()


async def test_announced_sizes_take_no_memory(autojump_clock):
    async with fuzzed_broker() as (_, client):
        tracemalloc.start()
        try:
            before, _peak = tracemalloc.get_traced_memory()
            streams = [await client.connect() for _ in range(50)]
            for stream in streams:
                await stream.send_all(struct.pack(">i", 100_000_000) + b"\0" * 1_000)
            # A count within a valid frame that nothing follows.
            lying = struct.pack(">hhihi", ApiKey.METADATA, 1, 1, -1, 2**31 - 1)
            for _round in range(ROUNDS):
                outcome = await client.outcome_of(struct.pack(">i", len(lying)) + lying)
                assert outcome == "closed"
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert await client.others_are_served()
        for stream in streams:
            await stream.aclose()

    assert peak - before < MEMORY_BYTES_MAX


async def test_a_client_that_sends_and_never_reads_does_not_fill_memory(autojump_clock):
    async with fuzzed_broker() as (broker, client):
        stream = await client.connect()
        tracemalloc.start()
        try:
            before, _peak = tracemalloc.get_traced_memory()
            with trio.move_on_after(5):
                while True:
                    await stream.send_all(API_VERSIONS_0 * 1_000)
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert await client.others_are_served()
        await stream.aclose()
        assert broker._server.traffic.requests > 1_000

    assert peak - before < MEMORY_BYTES_MAX
