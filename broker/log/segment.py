"""One segment: a file of record batches, `<base offset>.log`, and its two sparse indexes.

Must never know: other segments, epochs, producers.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right
from typing import TYPE_CHECKING, Final, NamedTuple

import structlog

from broker.log.index import IndexDamaged, OffsetIndex, TimeIndex
from broker.log.slice import LogSlice
from protocol.batch import HEADER_BYTES, assigned, check_crc, read_header
from protocol.errors import CorruptBatch, StorageError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from broker.log.disk import Buffer, File, FileView
    from broker.log.storage import Storage
    from protocol.batch import BatchHeader

LOG_SUFFIX: Final = ".log"
OFFSET_INDEX_SUFFIX: Final = ".index"
TIME_INDEX_SUFFIX: Final = ".timeindex"
DELETED_SUFFIX: Final = ".deleted"
NO_TIMESTAMP: Final = -1
_HEADER_WINDOW_BYTES: Final = 8192
_BATCH_WINDOW_BYTES: Final = 1 << 18
_INDEX_SPILL_BYTES: Final = 4096
_RECENT_MAX: Final = 128

_events = structlog.get_logger(__name__)


class Placed(NamedTuple):
    """A batch as it lies in the log: its offsets, size and newest timestamp."""

    base_offset: int
    last_offset: int
    size_bytes: int
    max_timestamp_ms: int


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
) -> Iterator[tuple[BatchHeader, int, bool]]:
    """Yield each batch's header, its position, and whether its CRC is right, in `[position, end)`.

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
        yield header, position, _crc_ok(window[position - start : next_position - start])
        position = next_position


def _crc_ok(batch: memoryview) -> bool:
    try:
        check_crc(batch)
    except CorruptBatch:
        return False
    return True


