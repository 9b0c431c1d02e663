"""Varints."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.varint import (
    Malformed,
    encode_uvarint,
    encode_varint,
    read_uvarint,
    read_varint,
)


@given(st.integers(0, 2**32 - 1))
def test_unsigned_varints_are_read_back(value: int) -> None:
    encoded = encode_uvarint(value)

    assert len(encoded) <= 5
    assert read_uvarint(b"?" + encoded + b"?", 1) == (value, 1 + len(encoded))


@given(st.integers(-(2**63), 2**63 - 1))
def test_zigzag_varints_are_read_back(value: int) -> None:
    encoded = encode_varint(value)

    assert len(encoded) <= 10
    assert read_varint(b"?" + encoded + b"?", 1) == (value, 1 + len(encoded))


@pytest.mark.parametrize(
    ("value", "encoded"),
    [(0, "00"), (-1, "01"), (1, "02"), (63, "7e"), (-64, "7f"), (64, "8001"), (150, "ac02")],
)
def test_zigzag_interleaves_negative_and_positive(value: int, encoded: str) -> None:
    assert encode_varint(value) == bytes.fromhex(encoded)


@pytest.mark.parametrize("encoded", ["ffffffff7f", "808080808001", "ffffffffff"])
def test_unsigned_varints_of_more_than_32_bits_are_refused(encoded: str) -> None:
    with pytest.raises(Malformed):
        read_uvarint(bytes.fromhex(encoded) + b"\0", 0)


@pytest.mark.parametrize("encoded", ["ff" * 9 + "02", "80" * 10 + "01", "ff" * 11])
def test_zigzag_varints_of_more_than_64_bits_are_refused(encoded: str) -> None:
    with pytest.raises(Malformed):
        read_varint(bytes.fromhex(encoded) + b"\0", 0)


@pytest.mark.parametrize("encoded", ["", "80", "ffff"])
def test_cut_varints_end_too_early(encoded: str) -> None:
    for read in (read_uvarint, read_varint):
        with pytest.raises(IndexError):
            read(bytes.fromhex(encoded), 0)
