"""The two sparse indexes of a segment, in memory and as Kafka lays them out on disk.

The offset index maps the last offset of a batch to the position of that batch. The time index maps
a timestamp to the last offset of the batch that first reached it: every earlier batch is older.
Entries are kept in flat arrays and written in pieces; a file that is missing or does not make
sense is not trusted but built again from the segment.
Must never know: batches, files, the disk.
"""

from __future__ import annotations

import sys
from array import array
from bisect import bisect_left, bisect_right
from struct import Struct
from typing import Final

POSITION_MAX: Final = 2**31 - 1
RELATIVE_OFFSET_MAX: Final = 2**31 - 1
"""The last position that an entry can name; what lies beyond is found from the entry before."""

_OFFSET_ENTRY: Final = Struct(">ii")
_TIME_ENTRY: Final = Struct(">qi")
_BIG_ENDIAN: Final = sys.byteorder == "big"


class IndexDamaged(Exception):
    """An index file cannot belong to its segment; build it again."""


class OffsetIndex:
    """Relative offset -> position, both rising. Relative offsets count from the segment's base."""

    ENTRY_BYTES: Final = _OFFSET_ENTRY.size

    __slots__ = ("_offsets", "_positions", "unwritten")

    def __init__(self) -> None:
        self._offsets = array("i")
        self._positions = array("i")
        self.unwritten = bytearray()

    def __len__(self) -> int:
        return len(self._offsets)

    @classmethod
    def parse(cls, data: bytes, *, segment_bytes: int) -> OffsetIndex:
        """Read an index file of a segment of this size. Raises: IndexDamaged."""
        if len(data) % cls.ENTRY_BYTES:
            raise IndexDamaged(f"{len(data)} bytes are not whole entries")
        index = cls()
        numbers = array("i", data)
        if not _BIG_ENDIAN:
            numbers.byteswap()
        index._offsets, index._positions = numbers[0::2], numbers[1::2]
        if not (_rising(index._offsets) and _rising(index._positions)):
            raise IndexDamaged("entries do not rise")
        if numbers and (numbers[0] < 0 or numbers[1] < 0 or numbers[-1] >= segment_bytes):
            raise IndexDamaged("an entry points outside of the segment")
        return index

    def add(self, relative_offset: int, position: int) -> None:
        """Add the batch at `position` whose last offset this is."""
        assert not self._offsets or relative_offset > self._offsets[-1], "offsets only grow"
        self._offsets.append(relative_offset)
        self._positions.append(position)
        self.unwritten += _OFFSET_ENTRY.pack(relative_offset, position)

    def position_before(self, relative_offset: int) -> int:
        """Position of a batch at or before the one that holds the offset; 0 where none is known."""
        i = bisect_right(self._offsets, relative_offset) - 1
        return self._positions[i] if i >= 0 else 0

    def boundary_before(self, position: int) -> int:
        """Return the greatest indexed batch position at or below `position`; 0 where none is."""
        i = bisect_right(self._positions, position) - 1
        return self._positions[i] if i >= 0 else 0

    @property
    def last_offset(self) -> int:
        """Relative offset of the last entry; there has to be one."""
        return self._offsets[-1]

    @property
    def last_position(self) -> int:
        """Position of the last indexed batch; 0 for an empty index."""
        return self._positions[-1] if self._positions else 0

    def cut(self, relative_offset: int) -> None:
        """Drop the entries at or above a relative offset; the whole file must be written again."""
        keep = bisect_left(self._offsets, relative_offset)
        del self._offsets[keep:]
        del self._positions[keep:]

    def encode(self) -> bytes:
        """Lay the whole index out as its file."""
        numbers = array("i", bytes(self.ENTRY_BYTES * len(self._offsets)))
        numbers[0::2], numbers[1::2] = self._offsets, self._positions
        if not _BIG_ENDIAN:
            numbers.byteswap()
        return numbers.tobytes()


class TimeIndex:
    """Timestamp -> relative offset, both rising."""

    ENTRY_BYTES: Final = _TIME_ENTRY.size

    __slots__ = ("_offsets", "_timestamps", "unwritten")

    def __init__(self) -> None:
        self._timestamps = array("q")
        self._offsets = array("i")
        self.unwritten = bytearray()

    def __len__(self) -> int:
        return len(self._offsets)

    @classmethod
    def parse(cls, data: bytes) -> TimeIndex:
        """Read a time index file. Raises: IndexDamaged."""
        if len(data) % cls.ENTRY_BYTES:
            raise IndexDamaged(f"{len(data)} bytes are not whole entries")
        index = cls()
        if data:
            timestamps, offsets = zip(*_TIME_ENTRY.iter_unpack(data), strict=True)
            index._timestamps, index._offsets = array("q", timestamps), array("i", offsets)
        if not (_rising(index._timestamps) and _rising(index._offsets)):
            raise IndexDamaged("entries do not rise")
        if index._offsets and index._offsets[0] < 0:
            raise IndexDamaged("an entry points outside of the segment")
        return index

    def add(self, timestamp_ms: int, relative_offset: int) -> None:
        """Add a timestamp that was first reached by the batch with this last offset.

        A timestamp that is not greater than the last entry's says nothing new and is left out.
        """
        if self._timestamps and timestamp_ms <= self._timestamps[-1]:
            return
        self._timestamps.append(timestamp_ms)
        self._offsets.append(relative_offset)
        self.unwritten += _TIME_ENTRY.pack(timestamp_ms, relative_offset)

    def offset_before(self, timestamp_ms: int) -> int:
        """Relative offset up to which every record is older than the timestamp; -1 if unknown."""
        i = bisect_left(self._timestamps, timestamp_ms) - 1
        return self._offsets[i] if i >= 0 else -1

    @property
    def last(self) -> tuple[int, int] | None:
        """The last entry: timestamp and relative offset."""
        return (self._timestamps[-1], self._offsets[-1]) if self._offsets else None

    def cut(self, relative_offset: int) -> None:
        """Drop the entries at or above a relative offset; the whole file must be written again."""
        keep = bisect_left(self._offsets, relative_offset)
        del self._timestamps[keep:]
        del self._offsets[keep:]

    def encode(self) -> bytes:
        """Lay the whole index out as its file."""
        pairs = zip(self._timestamps, self._offsets, strict=True)
        return b"".join(_TIME_ENTRY.pack(timestamp, offset) for timestamp, offset in pairs)


def _rising(numbers: array[int]) -> bool:
    """Say whether every number is greater than the one before it."""
    return all(map(int.__lt__, numbers, numbers[1:]))
