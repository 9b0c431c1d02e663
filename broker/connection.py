"""One client's connection: frames in, requests begun in order, answers out in the same order.

What a handler has left to do runs as a task of the connection, so that later requests are begun
meanwhile; where nothing is left but to wait, one task waits for the oldest of all such answers.
What is in work is bounded: beyond the bound reading pauses, which the client feels as backpressure.
There is no task that writes: whoever makes the oldest answer ready sends it and those behind it.
Must never know: what a request asks for, logs, the cluster.
"""

from __future__ import annotations

import inspect
from collections import deque
from typing import TYPE_CHECKING, Any, cast

import structlog
import trio
from msgspec import Struct
from msgspec.structs import asdict

from broker.delayed import Delayed
from broker.dispatch import RequestContext
from broker.errors import error_code
from broker.transmit import IN_MEMORY, send_chunks
from client.receiver import Receiver
from protocol.codec import decode
from protocol.errors import EncodeError, ErrorCode, OttlaError, ProtocolError
from protocol.frame_reader import FrameReader
from protocol.framing import decode_request_header, encode_response

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from broker.config import NetworkConfig
    from broker.dispatch import Dispatch, Target
    from broker.traffic import Traffic
    from broker.transmit import Chunk
    from protocol.frame_reader import BufferPool

log_events = structlog.get_logger()

ANSWERS_JOINED_MAX = 64
"""Answers that are sent together when they became ready together."""


class Origin(Struct, frozen=True):
    """Where a connection comes from, and by which listener it came in."""

    peer: str = ""
    listener: str = "PLAINTEXT"


class Exchange(Struct):
    """A request and its answer: `answer` is None until it is ready, empty where none is sent.

    `delayed` is where it will come from if nobody works at it.
    """

    context: RequestContext
    target: Target
    held_bytes: int
    request: Any = None
    delayed: Delayed | None = None
    answer: list[Chunk] | None = None


class Failure(Struct):
    """What was raised, in words that a client may see."""

    code: ErrorCode
    message: str
    closes: bool = False


