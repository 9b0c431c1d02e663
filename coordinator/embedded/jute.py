"""Jute, ZooKeeper's serialization: primitives, strings, vectors and length-prefixed frames.

Every announced length is checked against the bytes that remain before anything is allocated.
Must never know: what the records mean, sockets, the tree.
Source: ZooKeeper's jute module; big endian, -1 as the length of null.
"""

from __future__ import annotations

import struct
from struct import Struct
from typing import TYPE_CHECKING, Any

from coordinator.znode import Acl, NodeStat
from protocol.errors import ProtocolError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

_INT = Struct("!i")
_LONG = Struct("!q")
_STAT = Struct("!qqqqiiiqiiq")
_ACL_BYTES_MIN = 12
_STRING_BYTES_MIN = 4


class Malformed(ProtocolError):
    """The bytes are no record of the kind that was expected."""


class FrameTooLarge(ProtocolError):
    """The peer announced a frame that is larger than accepted, or of negative size."""


class JuteReader:
    """Reads one record after the other from a buffer. Every method raises Malformed."""

    def __init__(self, buffer: bytes) -> None:
        self._buffer = buffer
        self._position = 0

    @property
    def remaining(self) -> int:
        """Bytes not read yet."""
        return len(self._buffer) - self._position

    def fields(self, kind: Struct) -> tuple[Any, ...]:
        """Read numbers and booleans that always come together."""
        try:
            fields = kind.unpack_from(self._buffer, self._position)
        except struct.error:
            raise Malformed(f"{kind.size} bytes expected, {self.remaining} remain") from None
        self._position += kind.size
        return fields

    def int32(self) -> int:
        """Read a signed 32-bit number."""
        return self._number(_INT)

    def int64(self) -> int:
        """Read a signed 64-bit number."""
        return self._number(_LONG)

    def boolean(self) -> bool:
        """Read a boolean, one byte."""
        return self._take(1) != b"\0"

    def buffer(self) -> bytes | None:
        """Read bytes with their length, or null."""
        size = self.int32()
        if size == -1:
            return None
        if size < 0:
            raise Malformed(f"a length of {size}")
        return self._take(size)

    def string(self) -> str:
        """Read a string that must be there."""
        text = self.optional_string()
        if text is None:
            raise Malformed("null where a string is expected")
        return text

    def optional_string(self) -> str | None:
        """Read a string, or null."""
        raw = self.buffer()
        try:
            return None if raw is None else raw.decode()
        except UnicodeDecodeError as error:
            raise Malformed("a string that is not UTF-8") from error

    def strings(self) -> list[str]:
        """Read a vector of strings."""
        return [self.string() for _ in range(self._count(_STRING_BYTES_MIN))]

    def acl(self) -> tuple[Acl, ...]:
        """Read an access control list."""
        return tuple(
            Acl(self.int32(), self.string(), self.optional_string() or "")
            for _ in range(self._count(_ACL_BYTES_MIN))
        )

    def end(self) -> None:
        """Check that nothing is left."""
        if self.remaining:
            raise Malformed(f"{self.remaining} bytes too many")

    def _number(self, kind: Struct) -> int:
        (number,) = self.fields(kind)
        assert isinstance(number, int)
        return number

    def _take(self, size: int) -> bytes:
        start = self._position
        end = start + size
        if end > len(self._buffer):
            raise Malformed(f"{size} bytes expected, {self.remaining} remain")
        self._position = end
        return self._buffer[start:end]

    def _count(self, element_bytes_min: int) -> int:
        count = self.int32()
        if count == -1:
            return 0
        if not 0 <= count <= self.remaining // element_bytes_min:
            raise Malformed(f"{count} elements announced, {self.remaining} bytes remain")
        return count


def pack_buffer(value: bytes | None) -> bytes:
    """Encode bytes with their length, or null."""
    return _INT.pack(-1) if value is None else _INT.pack(len(value)) + value


def pack_string(text: str) -> bytes:
    """Encode a string."""
    return pack_buffer(text.encode())


def pack_strings(texts: Sequence[str]) -> bytes:
    """Encode a vector of strings."""
    return _INT.pack(len(texts)) + b"".join(map(pack_string, texts))


def pack_acl(acl: Sequence[Acl]) -> bytes:
    """Encode an access control list."""
    entries = (
        _INT.pack(permissions) + pack_string(scheme) + pack_string(identity)
        for permissions, scheme, identity in acl
    )
    return _INT.pack(len(acl)) + b"".join(entries)


def pack_stat(stat: NodeStat) -> bytes:
    """Encode a znode's stat."""
    return _STAT.pack(*stat)


class FrameReader:
    """Cuts a stream of bytes into frames: four bytes of size, then so many bytes."""

    def __init__(self, frame_bytes_max: int) -> None:
        self._frame_bytes_max = frame_bytes_max
        self._buffer = bytearray()

    def feed(self, data: bytes | bytearray) -> Iterable[bytes]:
        """Add bytes of the stream and list the frames that are now complete.

        Raises: FrameTooLarge; frames before it in the same data are lost with the connection.
        """
        self._buffer += data
        frames: list[bytes] = []
        position = 0
        while len(self._buffer) - position >= _INT.size:
            (size,) = _INT.unpack_from(self._buffer, position)
            if not 0 <= size <= self._frame_bytes_max:
                raise FrameTooLarge(f"{size} bytes announced, {self._frame_bytes_max} accepted")
            end = position + _INT.size + size
            if end > len(self._buffer):
                break
            frames.append(bytes(self._buffer[position + _INT.size : end]))
            position = end
        del self._buffer[:position]
        return frames


def frame(*parts: bytes) -> bytes:
    """Put the size in front of a frame's parts."""
    return _INT.pack(sum(map(len, parts))) + b"".join(parts)
