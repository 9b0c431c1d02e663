"""One client's connection: handshake, requests in, replies and events out, in order.

What goes out waits until the journal has reached what it may speak of, so no client ever sees
a state that a crash could take back. Memory is bounded: a client that asks faster than the disk
writes is not read from; one that does not read what it asked to watch is disconnected.
Must never know: what requests mean, disks.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

import structlog
import trio

from coordinator.embedded.jute import FrameReader
from coordinator.embedded.messages import (
    decode_connect_request,
    encode_connect_response,
    encode_event,
)
from coordinator.embedded.requests import answer
from coordinator.embedded.service import PASSWORD_BYTES, OpenedSession
from coordinator.embedded.words import WORD_BYTES, answer_word
from protocol.errors import ProtocolError

if TYPE_CHECKING:
    from coordinator.embedded.messages import ConnectRequest
    from coordinator.embedded.service import Service
    from coordinator.watches import Event

_GONE = OpenedSession(session_id=0, timeout_ms=0, password=bytes(PASSWORD_BYTES))
_RECEIVE_BYTES = 64 << 10

log = structlog.get_logger()


class Outbox:
    """What is to be sent, each with the zxid that must be durable first."""

    def __init__(self) -> None:
        self._queue: deque[tuple[int, bytes]] = deque()
        self._filled = trio.Event()
        self._drained = trio.Event()
        self.finished = False
        self.size_bytes = 0

    def __len__(self) -> int:
        return len(self._queue)

    def put(self, message: bytes, *, zxid: int) -> None:
        """Queue a message that may be sent once `zxid` is durable."""
        self._queue.append((zxid, message))
        self.size_bytes += len(message)
        self._filled.set()

    def finish(self) -> None:
        """Let `wait_ready` end once everything queued has been taken."""
        self.finished = True
        self._filled.set()

    async def wait_first(self) -> int | None:
        """Wait for a message. Returns: the zxid that it waits for; None at the end."""
        while not self._queue:
            if self.finished:
                return None
            self._filled = trio.Event()
            await self._filled.wait()
        return self._queue[0][0]

    def take(self, *, durable_zxid: int) -> bytes:
        """Take, as one piece, all messages that may be sent now."""
        ready: list[bytes] = []
        while self._queue and self._queue[0][0] <= durable_zxid:
            ready.append(self._queue.popleft()[1])
        data = b"".join(ready)
        self.size_bytes -= len(data)
        self._drained.set()
        self._drained = trio.Event()
        return data

    async def wait_drained(self) -> None:
        """Return when something has been taken."""
        await self._drained.wait()


class Connection:
    """A client of the service over one stream."""

    def __init__(self, stream: trio.abc.Stream, service: Service) -> None:
        self._stream = stream
        self._service = service
        self._config = service.config
        self._frames = FrameReader(service.config.frame_bytes_max)
        self._received: deque[bytes] = deque()
        self._outbox = Outbox()
        self._scope = trio.CancelScope()
        self._session_id = 0
        self._log = log.bind()

    # What the service asks of a client.

    def notify(self, event: Event) -> None:
        """Queue a watch event; a client that does not read its events is disconnected."""
        self._put(encode_event(event))
        if self._outbox.size_bytes > self._config.outgoing_bytes_max:
            self.drop("too much is waiting to be read by the client")

    def finish(self) -> None:
        """Close once everything queued has been sent."""
        self._outbox.finish()

    def drop(self, reason: str) -> None:
        """Close at once."""
        self._log.info("connection_dropped", reason=reason)
        self._scope.cancel()

    # Input and output.

    async def serve(self) -> None:
        """Serve the client until either side has had enough."""
        try:
            with self._scope:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(self._send)
                    await self._receive()
                    self._outbox.finish()
                    self._scope.deadline = trio.current_time() + self._config.linger_s
        finally:
            self._service.detach(self, session_id=self._session_id)
            await trio.aclose_forcefully(self._stream)

    async def _send(self) -> None:
        journal = self._service.journal
        try:
            while (zxid := await self._outbox.wait_first()) is not None:
                await journal.wait_durable(zxid)
                await self._stream.send_all(self._outbox.take(durable_zxid=journal.durable_zxid))
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            self._scope.cancel()

    async def _receive(self) -> None:
        try:
            with trio.fail_after(self._config.handshake_timeout_s):
                shaken = await self._shake_hands()
            if shaken:
                await self._answer_requests()
        except ProtocolError as error:
            self.drop(f"{type(error).__name__}: {error}")
        except trio.TooSlowError:
            self.drop("no handshake in time")
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            self._scope.cancel()

    async def _shake_hands(self) -> bool:
        """Answer a four-letter word, or open or resume a session. Returns: whether there is one."""
        start = b""
        while len(start) < WORD_BYTES:
            data = await self._stream.receive_some(_RECEIVE_BYTES)
            if not data:
                return False
            start += data
        word = answer_word(start[:WORD_BYTES], self._service)
        if word is not None:
            self._put(word)
            return False
        self._received.extend(self._frames.feed(start))
        frame = await self._next_frame()
        return frame is not None and self._connect(decode_connect_request(frame))

    def _connect(self, request: ConnectRequest) -> bool:
        service = self._service
        if request.last_zxid_seen > service.tree.zxid:
            self.drop("the client has seen a later state than this server has")
            return False
        session: OpenedSession | None
        if request.session_id == 0:
            session = service.open_session(self, timeout_ms=request.timeout_ms)
        else:
            session = service.attach(self, session_id=request.session_id, password=request.password)
        shown = session or _GONE
        self._put(
            encode_connect_response(
                timeout_ms=shown.timeout_ms,
                session_id=shown.session_id,
                password=shown.password,
                with_read_only=request.read_only is not None,
            )
        )
        self._session_id = shown.session_id
        self._log = log.bind(session_id=f"{shown.session_id:#x}")
        return session is not None

    async def _answer_requests(self) -> None:
        while not self._outbox.finished:
            await self._wait_room()
            request = await self._next_frame()
            if request is None:
                return
            self._put(
                answer(request, service=self._service, client=self, session_id=self._session_id)
            )

    async def _wait_room(self) -> None:
        """Return when no more than a bounded amount waits for the disk or the client."""
        while (
            len(self._outbox) >= self._config.requests_in_flight_max
            or self._outbox.size_bytes >= self._config.outgoing_bytes_max // 2
        ):
            await self._outbox.wait_drained()
        await self._service.journal.wait_room()

    async def _next_frame(self) -> bytes | None:
        """Give the next frame; None at the end of the stream. Raises: FrameTooLarge."""
        while not self._received:
            data = await self._stream.receive_some(_RECEIVE_BYTES)
            if not data:
                return None
            self._service.touch(self._session_id)
            self._received.extend(self._frames.feed(data))
        return self._received.popleft()

    def _put(self, message: bytes) -> None:
        self._outbox.put(message, zxid=self._service.tree.zxid)
