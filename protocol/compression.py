"""Compression of record batches: gzip, snappy, LZ4 frames and zstd, bounded on the way back.

Snappy is written in the block framing that Java clients write and expect (a magic, two version
numbers, then length-prefixed blocks); unframed snappy is accepted too.
Must never know: records, batches.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from enum import IntEnum
from typing import Any, Final

import cramjam

from protocol.errors import CorruptBatch

DECOMPRESSED_BYTES_MAX: Final = 128 * 1024 * 1024
"""How far a batch may unfold where nothing else is asked for."""

_SNAPPY_HEADER: Final = b"\x82SNAPPY\0" + struct.pack(">ii", 1, 1)
_SNAPPY_MAGIC: Final = _SNAPPY_HEADER[:8]
_SNAPPY_BLOCK_BYTES: Final = 32 * 1024
_SIZE: Final = struct.Struct(">i")
_LZ4_HEADER: Final = bytes.fromhex("04224d18 60 40 82")  # independent blocks of 64 KiB, no checksum
_LZ4_BLOCK_BYTES: Final = 64 * 1024
_LZ4_STORED: Final = 0x80000000
_LZ4_SIZE: Final = struct.Struct("<I")
_FIRST_GUESS_BYTES: Final = 64 * 1024
_GROWTH: Final = 8


class Compression(IntEnum):
    """How the records of a batch are compressed: the lowest three bits of its attributes."""

    NONE = 0
    GZIP = 1
    SNAPPY = 2
    LZ4 = 3
    ZSTD = 4


def compress(kind: Compression, data: bytes | bytearray) -> bytes:
    """Compress as every Kafka client can read it."""
    match kind:
        case Compression.NONE:
            return bytes(data)
        case Compression.GZIP:
            return bytes(cramjam.gzip.compress(data))
        case Compression.SNAPPY:
            return _compress_snappy(data)
        case Compression.LZ4:
            return _compress_lz4(data)
        case Compression.ZSTD:
            return bytes(cramjam.zstd.compress(data))


def decompress(
    kind: Compression, data: bytes | memoryview, *, bytes_max: int = DECOMPRESSED_BYTES_MAX
) -> bytes:
    """Decompress to at most `bytes_max` bytes.

    Raises: CorruptBatch where `data` is damaged or would become more.
    """
    match kind:
        case Compression.NONE:
            plain = bytes(data)
            if len(plain) > bytes_max:
                raise CorruptBatch(f"{len(plain)} bytes of records, {bytes_max} accepted")
            return plain
        case Compression.GZIP:
            return _decompress_into(cramjam.gzip.decompress_into, bytes(data), bytes_max)
        case Compression.SNAPPY:
            return _decompress_snappy(memoryview(data), bytes_max)
        case Compression.LZ4:
            return _decompress_into(cramjam.lz4.decompress_into, bytes(data), bytes_max)
        case Compression.ZSTD:
            return _decompress_into(cramjam.zstd.decompress_into, bytes(data), bytes_max)


def _decompress_into(decompress_into: Callable[..., Any], data: bytes, bytes_max: int) -> bytes:
    # The size is rarely told and never to be trusted: guess, and grow while it does not fit.
    size = min(bytes_max, max(_FIRST_GUESS_BYTES, len(data) * 4))
    while True:
        output = bytearray(size)
        try:
            written = decompress_into(data, output)
        except cramjam.DecompressionError as error:
            if size >= bytes_max:
                raise CorruptBatch(
                    f"{len(data)} bytes do not decompress to {bytes_max} or fewer: {error}"
                ) from None
            size = min(bytes_max, size * _GROWTH)
        else:
            return bytes(memoryview(output)[:written])


def _compress_lz4(data: bytes | bytearray) -> bytes:
    # Java refuses blocks that depend on those before, which cramjam's own frames are made of.
    view = memoryview(data)
    parts = [_LZ4_HEADER]
    for start in range(0, len(view), _LZ4_BLOCK_BYTES):
        plain = bytes(view[start : start + _LZ4_BLOCK_BYTES])
        block = bytes(cramjam.lz4.compress_block(plain, store_size=False))
        if len(block) < len(plain):
            parts += [_LZ4_SIZE.pack(len(block)), block]
        else:
            parts += [_LZ4_SIZE.pack(len(plain) | _LZ4_STORED), plain]
    parts.append(_LZ4_SIZE.pack(0))
    return b"".join(parts)


def _compress_snappy(data: bytes | bytearray) -> bytes:
    view = memoryview(data)
    parts = [_SNAPPY_HEADER]
    for start in range(0, len(view), _SNAPPY_BLOCK_BYTES):
        block = bytes(cramjam.snappy.compress_raw(bytes(view[start : start + _SNAPPY_BLOCK_BYTES])))
        parts += [_SIZE.pack(len(block)), block]
    return b"".join(parts)


def _decompress_snappy(data: memoryview, bytes_max: int) -> bytes:
    if data[: len(_SNAPPY_MAGIC)] != _SNAPPY_MAGIC:
        return _decompress_snappy_block(data, bytes_max)
    blocks = []
    position = len(_SNAPPY_HEADER)
    while position < len(data):
        if len(data) - position < _SIZE.size:
            raise CorruptBatch("snappy block cut in its size")
        (size,) = _SIZE.unpack_from(data, position)
        position += _SIZE.size
        if not 0 < size <= len(data) - position:
            raise CorruptBatch(f"snappy block of {size} bytes, {len(data) - position} left")
        block = _decompress_snappy_block(data[position : position + size], bytes_max)
        bytes_max -= len(block)
        position += size
        blocks.append(block)
    return b"".join(blocks)


def _decompress_snappy_block(data: memoryview, bytes_max: int) -> bytes:
    block = bytes(data)
    try:
        size = cramjam.snappy.decompress_raw_len(block)
        if size > bytes_max:
            raise CorruptBatch(f"snappy block becomes {size} bytes, {bytes_max} accepted")
        return bytes(cramjam.snappy.decompress_raw(block))
    except cramjam.DecompressionError as error:
        raise CorruptBatch(f"damaged snappy block: {error}") from None
