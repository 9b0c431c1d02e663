"""A connection with tiny handlers, and the client at its other end."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import trio
import trio.testing

from broker.config import NetworkConfig
from broker.connection import Connection
from broker.delayed import Delayed
from broker.dispatch import Dispatch, Route
from broker.handlers import old_produce
from broker.handlers.api_versions import ApiVersionsHandler
from broker.traffic import Traffic
from protocol.api import ApiKey
from protocol.api.heartbeat import HeartbeatRequest, HeartbeatResponse
from protocol.api.produce import (
    ProduceResponse,
)
from protocol.errors import CoordinationError, ErrorCode, ProtocolError, RequestError, StorageError
from protocol.frame_reader import BufferPool, FrameReader
from protocol.framing import decode_response, encode_request

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from broker.dispatch import RequestContext

HEARTBEAT_VERSION = 4


def frame_of(message: object, *, version: int, correlation_id: int = 0) -> bytes:
    return b"".join(
        encode_request(
            message, api_version=version, correlation_id=correlation_id, client_id="tests"
        )
    )


def heartbeat(group_id: str, correlation_id: int) -> bytes:
    return frame_of(
        HeartbeatRequest(group_id=group_id),
        version=HEARTBEAT_VERSION,
        correlation_id=correlation_id,
    )


class Client:
    """The other end of a connection under test."""

    def __init__(self, stream: trio.abc.Stream) -> None:
        self.stream = stream
        self._frames = FrameReader()

    async def send(self, *frames: bytes) -> None:
        await self.stream.send_all(b"".join(frames))

    async def receive(self) -> memoryview:
        while (frame := self._frames.next_frame()) is None:
            data = await self.stream.receive_some()
            assert data, "closed"
            self._frames.feed(data)
        return frame

    async def heartbeat_answer(self) -> tuple[int, int]:
        """Give an answer's correlation id and error code."""
        correlation_id, response = decode_response(
            HeartbeatResponse, HEARTBEAT_VERSION, await self.receive()
        )
        return correlation_id, response.error_code

    async def is_closed(self) -> bool:
        try:
            return await self.stream.receive_some() == b""
        except trio.BrokenResourceError:
            return True


class DelayedHeartbeat(Delayed):
    """An answer that comes when a gate is opened."""

    def __init__(self, gate: trio.Event, name: str) -> None:
        self._gate = gate
        self._name = name

    def is_done(self) -> bool:
        return self._gate.is_set()

    async def wait(self) -> None:
        await self._gate.wait()

    def response(self) -> HeartbeatResponse:
        if "crash" in self._name:
            raise ZeroDivisionError
        if "nonsense" in self._name:
            raise ProtocolError("nonsense")
        return HeartbeatResponse()


class Desk:
    """Answers heartbeats: the group id says how, and one that waits is answered on demand."""

    def __init__(self) -> None:
        self.begun: list[str] = []
        self.finished: list[str] = []
        self.gates: dict[str, trio.Event] = {}

    def __call__(self, request: HeartbeatRequest, context: RequestContext) -> Any:
        self.begun.append(request.group_id)
        match request.group_id.split("-")[0]:
            case "wait":
                gate = self.gates.setdefault(request.group_id, trio.Event())
                return self._wait(gate, request.group_id)
            case "delayed":
                gate = self.gates.setdefault(request.group_id, trio.Event())
                return DelayedHeartbeat(gate, request.group_id)
            case "crash":
                raise ZeroDivisionError
            case "refuse":
                raise RequestError.of(ErrorCode.ILLEGAL_GENERATION, "not now")
            case "disk":
                raise StorageError("the disk is on fire")
            case "store":
                raise CoordinationError
            case "nonsense":
                raise ProtocolError("nonsense")
            case "unencodable":
                return HeartbeatResponse(error_code="none")
            case "silent":
                return None
        return HeartbeatResponse()

    async def _wait(self, gate: trio.Event, name: str) -> HeartbeatResponse | None:
        await gate.wait()
        self.finished.append(name)
        if name.startswith("wait-crash"):
            raise ZeroDivisionError
        if name.startswith("wait-nonsense"):
            raise ProtocolError("nonsense")
        return None if name.startswith("wait-silent") else HeartbeatResponse()

    def open(self, name: str) -> None:
        self.gates.setdefault(name, trio.Event()).set()


def refuse_heartbeat(_request: Any, code: ErrorCode, _message: str) -> HeartbeatResponse:
    return HeartbeatResponse(error_code=code)


@asynccontextmanager
async def connected(
    desk: Desk,
    *,
    refuse: Callable[..., Any] | None = refuse_heartbeat,
    traffic: Traffic | None = None,
    streams: tuple[trio.abc.Stream, trio.abc.Stream] | None = None,
    **config: int,
) -> AsyncIterator[tuple[Client, Connection]]:
    routes = {
        ApiKey.HEARTBEAT: Route(desk, 0, HEARTBEAT_VERSION, refuse=refuse),
        ApiKey.PRODUCE: Route(
            lambda _request, _context: ProduceResponse(),
            3,
            12,
            older=Route(
                old_produce.handle_old_produce,
                *old_produce.VERSIONS,
                refuse=old_produce.refuse,
                request=old_produce.OldProduceRequest,
            ),
        ),
    }
    routes[ApiKey.API_VERSIONS] = Route(ApiVersionsHandler(routes), 0, 4)
    ours, theirs = streams or trio.testing.memory_stream_pair()
    connection = Connection(
        ours,
        dispatch=Dispatch(routes),
        config=NetworkConfig(**config),
        traffic=traffic or Traffic(),
        buffers=BufferPool(),
    )
    async with trio.open_nursery() as nursery:
        nursery.start_soon(connection.serve)
        with trio.fail_after(30):
            yield Client(theirs), connection
        nursery.cancel_scope.cancel()
