"""One connection to a broker: requests pipelined, responses in order, versions negotiated.

A caller that is cancelled leaves the connection usable: requests are written whole by a task of the
connection, and a response that nobody waits for any more is dropped. A broker that does not answer
in time is another matter: all that follows is stuck behind that answer, so the connection ends.
Must never know: metadata, leaders, retries.
"""

from __future__ import annotations

from collections import deque
from contextlib import asynccontextmanager
from itertools import takewhile
from typing import TYPE_CHECKING, Any, Final

import trio

from client.background import background_tasks
from client.errors import ConnectFailed, ConnectionBroken, RequestTimedOut, UnsupportedApi
from client.negotiation import negotiate_versions
from client.receiver import Receiver
from client.send_now import send_now
from protocol.api import API, Api, ApiKey
from protocol.errors import ProtocolError
from protocol.frame_reader import FRAME_BYTES_MAX, FrameReader
from protocol.framing import (
    decode_response,
    encode_request,
    read_correlation_id,
)
from protocol.message import layout_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Mapping

    from client.environment import Network

__all__ = ["Connection", "ConnectionBroken", "Exchange", "connect", "open_connection"]

CONNECT_TIMEOUT_S: Final = 5.0
"""A machine that is gone does not refuse: the operating system would try for two minutes."""

REQUEST_TIMEOUT_S: Final = 30.0
WRITE_BYTES: Final = 256 * 1024
"""Requests that wait together are written together up to this size."""

_CORRELATION_IDS: Final = 2**31


class Exchange:
    """One request on its way and the response to come, which is `awaited_until` some time."""

    __slots__ = (
        "_done",
        "api",
        "awaited_until",
        "correlation_id",
        "error",
        "response",
        "started_at",
        "version",
    )

    def __init__(self, api: Api, *, version: int, correlation_id: int) -> None:
        self.api = api
        self.version = version
        self.correlation_id = correlation_id
        self.awaited_until = self.started_at = trio.current_time()
        self.response: Any = None
        self.error: ConnectionBroken | None = None
        self._done = trio.Event()

    @property
    def done(self) -> bool:
        """Say whether it has ended, one way or the other."""
        return self._done.is_set()

    async def wait(self) -> Any:
        """Wait for the response. Raises: ConnectionBroken."""
        await self._done.wait()
        if self.error is not None:
            # One error may end many exchanges: raise an own one, with an own traceback.
            raise type(self.error)(*self.error.args) from self.error
        return self.response

    def finish(self, response: Any = None, *, error: ConnectionBroken | None = None) -> None:
        """Wake whoever waits."""
        self.response = response
        self.error = error
        self._done.set()


