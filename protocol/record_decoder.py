"""Decodes the records of a batch. Must never know: batches' headers, compression, checksums.

One loop, for consumers spend most of their time in it: varints of one and of two bytes are read in
place, since a call costs more than what it would do, and what was decoded comes in columns, of
which records of any kind are made without a step of Python's own.
Source: Kafka protocol guide, "Record".
"""

from __future__ import annotations

from typing import Final, NamedTuple

from protocol.varint import Malformed, read_varint

Header = tuple[str, bytes | None]


class Columns(NamedTuple):
    """The records of one batch, field by field; all lists are of the same length."""

    offsets: list[int]
    timestamps_ms: list[int]
    keys: list[bytes | None]
    values: list[bytes | None]
    headers: list[tuple[Header, ...]]


_ZIGZAG: Final = tuple((value >> 1) ^ -(value & 1) for value in range(128))
_NULL: Final = 1
"""What -1 is as a varint; other negative lengths are not told from it."""


def decode_columns(  # noqa: C901, PLR0912, PLR0915 - one loop, see above
    data: bytes, *, count: int, base_offset: int, base_timestamp: int
) -> Columns:
    """Decode `count` records that fill `data`.

    Raises: Malformed, IndexError where they are cut.
    """
    zigzag = _ZIGZAG
    offsets = [0] * count
    timestamps = [0] * count
    keys: list[bytes | None] = [None] * count
    values: list[bytes | None] = [None] * count
    keys_and_values = keys, values
    headers: list[tuple[Header, ...]] = [()] * count
    p = 0
    for i in range(count):
        if (n := data[p]) < 128:
            end = p + 1 + zigzag[n]
            p += 2  # over the attributes as well, of which there are none
        elif (m := data[p + 1]) < 128:
            n = (m << 7) + n - 128
            end = p + 2 + ((n >> 1) ^ -(n & 1))
            p += 3
        else:
            n, p = read_varint(data, p)
            end = p + n
            p += 1
        if (n := data[p]) < 128:
            timestamps[i] = base_timestamp + zigzag[n]
            p += 1
        elif (m := data[p + 1]) < 128:
            n = (m << 7) + n - 128
            timestamps[i] = base_timestamp + ((n >> 1) ^ -(n & 1))
            p += 2
        else:
            n, p = read_varint(data, p)
            timestamps[i] = base_timestamp + n
        if (n := data[p]) < 128:
            offsets[i] = base_offset + zigzag[n]
            p += 1
        elif (m := data[p + 1]) < 128:
            n = (m << 7) + n - 128
            offsets[i] = base_offset + ((n >> 1) ^ -(n & 1))
            p += 2
        else:
            n, p = read_varint(data, p)
            offsets[i] = base_offset + n
        for column in keys_and_values:
            if (n := data[p]) == _NULL:
                p += 1
            else:
                if n < 128:
                    n = zigzag[n]
                    p += 1
                elif (m := data[p + 1]) < 128:
                    n = (m << 7) + n - 128
                    n = (n >> 1) ^ -(n & 1)
                    p += 2
                else:
                    n, p = read_varint(data, p)
                if n >= 0:
                    start = p
                    p += n
                    column[i] = data[start:p]
        if data[p]:
            headers[i], p = _decode_headers(data, p, end)
        else:
            p += 1
        if p != end:
            raise Malformed("fields do not fill the record")
    if p != len(data):
        raise Malformed(f"{len(data) - p} bytes after the last record")
    return Columns(offsets, timestamps, keys, values, headers)


def _decode_headers(data: bytes, position: int, end: int) -> tuple[tuple[Header, ...], int]:
    """Decode a record's headers; give them with the position after them.

    Names that are not UTF-8 have U+FFFD where they cannot be read, as in Kafka: no broker looks at
    them, and one that somebody wrote must not keep everybody from what comes after it.
    """
    count, position = read_varint(data, position)
    if not 0 <= count <= (end - position) // 2:
        raise Malformed(f"{count} headers announced, {end - position} bytes left")
    headers: list[Header] = []
    for _ in range(count):
        size, position = read_varint(data, position)
        if size < 0:
            raise Malformed("header without a name")
        name = str(data[position : position + size], "utf-8", "replace")
        position += size
        size, position = read_varint(data, position)
        value = data[position : position + size] if size >= 0 else None
        position += max(size, 0)
        headers.append((name, value))
    return tuple(headers), position
