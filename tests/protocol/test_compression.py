"""Compression, in both directions and within bounds."""

from __future__ import annotations

import struct
import tracemalloc

import cramjam
import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.compression import Compression, compress, decompress
from protocol.errors import CorruptBatch, ErrorCode

BOMB = b"\0" * 5_000_000
BLOCKS = bytes(range(256)) * 1024


@pytest.mark.parametrize("kind", Compression)
@given(st.binary(max_size=300) | st.sampled_from([BLOCKS, b"", b"a" * 200_000]))
def test_what_was_compressed_comes_back(kind: Compression, data: bytes) -> None:
    assert decompress(kind, compress(kind, data), bytes_max=len(data)) == data
    assert decompress(kind, memoryview(compress(kind, bytearray(data)))) == data


@pytest.mark.parametrize("kind", Compression)
def test_a_bomb_is_refused_within_its_bound(kind: Compression) -> None:
    bomb = compress(kind, BOMB)
    tracemalloc.start()
    try:
        with pytest.raises(CorruptBatch) as caught:
            decompress(kind, bomb, bytes_max=100_000)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()

    assert caught.value.code is ErrorCode.CORRUPT_MESSAGE
    if kind is not Compression.NONE:
        assert peak < 1_000_000


@pytest.mark.parametrize("kind", [kind for kind in Compression if kind])
@given(st.data())
def test_damage_is_refused_or_gives_bounded_bytes(kind: Compression, data: st.DataObject) -> None:
    damaged = bytearray(compress(kind, b"some text, some more text, and more" * 10))
    for _ in range(data.draw(st.integers(1, 4))):
        damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    del damaged[data.draw(st.integers(1, len(damaged))) :]
    try:
        plain = decompress(kind, bytes(damaged), bytes_max=10_000)
    except CorruptBatch:
        return
    assert len(plain) <= 10_000


def test_snappy_is_written_in_the_framing_of_java() -> None:
    framed = compress(Compression.SNAPPY, b"a" * 40_000)
    (first,) = struct.unpack_from(">i", framed, 16)

    assert framed[:16] == b"\x82SNAPPY\0" + struct.pack(">ii", 1, 1)
    assert len(bytes(cramjam.snappy.decompress_raw(framed[20 : 20 + first]))) == 32 * 1024


def test_snappy_without_framing_is_read() -> None:
    raw = bytes(cramjam.snappy.compress_raw(b"plain snappy"))

    assert decompress(Compression.SNAPPY, raw) == b"plain snappy"


@pytest.mark.parametrize("tail", ["00", "000000", "00000000", "ffffffff", "0000000561"])
def test_snappy_blocks_that_lie_are_refused(tail: str) -> None:
    with pytest.raises(CorruptBatch):
        decompress(Compression.SNAPPY, compress(Compression.SNAPPY, b"x") + bytes.fromhex(tail))


def test_snappy_blocks_are_bounded_together() -> None:
    with pytest.raises(CorruptBatch, match="accepted"):
        decompress(
            Compression.SNAPPY, compress(Compression.SNAPPY, b"a" * 60_000), bytes_max=50_000
        )


def test_lz4_blocks_are_independent_as_java_demands() -> None:
    magic, flags = struct.unpack_from("<IB", compress(Compression.LZ4, BLOCKS))

    assert magic == 0x184D2204
    assert flags & 0b0010_0000


def test_lz4_stores_what_does_not_compress() -> None:
    noise = bytes((i * i * 7 + i // 3) % 251 for i in range(100))
    framed = compress(Compression.LZ4, noise)

    assert noise in framed
    assert len(framed) == len(noise) + 7 + 4 + 4
    assert decompress(Compression.LZ4, framed) == noise
