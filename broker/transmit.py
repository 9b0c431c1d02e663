"""Sends answers: bytes joined, slices of files by sendfile where the stream is a socket.

Must never know: messages, requests, logs (a slice is a file, a position and a size).
"""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING, Protocol

import trio

from client.send_now import send_now
from protocol.errors import StorageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from broker.log.disk import FileView

SENDFILE_BYTES_MIN = 65_536
"""Smaller slices are read and joined with their neighbours, which costs less than a call for each.

Measured over loopback: at 32 KiB reading takes 15 % less time, at 64 KiB they are equal, at 128 KiB
sendfile takes 30 % less.
"""

SEND_BYTES = 262_144
"""About how many bytes are joined for one send, and read at a time where sendfile cannot be."""

SENDFILE_BYTES_MAX = 1_048_576
"""Sent by one call of sendfile, which may wait for the disk; other tasks run in between."""


class FileSlice(Protocol):
    """A region of a file."""

    @property
    def file(self) -> FileView:
        """The file."""

    @property
    def position(self) -> int:
        """Where the region begins."""

    @property
    def size(self) -> int:
        """How many bytes it has."""

    def __len__(self) -> int:
        """The same."""

    def failed(self, error: StorageError) -> None:
        """Say that the disk has refused to give some of it."""


Chunk = bytes | bytearray | memoryview | FileSlice
IN_MEMORY = (bytes, bytearray, memoryview)


class CutShort(trio.BrokenResourceError):
    """A file ended before its slice did: the announced size cannot be kept any more."""


async def send_chunks(stream: trio.abc.SendStream, chunks: Sequence[Chunk]) -> None:
    """Send all chunks in order, with or without a checkpoint.

    Raises: trio.BrokenResourceError, CutShort; the connection is of no use afterwards.
    """
    joined: list[bytes | bytearray | memoryview] = []
    joined_bytes = 0
    for chunk in chunks:
        if isinstance(chunk, IN_MEMORY):
            joined.append(chunk)
            joined_bytes += len(chunk)
        elif isinstance(stream, trio.SocketStream) and _suits_sendfile(chunk):
            await _send(stream, b"".join(joined))
            joined, joined_bytes = [], 0
            await _send_file(stream.socket, chunk)
        else:
            end = chunk.position + chunk.size
            for position in range(chunk.position, end, SEND_BYTES):
                if joined_bytes >= SEND_BYTES:
                    await _send(stream, b"".join(joined))
                    joined, joined_bytes = [], 0
                piece = _read(chunk, position, size=min(SEND_BYTES, end - position))
                joined.append(piece)
                joined_bytes += len(piece)
        if joined_bytes >= SEND_BYTES:
            await _send(stream, b"".join(joined))
            joined, joined_bytes = [], 0
    if joined:
        await _send(stream, b"".join(joined))


async def _send(stream: trio.abc.SendStream, data: bytes) -> None:
    # Who was cancelled has given the peer up: what is ready must not reach it any more.
    await trio.lowlevel.checkpoint_if_cancelled()
    sent = send_now(stream, data)
    if sent < len(data):
        await stream.send_all(data[sent:])


def _suits_sendfile(chunk: FileSlice) -> bool:
    return chunk.size >= SENDFILE_BYTES_MIN and chunk.file.fileno() is not None


def _read(chunk: FileSlice, position: int, *, size: int) -> bytes:
    try:
        piece = chunk.file.read(position, size)
    except StorageError as error:
        chunk.failed(error)
        raise CutShort(str(error)) from error
    if len(piece) < size:
        raise CutShort(f"{chunk.file.path} has no {size} bytes at {position}")
    return piece


async def _send_file(socket: trio.socket.SocketType, chunk: FileSlice) -> None:
    source = chunk.file.fileno()
    assert source is not None, "asked of slices that suit sendfile only"
    position, end = chunk.position, chunk.position + chunk.size
    while position < end:
        await trio.lowlevel.checkpoint_if_cancelled()
        try:
            size = min(end - position, SENDFILE_BYTES_MAX)
            sent = os.sendfile(socket.fileno(), source, position, size)
        except BlockingIOError:
            await trio.lowlevel.wait_writable(socket)
        except OSError as error:
            if error.errno == errno.EIO:  # the disk, not the peer
                chunk.failed(StorageError(f"cannot read {chunk.file.path}: {error}"))
            raise trio.BrokenResourceError(f"sendfile failed: {error}") from error
        else:
            if sent == 0:
                raise CutShort(f"{chunk.file.path} has no byte at {position}")
            position += sent
            await trio.lowlevel.cancel_shielded_checkpoint()