class Segment:
    """Batches of the offsets `[base_offset, next_offset)`.

    The file is opened and the indexes are loaded when they are first needed: an idle segment costs
    nothing. Index files are caches, written in pieces and never synced: what they lack is scanned.
    """

    __slots__ = (
        "_bytes_since_entry",
        "_file",
        "_first_timestamp_ms",
        "_max_timestamp",
        "_offsets",
        "_recent_last_offsets",
        "_recent_positions",
        "_storage",
        "_times",
        "base_offset",
        "next_offset",
        "opened_ms",
        "size_bytes",
    )

    def __init__(self, storage: Storage, base_offset: int, *, next_offset: int) -> None:
        self.base_offset = base_offset
        self.next_offset = next_offset
        self.size_bytes = 0
        self.opened_ms = storage.wall_ms()
        self._storage = storage
        self._file: File | None = None
        self._offsets: OffsetIndex | None = None
        self._times: TimeIndex | None = None
        self._max_timestamp = (NO_TIMESTAMP, base_offset)
        self._first_timestamp_ms = NO_TIMESTAMP
        self._bytes_since_entry = 0
        self._recent_last_offsets = array("q")
        self._recent_positions = array("q")

    def __repr__(self) -> str:
        return f"<Segment {self.path(LOG_SUFFIX)} [{self.base_offset}, {self.next_offset})>"

    @classmethod
    def create(cls, storage: Storage, base_offset: int) -> Segment:
        """Create an empty segment; the next flush makes its file last. Raises: StorageError."""
        segment = cls(storage, base_offset, next_offset=base_offset)
        segment.remove_leftovers()
        segment._file = storage.disk.open(segment.path(LOG_SUFFIX), create=True)
        segment._start_indexes()
        storage.unsynced.note_file(segment._file)
        storage.unsynced.note_directory(storage.directory)
        return segment

    @classmethod
    def existing(cls, storage: Storage, base_offset: int, *, next_offset: int) -> Segment:
        """Find one on the disk; `next_offset` is a guess until `load`. Raises: StorageError."""
        segment = cls(storage, base_offset, next_offset=next_offset)
        segment.size_bytes = storage.disk.file_size_bytes(segment.path(LOG_SUFFIX))
        return segment

    def path(self, suffix: str) -> str:
        """Return the path of one of its files."""
        return self._storage.path(f"{self.base_offset:020d}{suffix}")

    @property
    def file(self) -> File:
        """The file of batches. Raises: StorageError where it cannot be opened."""
        if self._file is None:
            self._file = self._storage.disk.open(self.path(LOG_SUFFIX))
        return self._file

    @property
    def max_timestamp(self) -> tuple[int, int]:
        """The newest timestamp (-1 for none) and the last offset of the first batch that has it."""
        if self._offsets is None:
            self.load()
        return self._max_timestamp

    @property
    def max_timestamp_ms(self) -> int:
        """The newest timestamp, or -1."""
        return self.max_timestamp[0]

    @property
    def first_timestamp_ms(self) -> int:
        """The newest timestamp of its first batch, by which it grows old; -1 while it is empty."""
        if self._first_timestamp_ms == NO_TIMESTAMP and self.size_bytes:
            self._first_timestamp_ms = self._header_at(0).max_timestamp
        return self._first_timestamp_ms

    # Writing.

    def append(self, chunks: Sequence[Buffer], placed: Sequence[Placed]) -> None:
        """Write batches at the end, in one call to the disk. Raises: StorageError."""
        offsets, _ = self._indexes()
        if len(offsets.unwritten) >= _INDEX_SPILL_BYTES:
            self.write_indexes()
        file = self.file
        position = file.append(*chunks)
        self._storage.unsynced.note_file(file)
        for one in placed:
            self.note(one, position)
            position += one.size_bytes

    def note(self, placed: Placed, position: int) -> None:
        """Take account of a batch that lies at `position`, the end of what was noted so far."""
        offsets, times = self._indexes()
        base_offset, (_, last_offset, size_bytes, timestamp_ms) = self.base_offset, placed
        if timestamp_ms > self._max_timestamp[0]:
            self._max_timestamp = (timestamp_ms, last_offset)
        if self._bytes_since_entry > self._storage.config.index_interval_bytes:
            offsets.add(last_offset - base_offset, position)
            self._index_max_timestamp(times)
            self._bytes_since_entry = 0
        self._bytes_since_entry += size_bytes
        recent = self._recent_last_offsets
        recent.append(last_offset)
        self._recent_positions.append(position)
        if len(recent) > _RECENT_MAX:
            del recent[: _RECENT_MAX // 2]
            del self._recent_positions[: _RECENT_MAX // 2]
        self.next_offset = last_offset + 1
        self.size_bytes = position + size_bytes

    def _index_max_timestamp(self, times: TimeIndex) -> None:
        timestamp_ms, offset = self._max_timestamp
        if timestamp_ms != NO_TIMESTAMP:
            times.add(timestamp_ms, offset - self.base_offset)

    def seal(self) -> None:
        """Complete the index files: nothing will be appended any more. Raises: StorageError."""
        _, times = self._indexes()
        self._index_max_timestamp(times)
        self.write_indexes()
        self._recent_last_offsets, self._recent_positions = array("q"), array("q")

    def truncate(self, offset: int) -> None:
        """Cut the batch that holds `offset` and all after it, durably. Raises: StorageError."""
        position = self.position_of(offset)
        if position >= self.size_bytes:
            return
        offsets, times = self._indexes()
        first_cut = self._header_at(position).base_offset - self.base_offset
        self.file.truncate(position)
        offsets.cut(first_cut)
        times.cut(first_cut)
        self._forget_tail()
        self._scan(offsets.last_position, end=position)
        self.rewrite_indexes()

    def remove(self) -> None:
        """Delete it: the file of batches is renamed first, durably. Raises: StorageError."""
        self.close()
        path = self.path(LOG_SUFFIX)
        self._storage.disk.rename(path, path + DELETED_SUFFIX)
        self._storage.disk.remove(path + DELETED_SUFFIX)
        self.remove_leftovers()

    def remove_leftovers(self) -> None:
        """Delete index files whose segment is gone. Raises: StorageError."""
        self._storage.disk.remove(self.path(OFFSET_INDEX_SUFFIX))
        self._storage.disk.remove(self.path(TIME_INDEX_SUFFIX))

    def close(self) -> None:
        """Let go of the file; slices that were handed out stay readable."""
        if self._file is not None:
            self._storage.unsynced.forget_file(self._file)
            self._file.close()
            self._file = None

    # Indexes.

    def load(self) -> None:
        """Read the indexes and scan the batches after their last entry. Raises: StorageError."""
        end = self.size_bytes
        try:
            self._offsets = OffsetIndex.parse(self._read(OFFSET_INDEX_SUFFIX), segment_bytes=end)
            self._times = TimeIndex.parse(self._read(TIME_INDEX_SUFFIX))
            self._forget_tail()
            self._scan(self._offsets.last_position, end=end)
        except (StorageError, IndexDamaged) as error:
            if end:
                _events.info("index_rebuilt", segment=self.path(LOG_SUFFIX), reason=str(error))
            self.start_recovery()
            self._scan(0, end=end)
            self.rewrite_indexes()

    def start_recovery(self) -> None:
        """Forget what the indexes say: every batch that is worth keeping will be noted again."""
        self._start_indexes()

    def end_recovery(self) -> None:
        """Cut what was not noted, durably, and replace the index files. Raises: StorageError."""
        if self.file.size_bytes > self.size_bytes:
            self.file.truncate(self.size_bytes)
        self.file.sync()  # what was only in the kernel's hands counts as durable from now on
        self.rewrite_indexes()

    def write_indexes(self) -> None:
        """Append the new entries to the index files, if they are in use. Raises: StorageError."""
        if self._offsets is None:
            return
        offsets, times = self._indexes()
        for index, suffix in ((offsets, OFFSET_INDEX_SUFFIX), (times, TIME_INDEX_SUFFIX)):
            file = self._storage.disk.open(self.path(suffix), create=True)
            if index.unwritten:
                file.append(index.unwritten)
                index.unwritten = bytearray()
            file.close()

    def rewrite_indexes(self) -> None:
        """Replace the index files. Raises: StorageError."""
        offsets, times = self._indexes()
        for index, suffix in ((offsets, OFFSET_INDEX_SUFFIX), (times, TIME_INDEX_SUFFIX)):
            self._storage.disk.write_file(self.path(suffix), index.encode(), durable=False)
            index.unwritten = bytearray()

    def _indexes(self) -> tuple[OffsetIndex, TimeIndex]:
        if self._offsets is None or self._times is None:
            self.load()
        assert self._offsets is not None, "loaded above"
        assert self._times is not None, "loaded above"
        return self._offsets, self._times

    def _start_indexes(self) -> None:
        self._offsets, self._times = OffsetIndex(), TimeIndex()
        self._forget_tail()

    def _forget_tail(self) -> None:
        _, times = self._indexes()
        timestamp_ms, offset = times.last or (NO_TIMESTAMP, 0)
        self._max_timestamp = (timestamp_ms, self.base_offset + offset)
        self._first_timestamp_ms = NO_TIMESTAMP
        self._bytes_since_entry = 0
        self._recent_last_offsets, self._recent_positions = array("q"), array("q")
        self.next_offset = self.base_offset
        self.size_bytes = 0

    def _scan(self, position: int, *, end: int) -> None:
        for header, at in self._headers(position, end=end):
            self.note(place(header), at)

    def _read(self, suffix: str) -> bytes:
        return self._storage.disk.read_file(self.path(suffix))

    # Reading.

    def position_of(self, offset: int) -> int:
        """Position of the batch that holds the offset or, where none does, of the next one.

        That is the end of the file for an offset beyond all batches. Raises: StorageError.
        """
        if offset >= self.next_offset:
            return self.size_bytes
        if offset <= self.base_offset:
            return 0
        recent = self._recent_last_offsets
        if recent and offset > recent[0]:
            return self._recent_positions[bisect_left(recent, offset)]
        offsets, _ = self._indexes()
        position = offsets.position_before(offset - self.base_offset)
        for header, at in self._headers(position, end=self.size_bytes):
            if header.last_offset >= offset:
                return at
        return self.size_bytes

    def boundary_before(self, limit: int) -> int:
        """Return the end of the last batch that ends at or before `limit`. Raises: StorageError."""
        if limit >= self.size_bytes:
            return self.size_bytes
        recent = self._recent_positions
        if recent and limit >= recent[0]:
            return recent[bisect_right(recent, limit) - 1]
        offsets, _ = self._indexes()
        boundary = offsets.boundary_before(limit)
        for header, at in self._headers(boundary, end=self.size_bytes):
            if at + header.size_bytes > limit:
                return at
        return self.size_bytes

    def read(
        self, offset: int, *, bytes_max: int, end_offset: int, at_least_one: bool
    ) -> LogSlice | None:
        """Read whole batches from the one that holds `offset`, below `end_offset`.

        Returns: None where there is no such batch here, or it is larger than `bytes_max` and not
        `at_least_one` is wanted. Raises: StorageError.
        """
        start = self.position_of(offset)
        end = self.position_of(end_offset)
        if end - start > bytes_max:
            end = self.boundary_before(start + bytes_max)
            if end <= start and at_least_one:
                end = start + self._header_at(start).size_bytes
        if end <= start:
            return None
        return LogSlice(self.file.view(), start, end - start)

    def headers(self, offset: int) -> Iterator[tuple[BatchHeader, int]]:
        """Yield the headers and positions of the batches from the one that holds `offset` on.

        Raises: StorageError, also where a batch makes no sense.
        """
        return self._headers(self.position_of(offset), end=self.size_bytes)

    def headers_from_timestamp(self, timestamp_ms: int) -> Iterator[tuple[BatchHeader, int]]:
        """Yield the headers and positions from where records as new as that may begin."""
        _, times = self._indexes()
        return self.headers(self.base_offset + times.offset_before(timestamp_ms) + 1)

    def read_batch(self, position: int, size_bytes: int) -> bytes:
        """Read one whole batch. Raises: StorageError."""
        return self.file.read(position, size_bytes)

    def verify(self) -> Iterator[tuple[BatchHeader, int, bool]]:
        """Yield each batch's header, its position, and whether its CRC is right.

        Raises: CorruptBatch where a header makes no sense; StorageError.
        """
        return iterate_batches(self.file.view(), end=self.size_bytes)

    def _header_at(self, position: int) -> BatchHeader:
        header, _ = next(self._headers(position, end=self.size_bytes))
        return header

    def _headers(self, position: int, *, end: int) -> Iterator[tuple[BatchHeader, int]]:
        if position >= end:
            return
        try:
            yield from iterate_headers(self.file, position=position, end=end)
        except CorruptBatch as error:
            raise StorageError(
                f"{self.path(LOG_SUFFIX)} is damaged: {error}; restart the broker to recover the"
                " log up to there and to fetch the rest from another replica"
            ) from error


def place(header: BatchHeader) -> Placed:
    """Take from a header on the disk what the indexes need."""
    return Placed(header.base_offset, header.last_offset, header.size_bytes, header.max_timestamp)


def place_batches(
    batches: Sequence[tuple[BatchHeader, memoryview]],
    *,
    base_offset: int,
    leader_epoch: int,
    stamp_ms: int | None,
) -> tuple[list[bytearray | memoryview], list[Placed]]:
    """Give a producer's batches their offsets from `base_offset` on, their epoch, perhaps a time.

    Returns: chunks to write, in which records are not copied; and where each batch lies.
    """
    chunks: list[bytearray | memoryview] = []
    placed = []
    for header, batch in batches:
        chunks += assigned(
            batch,
            base_offset=base_offset,
            leader_epoch=leader_epoch,
            log_append_time_ms=stamp_ms,
        )
        last_offset = base_offset + header.last_offset_delta
        timestamp_ms = header.max_timestamp if stamp_ms is None else stamp_ms
        placed.append(Placed(base_offset, last_offset, header.size_bytes, timestamp_ms))
        base_offset = last_offset + 1
    return chunks, placed
