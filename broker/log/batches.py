"""Reads the batches of a file one after the other, in pieces of a bounded size.

Must never know: segments, what the batches are for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from protocol.batch import HEADER_BYTES, check_crc, read_header
from protocol.errors import CorruptBatch

if TYPE_CHECKING:
    from collections.abc import Iterator

    from broker.log.disk import FileView
    from protocol.batch import BatchHeader

_HEADER_WINDOW_BYTES: Final = 8192
_BATCH_WINDOW_BYTES: Final = 1 << 18


def iterate_headers(
    file: FileView, *, position: int, end: int
) -> Iterator[tuple[BatchHeader, int]]:
    """Yield each batch's header and position in `[position, end)`, reading as little as possible.

    Raises: CorruptBatch where a header makes no sense or its batch is cut; StorageError.
    """
    window, start = b"", position
    while position < end:
        if position + HEADER_BYTES > start + len(window):
            start = position
            window = file.read(start, min(_HEADER_WINDOW_BYTES, end - start))
        header = read_header(window, position - start)
        if position + header.size_bytes > end:
            raise CorruptBatch(f"the batch at {position} is cut: {end - position} bytes are left")
        yield header, position
        position += header.size_bytes


def iterate_batches(
    file: FileView, *, position: int = 0, end: int
) -> Iterator[tuple[BatchHeader, int, memoryview]]:
    """Yield each batch's header, its position and its bytes in `[position, end)`, unchecked.

    Raises: CorruptBatch where a header makes no sense or its batch is cut; StorageError.
    """
    window, start = memoryview(b""), position
    while position < end:
        if position + HEADER_BYTES > start + len(window):
            start = position
            window = memoryview(file.read(start, min(_BATCH_WINDOW_BYTES, end - start)))
        header = read_header(window, position - start)
        next_position = position + header.size_bytes
        if next_position > end:
            raise CorruptBatch(f"the batch at {position} is cut: {end - position} bytes are left")
        if next_position > start + len(window):
            start = position
            size = min(max(_BATCH_WINDOW_BYTES, header.size_bytes), end - start)
            window = memoryview(file.read(start, size))
        yield header, position, window[position - start : next_position - start]
        position = next_position


def crc_ok(batch: memoryview) -> bool:
    """Say whether a batch's checksum is right."""
    try:
        check_crc(batch)
    except CorruptBatch:
        return False
    return True
