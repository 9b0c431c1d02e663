"""Variable-length integers: unsigned ones of the flexible protocol, zigzag ones of records.

Must never know: messages, records.
"""

from __future__ import annotations

from typing import Final

from protocol.errors import ProtocolError

UVARINT32_MAX: Final = 0xFFFFFFFF


class Malformed(ProtocolError):
    """Bytes that say something impossible; whoever knows the message and field adds them."""


def read_uvarint(buffer: memoryview | bytes, position: int) -> tuple[int, int]:
    """Read an unsigned 32-bit varint of at most five bytes.

    Returns: the value and the position after it.
    Raises: Malformed if it is longer; IndexError if it is cut.
    """
    value = shift = 0
    while shift < 35:
        byte = buffer[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            if value > UVARINT32_MAX:
                break
            return value, position
        shift += 7
    raise Malformed("varint of more than 32 bits")


def encode_uvarint(value: int) -> bytes:
    """Give `value`, in [0, 2^32), as an unsigned varint."""
    if value < 0x80:
        return _SINGLE_BYTES[value]
    if value < 0x4000:
        return bytes((value & 0x7F | 0x80, value >> 7))
    return _encode_long(value)


def read_varint(buffer: memoryview | bytes, position: int) -> tuple[int, int]:
    """Read a zigzag varint of at most ten bytes, a signed 64-bit number.

    Returns: the value and the position after it.
    Raises: Malformed if it is longer; IndexError if it is cut.
    """
    value = buffer[position]
    position += 1
    if value > 0x7F:
        value &= 0x7F
        shift = 7
        while (byte := buffer[position]) > 0x7F:
            value |= (byte & 0x7F) << shift
            position += 1
            shift += 7
            if shift > 63:
                break
        value |= byte << shift
        position += 1
        if value >> 64:
            raise Malformed("varint of more than 64 bits")
    return (value >> 1) ^ -(value & 1), position


def encode_varint(value: int) -> bytes:
    """Give `value`, in [-2^63, 2^63), as a zigzag varint."""
    value = (value << 1) ^ (value >> 63)
    if value < 0x80:
        return _SINGLE_BYTES[value]
    if value < 0x4000:
        return bytes((value & 0x7F | 0x80, value >> 7))
    return _encode_long(value)


def _encode_long(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


_SINGLE_BYTES: Final = tuple(bytes((value,)) for value in range(0x80))
