"""All segments of one log, oldest first; the last one is open for appends.

Must never know: epochs, producers, watermarks.
"""

from __future__ import annotations

from bisect import bisect_right
from typing import TYPE_CHECKING

from broker.log.placement import Placed
from broker.log.reading import read_segment
from broker.log.segment import Segment
from protocol.batch import NO_TIMESTAMP

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from broker.log.disk import Buffer
    from broker.log.slice import LogSlice
    from broker.log.storage import Storage
    from protocol.batch import BatchHeader


class Segments:
    """A log's segments by base offset; each ends where the next begins. Never empty."""

    __slots__ = ("_bases", "_segments", "_storage", "active")

    def __init__(self, storage: Storage, segments: list[Segment]) -> None:
        self._storage = storage
        self._segments = segments
        self._bases = [segment.base_offset for segment in segments]
        self.active = segments[-1]

    def __len__(self) -> int:
        return len(self._segments)

    def __iter__(self) -> Iterator[Segment]:
        return iter(self._segments)

    @property
    def base_offset(self) -> int:
        """Where the oldest segment begins."""
        return self._bases[0]

    @property
    def size_bytes(self) -> int:
        """Bytes of batches in all segments."""
        return sum(segment.size_bytes for segment in self._segments)

    def as_tuple(self) -> tuple[Segment, ...]:
        """Return the segments, oldest first."""
        return tuple(self._segments)

    # Writing.

    def needs_roll(self, placed: Sequence[Placed], size_bytes: int) -> bool:
        """Say whether batches of this size belong into a new segment."""
        active, config = self.active, self._storage.config
        if not active.size_bytes:
            return False
        if active.size_bytes + size_bytes > config.segment_bytes:
            return True
        if not active.may_hold(placed[-1].last_offset):
            return True
        newest_ms, first_ms = placed[-1].max_timestamp_ms, active.first_timestamp_ms
        if NO_TIMESTAMP in (newest_ms, first_ms):
            newest_ms, first_ms = self._storage.wall_ms(), active.opened_ms
        return newest_ms - first_ms > config.roll_ms

    def append(self, chunks: Sequence[Buffer], placed: Sequence[Placed]) -> None:
        """Write batches to the active segment. Raises: StorageError."""
        self.active.append(chunks, placed)

    def roll(self) -> None:
        """Complete the active segment and open a new one at its end. Raises: StorageError."""
        self.active.seal()
        self._add(Segment.create(self._storage, self.active.next_offset))

    def _add(self, segment: Segment) -> None:
        assert not self._bases or segment.base_offset > self._bases[-1], "offsets only grow"
        self._segments.append(segment)
        self._bases.append(segment.base_offset)
        self.active = segment

    def truncate(self, offset: int) -> None:
        """Cut everything from `offset` on, durably, the newest first. Raises: StorageError."""
        assert offset >= self.base_offset, "what begins later is restarted, not truncated"
        while self.active.base_offset > offset or (
            self.active.base_offset == offset and len(self._segments) > 1
        ):
            self._remove_newest()
        self.active.truncate(offset)

    def restart(self, offset: int) -> None:
        """Remove everything and begin anew at `offset`, durably. Raises: StorageError."""
        while self._segments:
            self._remove_newest()
        self._add(Segment.create(self._storage, offset))

    def _remove_newest(self) -> None:
        self.active.remove()
        self._segments.pop()
        self._bases.pop()
        if self._segments:
            self.active = self._segments[-1]

    def remove_oldest(self, count: int) -> None:
        """Remove some of the oldest segments, never the active one. Raises: StorageError."""
        assert count < len(self._segments), "the active segment stays"
        for _ in range(count):
            self._segments[0].remove()
            del self._segments[0]
            del self._bases[0]

    def rest(self, durable_end_offset: int) -> None:
        """Let go of what nobody has used of late: of complete segments that are durable."""
        for segment in self._segments[:-1]:
            if segment.next_offset <= durable_end_offset:
                segment.rest()

    def replace(self, old: Sequence[Segment], new: Segment) -> None:
        """Put one segment in the place of neighbours, never of the active one."""
        first = self._bases.index(old[0].base_offset)
        last = first + len(old)
        assert last < len(self._segments), "the active segment stays"
        assert self._segments[first:last] == list(old), "they are neighbours"
        self._segments[first:last] = [new]
        self._bases[first:last] = [new.base_offset]

    def close(self) -> None:
        """Let go of all files."""
        for segment in self._segments:
            segment.close()

    # Reading.

    def _from(self, offset: int) -> Iterator[Segment]:
        """Yield the segment that may hold the offset and all after it."""
        first = max(bisect_right(self._bases, offset) - 1, 0)
        for i in range(first, len(self._segments)):
            yield self._segments[i]

    def read(
        self, offset: int, *, bytes_max: int, end_offset: int, at_least_one: bool
    ) -> LogSlice | None:
        """Read whole batches of one segment; None where there is nothing. Raises: StorageError."""
        segment = self.active
        if offset < segment.base_offset:
            segment = next(self._from(offset))
        return read_segment(
            segment, offset, bytes_max=bytes_max, end_offset=end_offset, at_least_one=at_least_one
        )

    def headers(self, offset: int) -> Iterator[BatchHeader]:
        """Yield all headers from the batch that holds `offset` on. Raises: StorageError."""
        for segment in self._from(offset):
            for header, _ in segment.headers(offset):
                yield header
