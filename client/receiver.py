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


class Receiver:
    """Receives what one peer sends."""

    __slots__ = ("_frames", "_may_be_more", "_stream")

    def __init__(self, stream: trio.abc.Stream, frames: FrameReader) -> None:
        self._stream = stream
        self._frames = frames
        self._may_be_more = True

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
        count = None
        if self._may_be_more:
            await trio.lowlevel.checkpoint()
            count = self._receive_now(stream)
        while count is None:
            frames.rest()
            await trio.lowlevel.wait_readable(stream.socket)
            count = self._receive_now(stream)
        return count

    def _receive_now(self, stream: trio.SocketStream) -> int | None:
        """Take what has come already; None where that is nothing."""
        room = self._frames.room()
        try:
            count = os.readv(stream.socket.fileno(), [room])
        except BlockingIOError:
            return None
        except OSError as error:
            raise trio.BrokenResourceError(f"cannot receive: {error}") from error
        self._may_be_more = count == len(room)
        self._frames.received(count)
        return count