class Connection:
    """A connection in use; it works while `run` does."""

    def __init__(
        self,
        stream: trio.abc.Stream,
        *,
        address: str,
        client_id: str,
        versions: Mapping[int, tuple[int, int]] | None,
        reader: FrameReader,
    ) -> None:
        self.address = address
        self.broken: ConnectionBroken | None = None
        self._stream = stream
        self._client_id = client_id
        self._versions = versions
        self._reader = reader
        self._scope = trio.CancelScope()
        self._unwritten: deque[tuple[list[Any], Exchange | None]] = deque()
        self._being_written: list[Exchange] = []
        self._unanswered: deque[Exchange] = deque()
        self._to_write = trio.lowlevel.ParkingLot()
        self._is_writing = False
        self._next_correlation_id = 1

    @property
    def stalled_s(self) -> float:
        """Return for how many seconds the oldest request has waited, 0 when there is none."""
        if not self._unanswered:
            return 0.0
        return trio.current_time() - self._unanswered[0].started_at

    def version_of(self, key: ApiKey) -> int:
        """Return the highest version that both ends speak. Raises: UnsupportedApi."""
        ours = API[key].versions
        theirs = ours if self._versions is None else self._versions.get(key)
        if theirs is None or theirs[0] > ours[1] or theirs[1] < ours[0]:
            offer = f"offers versions {theirs[0]}-{theirs[1]}" if theirs else "does not offer it"
            raise UnsupportedApi(
                f"{self.address} {offer}, this client needs {API[key].name} {ours[0]}-{ours[1]}"
            )
        return min(ours[1], theirs[1])

    def start(
        self, request: object, *, version: int | None = None, expect_response: bool = True
    ) -> Exchange:
        """Queue a request at once, behind those queued before; the exchange is waited for later.

        Without a response to expect (acks=0) the exchange ends once the request is written.
        Raises: ConnectionBroken, UnsupportedApi, EncodeError; nothing was sent then.
        """
        if self.broken is not None:
            raise ConnectionBroken(str(self.broken)) from self.broken
        api = API[layout_of(type(request)).key or 0]
        version = self.version_of(api.key) if version is None else version
        exchange = Exchange(api, version=version, correlation_id=self._next_correlation_id)
        frame = encode_request(
            request,
            api_version=version,
            correlation_id=exchange.correlation_id,
            client_id=self._client_id,
        )
        self._next_correlation_id = (self._next_correlation_id + 1) % _CORRELATION_IDS
        is_idle = not self._unanswered and not self._unwritten
        self._unwritten.append((frame, None if expect_response else exchange))
        if expect_response:
            self._unanswered.append(exchange)
            if is_idle:
                self._write_at_once()
        if self._unwritten:
            self._to_write.unpark_all()
        return exchange

    def _write_at_once(self) -> None:
        """Write a request behind which there is none, if the socket takes it.

        Waking the task that writes would cost a pass of the event loop. It is left to that task to
        write what the socket did not take.
        """
        if self._is_writing:
            return
        frame, exchange = self._unwritten[0]
        whole = b"".join(frame)
        try:
            sent = send_now(self._stream, whole)
        except trio.BrokenResourceError as cause:
            self.close(self._broke(cause))
            return
        if sent:
            self._unwritten.popleft()
            if sent < len(whole):
                self._unwritten.append(([memoryview(whole)[sent:]], exchange))

    def _broke(self, cause: Exception) -> ConnectionBroken:
        return ConnectionBroken(f"the connection to {self.address} broke: {cause}")

    async def call(
        self,
        request: object,
        *,
        version: int | None = None,
        timeout_s: float = REQUEST_TIMEOUT_S,
    ) -> Any:
        """Send a request and wait for its response.

        Raises: ConnectionBroken, RequestTimedOut (after which the connection is broken, unless an
        earlier request is waited for, which has to be answered first), UnsupportedApi.
        """
        exchange = self.start(request, version=version)
        exchange.awaited_until = exchange.started_at + timeout_s
        with trio.move_on_at(exchange.awaited_until):
            return await exchange.wait()
        error = RequestTimedOut(
            f"{self.address} did not answer {exchange.api.name} within {timeout_s:g} s"
        )
        if not any(e.awaited_until > exchange.awaited_until for e in self._before(exchange)):
            self.close(error)
        raise error

    def _before(self, exchange: Exchange) -> Iterator[Exchange]:
        """List what has to be answered before."""
        return takewhile(lambda earlier: earlier is not exchange, self._unanswered)

    async def send(self, request: object, *, version: int | None = None) -> None:
        """Send a request that has no response; returns once it is written.

        Raises: ConnectionBroken, UnsupportedApi.
        """
        await self.start(request, version=version, expect_response=False).wait()

    def close(self, error: ConnectionBroken | None = None) -> None:
        """End the connection at once; what is unanswered fails with `error`."""
        if self.broken is None:
            self.broken = error or ConnectionBroken(f"the connection to {self.address} was closed")
            unsent = [exchange for _, exchange in self._unwritten if exchange is not None]
            for exchange in [*self._unanswered, *self._being_written, *unsent]:
                exchange.finish(error=self.broken)
            self._unanswered.clear()
            self._unwritten.clear()
        self._scope.cancel()

    async def run(self) -> None:
        """Carry requests and responses until the connection ends; raises nothing but Cancelled."""
        try:
            with self._scope:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(self._write_requests)
                    nursery.start_soon(self._read_responses)
        finally:
            self.close()
            await trio.aclose_forcefully(self._stream)

    async def _write_requests(self) -> None:
        try:
            while True:
                while not self._unwritten:
                    await self._to_write.park()
                self._is_writing = True
                await self._stream.send_all(self._take_unwritten())
                self._is_writing = False
                for exchange in self._being_written:
                    exchange.finish()
                self._being_written.clear()
        except (trio.BrokenResourceError, trio.ClosedResourceError) as cause:
            self.close(self._broke(cause))

    def _take_unwritten(self) -> bytes:
        """Take requests to write together, at least one."""
        chunks: list[Any] = []
        size = 0
        while self._unwritten and size < WRITE_BYTES:
            frame, exchange = self._unwritten.popleft()
            chunks += frame
            size += sum(map(len, frame))
            if exchange is not None:
                self._being_written.append(exchange)
        return b"".join(chunks)

    async def _read_responses(self) -> None:
        try:
            receiver = Receiver(self._stream, self._reader)
            while await receiver.receive():
                for frame in self._reader:
                    self._answer(memoryview(bytes(frame)))  # what came is kept, frames are lent
            error = ConnectionBroken(f"{self.address} closed the connection")
        except (trio.BrokenResourceError, trio.ClosedResourceError) as cause:
            error = self._broke(cause)
        except ProtocolError as cause:
            error = ConnectionBroken(f"cannot understand {self.address}: {cause}")
        self.close(error)

    def _answer(self, frame: memoryview) -> None:
        """Hand a response to the oldest exchange. Raises: ProtocolError."""
        correlation_id = read_correlation_id(frame)
        expected = self._unanswered[0].correlation_id if self._unanswered else None
        if correlation_id != expected:
            raise ProtocolError(f"response {correlation_id} came, {expected} was expected")
        exchange = self._unanswered[0]
        response: Any
        _, response = decode_response(exchange.api.response, exchange.version, frame)
        self._unanswered.popleft()
        exchange.finish(response)


