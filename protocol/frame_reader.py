"""Frames cut out of the buffer that a stream is received into: nothing is copied, nothing is kept.

A frame is lent: it is overwritten once more is received. A buffer is as well: whoever waits with
little in it keeps that alone and gives the buffer back, so that a thousand idle peers hold none,
nor a thousand that have sent one byte, and one that is busy finds the same memory again.
It grows with what arrives, never with what is announced.
Must never know: sockets, what is in a frame.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Final

from protocol.errors import ProtocolError

FRAME_BYTES_MAX: Final = 100 * 1024 * 1024
"""The largest frame that is accepted where nothing else is asked for (Kafka's default)."""

FIRST_BYTES: Final = 65_536
KEPT_BYTES_MAX: Final = 4 * 1024 * 1024
"""What waits in a pool for its next use at most."""

KEPT_APART_BYTES_MAX: Final = FIRST_BYTES // 4
"""So much of a frame that is not whole yet is copied rather than keep a buffer for it."""

_SIZE: Final = struct.Struct(">i")
_NO_BUFFER: Final = memoryview(bytearray())


class FrameTooLarge(ProtocolError):
    """A frame announces a size that is not accepted."""


class BufferPool:
    """Buffers that nobody uses at the moment; the one that was given back last is lent next."""

    def __init__(self) -> None:
        self._free: list[memoryview] = []
        self._free_bytes = 0

    def take(self) -> memoryview:
        """Lend a buffer of some size."""
        if not self._free:
            return memoryview(bytearray(FIRST_BYTES))
        buffer = self._free.pop()
        self._free_bytes -= len(buffer)
        return buffer

    def give_back(self, buffer: memoryview) -> None:
        """Take a buffer back; it is dropped where there are enough."""
        if self._free_bytes + len(buffer) <= KEPT_BYTES_MAX:
            self._free.append(buffer)
            self._free_bytes += len(buffer)


class FrameReader:
    """Cuts one stream into frames: `room`, `received`, then `next_frame` until there is none."""

    def __init__(
        self, frame_bytes_max: int = FRAME_BYTES_MAX, *, pool: BufferPool | None = None
    ) -> None:
        """Accept frames of at most `frame_bytes_max` bytes, their size not counted."""
        self._pool = pool or BufferPool()
        self._frame_bytes_max = frame_bytes_max
        self._buffer = _NO_BUFFER
        self._start = self._end = 0
        self._kept_apart = b""

    @property
    def pending_bytes(self) -> int:
        """Count the bytes held that are no whole frame yet, or have not been asked for."""
        return self._end - self._start + len(self._kept_apart)

    def room(self) -> memoryview:
        """Give space to receive into. Frames that were lent before are overwritten by it."""
        if not len(self._buffer):
            self._buffer = self._pool.take()
            self._end = len(self._kept_apart)
            self._buffer[: self._end] = self._kept_apart
            self._kept_apart = b""
        pending = self._end - self._start
        if pending > len(self._buffer) // 2:
            larger = memoryview(bytearray(len(self._buffer) * 2))
            larger[:pending] = self._buffer[self._start : self._end]
            self._buffer = larger
            self._start, self._end = 0, pending
        elif self._start:
            self._buffer[:pending] = self._buffer[self._start : self._end]
            self._start, self._end = 0, pending
        return self._buffer[self._end :]

    def received(self, count: int) -> None:
        """Take note that so many bytes were received into the room."""
        self._end += count

    def feed(self, data: bytes | bytearray) -> None:
        """Copy what was received elsewhere into the room."""
        position = 0
        while position < len(data):
            room = self.room()
            count = min(len(room), len(data) - position)
            room[:count] = data[position : position + count]
            self.received(count)
            position += count

    def next_frame(self) -> memoryview | None:
        """Lend the next frame without its size, or None until more is received.

        Raises: FrameTooLarge; nothing that follows can be understood.
        """
        available = self._end - self._start
        if available < _SIZE.size:
            return None
        size = self._announced()
        if available < _SIZE.size + size:
            return None
        begin = self._start + _SIZE.size
        self._start = begin + size
        return self._buffer[begin : self._start]

    def __iter__(self) -> Iterator[memoryview]:
        """Lend all whole frames."""
        while (frame := self.next_frame()) is not None:
            yield frame

    def _announced(self) -> int:
        (size,) = _SIZE.unpack_from(self._buffer, self._start)
        if not 0 <= size <= self._frame_bytes_max:
            raise FrameTooLarge(
                f"frame of {size} bytes announced, 0 to {self._frame_bytes_max} accepted"
            )
        return int(size)

    def rest(self) -> None:
        """Hold no buffer for little that is in it. Frames that were lent are overwritten."""
        if self._end - self._start <= KEPT_APART_BYTES_MAX and len(self._buffer):
            self._kept_apart = bytes(self._buffer[self._start : self._end])
            self._pool.give_back(self._buffer)
            self._buffer = _NO_BUFFER
            self._start = self._end = 0
