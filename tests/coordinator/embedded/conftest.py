"""An embedded server in memory, and a client of it that speaks bytes."""

from __future__ import annotations

import random
import struct
from contextlib import asynccontextmanager

import pytest
import trio
import trio.testing
from msgspec.structs import replace

from coordinator.embedded.config import EmbeddedConfig
from coordinator.embedded.jute import FrameReader, frame, pack_buffer, pack_string
from coordinator.embedded.messages import OpCode
from coordinator.embedded.server import serve_embedded
from protocol.errors import StorageError
from simulation.disk import MemoryDisk
from simulation.network import MemoryNetwork

HOST, PORT = "coordinator", 2181
OPEN_ACL = struct.pack("!ii", 1, 31) + pack_string("world") + pack_string("anyone")


class RawClient:
    """One connection: requests and replies as they are on the wire."""

    def __init__(self, stream):
        self.stream = stream
        self.events = []
        self.session_id = 0
        self.password = bytes(16)
        self.timeout_ms = 0
        self._frames = FrameReader(1 << 24)
        self._received = []
        self._xid = 0

    async def connect(self, *, timeout_ms=6_000, session_id=0, password=bytes(16), seen_zxid=0):
        """Shake hands. Returns: whether the server gave a session."""
        await self.send(
            struct.pack("!iqiq", 0, seen_zxid, timeout_ms, session_id)
            + pack_buffer(password)
            + b"\0"
        )
        response = await self.receive()
        _, self.timeout_ms, self.session_id = struct.unpack_from("!iiq", response)
        self.password = response[20:36]
        assert response[36:] == b"\0", "the read-only flag is echoed to those who sent it"
        return self.timeout_ms > 0

    async def send(self, record):
        await self.stream.send_all(frame(record))

    async def receive(self):
        """Give the next frame. Raises: EndOfChannel."""
        while not self._received:
            data = await self.stream.receive_some(65536)
            if not data:
                raise trio.EndOfChannel
            self._received += self._frames.feed(data)
        return self._received.pop(0)

    async def ask(self, code, body=b"", *, xid=None):
        """Send a request."""
        self._xid += 1
        await self.send(struct.pack("!ii", self._xid if xid is None else xid, code) + body)

    async def reply(self):
        """Give the next reply as (xid, zxid, error, body); events go to `events`."""
        while True:
            received = await self.receive()
            xid, zxid, error = struct.unpack_from("!iqi", received)
            if xid != -1:
                return xid, zxid, error, received[16:]
            kind, state = struct.unpack_from("!ii", received, 16)
            assert state == 3
            self.events.append((kind, received[28:].decode()))

    async def call(self, code, body=b"", *, xid=None):
        """Send a request. Returns: the error and body of its reply."""
        await self.ask(code, body, xid=xid)
        _, _, error, body = await self.reply()
        return error, body

    async def create(self, path, value=b"", *, flags=0):
        return await self.call(OpCode.CREATE, create_record(path, value, flags=flags))

    async def exists(self, path, *, watch=False):
        error, _ = await self.call(OpCode.EXISTS, pack_string(path) + bytes([watch]))
        return error == 0


def create_record(path, value=b"", *, flags=0):
    return pack_string(path) + pack_buffer(value) + OPEN_ACL + struct.pack("!i", flags)


class World:
    """A network, a disk and a server on them that can crash."""

    def __init__(self, nursery):
        self.disk = MemoryDisk(random.Random(1))
        self.config = EmbeddedConfig("data")
        self.service = None
        self._network = MemoryNetwork()
        self._nursery = nursery
        self._scope = trio.CancelScope()
        self._random = random.Random(2)
        self._ended = trio.Event()
        self._failure = None

    async def start(self, **changes):
        """Start the server, with settings of its own."""
        self.config = replace(self.config, **changes)
        self._scope = trio.CancelScope()
        self.service = await self._nursery.start(self._serve)

    async def crash(self):
        """Stop the server without warning and lose what was not synced."""
        self._scope.cancel()
        self._network.kill(HOST)
        self.disk.crash()
        await trio.testing.wait_all_tasks_blocked()

    @asynccontextmanager
    async def raw(self):
        """Open a connection without a session."""
        stream = self._network.connect("client", HOST, PORT)
        async with stream:
            yield RawClient(stream)

    @asynccontextmanager
    async def client(self, **connect):
        """Open a connection with a session."""
        async with self.raw() as client:
            assert await client.connect(**connect)
            yield client

    async def ended(self):
        """Wait until the server has given up. Returns: the only error that it ended with."""
        await self._ended.wait()
        return self._failure

    async def serve_again(self, task_status):
        """Start one more server on the same directory."""
        await self._serve_on(PORT + 1, task_status)

    async def _serve(self, task_status):
        with self._scope:
            try:
                await self._serve_on(PORT, task_status)
            except* StorageError as failures:
                failure = failures
                while isinstance(failure, BaseExceptionGroup):
                    (failure,) = failure.exceptions
                self._failure = failure
                self._ended.set()

    async def _serve_on(self, port, task_status):
        await serve_embedded(
            [self._network.listen(HOST, port)],
            disk=self.disk,
            wall_ms=lambda: int(trio.current_time() * 1000),
            random=self._random,
            config=self.config,
            task_status=task_status,
        )


@pytest.fixture
async def world(nursery):
    """An embedded server in memory, started. Returns: World."""
    world = World(nursery)
    await world.start()
    return world