async def connect(
    network: Network,
    host: str,
    port: int,
    *,
    client_id: str,
    frame_bytes_max: int = FRAME_BYTES_MAX,
    negotiate: bool = True,
) -> Connection:
    """Connect and negotiate versions; the caller then keeps `connection.run()` running.

    Without negotiation every declared version is taken for spoken. Raises: ConnectFailed,
    ConnectionBroken, UnsupportedApi.
    """
    address = f"{host}:{port}"
    try:
        with trio.fail_after(CONNECT_TIMEOUT_S):
            stream = await network.connect(host, port)
    except OSError as error:
        raise ConnectFailed(address, _cause_of(error)) from error
    except trio.TooSlowError as error:
        raise ConnectFailed(address, f"no answer within {CONNECT_TIMEOUT_S:g} s") from error
    reader = FrameReader(frame_bytes_max)
    versions: Mapping[int, tuple[int, int]] | None = None
    try:
        if negotiate:
            versions = await negotiate_versions(
                stream, reader, client_id=client_id, address=address
            )
    except BaseException:
        await trio.aclose_forcefully(stream)
        raise
    return Connection(
        stream, address=address, client_id=client_id, versions=versions, reader=reader
    )


@asynccontextmanager
async def open_connection(
    network: Network,
    host: str,
    port: int,
    *,
    client_id: str,
    frame_bytes_max: int = FRAME_BYTES_MAX,
    negotiate: bool = True,
) -> AsyncIterator[Connection]:
    """Connect for the time of a `with`. Raises: as `connect` does."""
    connection = await connect(
        network,
        host,
        port,
        client_id=client_id,
        frame_bytes_max=frame_bytes_max,
        negotiate=negotiate,
    )
    async with background_tasks() as nursery:
        nursery.start_soon(connection.run)
        yield connection


def _cause_of(error: BaseException) -> str:
    """Say why a connect failed: the innermost reason that the operating system gave."""
    while isinstance(inner := error.__cause__, BaseException):
        error = inner.exceptions[0] if isinstance(inner, BaseExceptionGroup) else inner
    reason = error.strerror if isinstance(error, OSError) else None
    if reason and reason.startswith("Error connecting to "):
        reason = reason.rpartition(": ")[2]  # trio names the address, which the caller does too
    return (reason or str(error) or type(error).__name__).lower()
