"""Receives frames: from a socket straight into the buffer that they are cut out of.

Brokers receive requests by it as well. Must never know: messages, requests, answers.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final

import trio

if TYPE_CHECKING:
    from protocol.frame_reader import FrameReader

RECEIVE_BYTES: Final = 262_144
"""Asked for at once where the stream is no socket."""

WAKE_BYTES_MAX: Final = 262_144
"""Of a frame that has come in part at most so much more is waited for at once."""


class Receiver:
    """Receives what one peer sends."""

    __slots__ = ("_frames", "_stream", "_wake_bytes")

    def __init__(self, stream: trio.abc.Stream, frames: FrameReader) -> None:
        self._stream = stream
        self._frames = frames
        self._wake_bytes = 1

    async def receive(self) -> int:
        """Wait until something has come; there is no checkpoint between that and the return.

        Returns: how many bytes, 0 at the end. Raises: trio.BrokenResourceError.
        """
        stream, frames = self._stream, self._frames
        if not isinstance(stream, trio.SocketStream):
            frames.rest()
            data = await stream.receive_some(RECEIVE_BYTES)
            frames.feed(data)
            return len(data)
        await trio.lowlevel.checkpoint()
        while (count := self._receive_now(stream)) is None:
            frames.rest()
            self._wake_for(stream, min(frames.missing_bytes, WAKE_BYTES_MAX))
            await trio.lowlevel.wait_readable(stream.socket)
        return count

    def _receive_now(self, stream: trio.SocketStream) -> int | None:
        """Take what has come already; None where that is nothing."""
        try:
            count = os.readv(stream.socket.fileno(), [self._frames.room()])
        except BlockingIOError:
            return None
        except OSError as error:
            raise trio.BrokenResourceError(f"cannot receive: {error}") from error
        self._frames.received(count)
        return count

    def _wake_for(self, stream: trio.SocketStream, count: int) -> None:
        """Have the system wake us for so many bytes, or the end: part of a frame is of no use."""
        if count != self._wake_bytes:
            self._wake_bytes = count
            stream.socket.setsockopt(trio.socket.SOL_SOCKET, trio.socket.SO_RCVLOWAT, count)