class Connection:
    """Serves one stream until either side ends it."""

    def __init__(
        self,
        stream: trio.abc.Stream,
        *,
        dispatch: Dispatch,
        config: NetworkConfig,
        traffic: Traffic,
        buffers: BufferPool,
        origin: Origin | None = None,
    ) -> None:
        self._stream = stream
        self._dispatch = dispatch
        self._config = config
        self._traffic = traffic
        self._origin = origin or Origin()
        self._frames = FrameReader(config.socket_request_max_bytes, pool=buffers)
        self._receiver = Receiver(stream, self._frames)
        self._exchanges: deque[Exchange] = deque()
        self._held_bytes = 0
        self._sending = False
        self._draining = False
        self._active_at = 0.0
        self._room = trio.lowlevel.ParkingLot()
        self._oldest_changed = trio.lowlevel.ParkingLot()
        self._awaits_delayed = False
        self._reading = trio.CancelScope()
        self._is_receiving = False
        self._tasks: trio.Nursery | None = None

    async def serve(self) -> None:
        """Serve until the peer closes or breaks the protocol, `drain`, or `close_if_silent`.

        The stream is closed on return.
        """
        async with self._stream, trio.open_nursery() as self._tasks:
            self._active_at = trio.current_time()
            try:
                await self._serve_requests()
            except ProtocolError as error:
                self._abandon(error)
            except trio.BrokenResourceError:
                self._tasks.cancel_scope.cancel()
            if not self._draining:
                # The peer has left: nobody is there to be answered.
                self._tasks.cancel_scope.cancel()
            self._oldest_changed.unpark_all()

    def drain(self) -> None:
        """Begin no more requests; `serve` returns when those in work are answered."""
        self._draining = True
        if self._is_receiving:
            self._reading.cancel()

    def close_if_silent(self) -> None:
        """Close it where the peer has asked nothing, or read nothing of an answer, for too long.

        One who looks at all connections from time to time costs less than a timer for each request.
        """
        silent_s = trio.current_time() - self._active_at
        is_in_work = bool(self._exchanges) and not self._sending
        if silent_s >= self._config.connections_max_idle_ms / 1000 and not is_in_work:
            self._nursery.cancel_scope.cancel()

    async def _serve_requests(self) -> None:
        with self._reading:
            while not self._draining and (count := await self._receive()):
                if self._reading.cancel_called:
                    return  # it came just when `drain` was called, and nothing can be waited for
                self._active_at = trio.current_time()
                self._traffic.bytes_in += count
                while not self._draining and (frame := self._frames.next_frame()) is not None:
                    self._begin(frame)
                    if self._is_over:
                        return
                    while self._is_full:
                        await self._flush()
                        # Sending need not have waited: others have their turn.
                        await trio.lowlevel.checkpoint()
                        if self._is_full:
                            await self._room.park()
                await self._flush()

    async def _receive(self) -> int:
        """Receive some bytes; `drain` ends that. Returns: how many, 0 at the end."""
        self._is_receiving = True
        try:
            return await self._receiver.receive()
        finally:
            self._is_receiving = False

    @property
    def _nursery(self) -> trio.Nursery:
        assert self._tasks is not None, "it is used within serve()"
        return self._tasks

    @property
    def _is_over(self) -> bool:
        return self._tasks is None or self._tasks.cancel_scope.cancel_called

    @property
    def _is_full(self) -> bool:
        return (
            self._held_bytes >= self._config.connection_bytes_max
            or len(self._exchanges) >= self._config.connection_requests_max
        )

    def _begin(self, frame: memoryview) -> None:
        """Run a request's handler. Raises: ProtocolError where nobody can answer it."""
        header, body = decode_request_header(frame)
        target = self._dispatch.find(header.api_key, header.api_version)
        if len(frame) > target.frame_bytes_max:
            raise ProtocolError(
                f"a request of {len(frame)} bytes came, {target.frame_bytes_max} are accepted"
            )
        context = RequestContext(
            header.api_key,
            header.api_version,
            header.correlation_id,
            header.client_id,
            self._origin.peer,
            self._origin.listener,
        )
        exchange = Exchange(context, target, len(frame))
        self._traffic.requests += 1
        try:
            if target.keeps_records:
                body = memoryview(bytes(body))
            exchange.request = (
                decode(target.request, header.api_version, body)
                if target.is_decodable
                else target.request()
            )
            outcome = target.handler(exchange.request, context)
            if outcome is None:
                return
            if isinstance(outcome, Delayed):
                exchange.delayed = outcome
                self._await_delayed_soon()
            elif inspect.iscoroutine(outcome):
                self._nursery.start_soon(self._finish, exchange, outcome)
            else:
                exchange.answer = self._encode(exchange, outcome)
        except Exception as error:  # noqa: BLE001 - kept from the other connections
            self._refuse(exchange, error)
        self._enqueue(exchange)

    async def _finish(self, exchange: Exchange, waiting: Coroutine[Any, Any, Any]) -> None:
        """Wait for a handler's answer, then send what is ready."""
        try:
            response = await waiting
            exchange.answer = [] if response is None else self._encode(exchange, response)
        except Exception as error:  # noqa: BLE001 - kept from the other connections
            self._refuse(exchange, error)
        self._account(exchange)
        await self._flush_or_end()

    def _await_delayed_soon(self) -> None:
        if not self._awaits_delayed:
            self._awaits_delayed = True
            self._nursery.start_soon(self._await_delayed)

    async def _await_delayed(self) -> None:
        """Whenever the oldest answer is a delayed one, wait for it; then send what is ready."""
        while self._exchanges or not self._draining:
            oldest = self._exchanges[0] if self._exchanges else None
            if oldest is None or oldest.delayed is None or oldest.answer is not None:
                await self._oldest_changed.park()
                continue
            try:
                await oldest.delayed.wait()
            except Exception as error:  # noqa: BLE001 - kept from the other connections
                self._refuse(oldest, error)
                self._account(oldest)
            if self._is_ready(oldest):
                await self._flush_or_end()

    def _is_ready(self, exchange: Exchange) -> bool:
        """Say whether an answer can be sent, a delayed one that has come meanwhile too."""
        if exchange.answer is None and exchange.delayed is not None:
            try:
                if exchange.delayed.is_done():
                    exchange.answer = self._encode(exchange, exchange.delayed.response())
            except Exception as error:  # noqa: BLE001 - kept from the other connections
                self._refuse(exchange, error)
            if exchange.answer is not None:
                self._account(exchange)
        return exchange.answer is not None

    def _refuse(self, exchange: Exchange, error: Exception) -> None:
        """Answer with what was raised, or close the connection if the response has no place for it.

        The exchange then has an empty answer: all is over.
        """
        failure = self._failure(exchange, error)
        exchange.answer = []
        refuse = exchange.target.refuse
        if failure.closes or refuse is None:
            self._abandon(ProtocolError(failure.message), **self._describe(exchange))
            return
        try:
            response = refuse(exchange.request, failure.code, failure.message)
            exchange.answer = self._encode(exchange, response)
        except Exception as again:  # noqa: BLE001 - kept from the other connections
            message = self._failure(exchange, again).message
            self._abandon(ProtocolError(message), **self._describe(exchange))

    def _failure(self, exchange: Exchange, error: Exception) -> Failure:
        """Say what of an error a client may see; log what should not have been raised."""
        if isinstance(error, OttlaError) and not isinstance(error, EncodeError):
            message = str(error) or type(error).__name__
            return Failure(error_code(error), message, closes=isinstance(error, ProtocolError))
        self._traffic.requests_crashed += 1
        log_events.error("request_crashed", exc_info=error, **self._describe(exchange))
        return Failure(
            ErrorCode.UNKNOWN_SERVER_ERROR, "the broker failed at this request; its log says why"
        )

    def _encode(self, exchange: Exchange, response: Any) -> list[Chunk]:
        chunks = encode_response(
            response,
            api_version=exchange.target.answer_version,
            correlation_id=exchange.context.correlation_id,
        )
        return cast("list[Chunk]", chunks)

    def _enqueue(self, exchange: Exchange) -> None:
        self._exchanges.append(exchange)
        self._held_bytes += exchange.held_bytes
        if exchange.answer is not None:
            self._account(exchange)

    def _account(self, exchange: Exchange) -> None:
        """Count the answer's bytes in place of the request's, which can go now."""
        assert exchange.answer is not None, "counted once it is ready"
        exchange.request = None
        self._held_bytes -= exchange.held_bytes
        exchange.held_bytes = sum(
            len(chunk) for chunk in exchange.answer if isinstance(chunk, IN_MEMORY)
        )
        self._held_bytes += exchange.held_bytes

    async def _flush(self) -> None:
        """Send the answers that are ready, from the oldest on; if a task does so, leave it to it.

        Raises: trio.BrokenResourceError.
        """
        if self._sending:
            return
        self._sending = True
        try:
            while self._exchanges and self._is_ready(self._exchanges[0]):
                await self._send_ready()
        finally:
            self._sending = False
        if self._exchanges or self._draining:
            self._oldest_changed.unpark_all()

    async def _flush_or_end(self) -> None:
        """Send what is ready; one who cannot be sent to any more is left."""
        try:
            await self._flush()
        except trio.BrokenResourceError:
            self._nursery.cancel_scope.cancel()

    async def _send_ready(self) -> None:
        chunks: list[Chunk] = []
        count = 0
        for exchange in self._exchanges:
            if count == ANSWERS_JOINED_MAX or not self._is_ready(exchange):
                break
            assert exchange.answer is not None, "it is ready"
            chunks += exchange.answer
            count += 1
        self._active_at = trio.current_time()
        await send_chunks(self._stream, chunks)
        self._active_at = trio.current_time()
        for _ in range(count):
            self._held_bytes -= self._exchanges.popleft().held_bytes
        self._traffic.bytes_out += sum(len(chunk) for chunk in chunks)
        self._room.unpark_all()

    def _abandon(self, error: ProtocolError, **facts: object) -> None:
        """Close the connection, and say once why."""
        log_events.warning(
            "connection_closed",
            reason=str(error),
            **(facts or asdict(self._origin)),
        )
        self._nursery.cancel_scope.cancel()

    def _describe(self, exchange: Exchange) -> dict[str, object]:
        return {
            "api": exchange.target.name,
            "api_version": exchange.context.api_version,
            "client_id": exchange.context.client_id,
            **asdict(self._origin),
        }
