"""One segment: a file of record batches, `<base offset>.log`, and its two sparse indexes.

Must never know: other segments, epochs, producers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import structlog

from broker.log.batches import iterate_headers
from broker.log.errors import COPY_ANEW, DiskFull, LogDamaged
from broker.log.file_names import DELETED_SUFFIX, LOG_SUFFIX
from broker.log.index import POSITION_MAX, RELATIVE_OFFSET_MAX, IndexDamaged
from broker.log.index_files import IndexFiles
from broker.log.placement import Placed, place
from broker.log.recent import RecentBatches
from protocol.batch import NO_TIMESTAMP
from protocol.errors import CorruptBatch, StorageError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from broker.log.disk import Buffer, File
    from broker.log.storage import Storage
    from protocol.batch import BatchHeader


_events = structlog.get_logger()


class Segment:
    """Batches of the offsets `[base_offset, next_offset)`.

    The file is opened and the indexes are loaded when they are first needed: an idle segment costs
    nothing. Index files are written in pieces, and synced only when the segment is complete or the
    log is closed: after any other end they are built anew.
    """

    __slots__ = (
        "_bytes_since_entry",
        "_damage",
        "_file",
        "_first_timestamp_ms",
        "_is_used",
        "_loaded",
        "_max_timestamp",
        "_recent",
        "_storage",
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
        self._loaded: IndexFiles | None = None
        self._max_timestamp = (NO_TIMESTAMP, base_offset)
        self._first_timestamp_ms = NO_TIMESTAMP
        self._is_used = False
        self._damage: LogDamaged | None = None
        self._bytes_since_entry = 0
        self._recent = RecentBatches()

    def __repr__(self) -> str:
        return f"<Segment {self.path(LOG_SUFFIX)} [{self.base_offset}, {self.next_offset})>"

    @classmethod
    def create(cls, storage: Storage, base_offset: int) -> Segment:
        """Create an empty segment; the next flush makes its file last. Raises: StorageError."""
        segment = cls(storage, base_offset, next_offset=base_offset)
        segment._file = storage.disk.open(segment.path(LOG_SUFFIX), create=True)
        segment._loaded = IndexFiles(storage, base_offset)
        segment._loaded.remove()  # of another segment that began here and was cut away
        storage.unsynced.note_file(segment._file)
        storage.unsynced.note_directory(storage.directory)
        return segment

    @classmethod
    def existing(cls, storage: Storage, base_offset: int, *, next_offset: int) -> Segment:
        """Find one on the disk; `next_offset` is a guess until `load`. Raises: StorageError."""
        segment = cls(storage, base_offset, next_offset=next_offset)
        segment.size_bytes = storage.disk.file_size_bytes(segment.path(LOG_SUFFIX))
        return segment

    @classmethod
    def compacted(cls, storage: Storage, old: Segment) -> Segment:
        """Begin to take account of batches that will be in the place of an older segment's.

        They are written elsewhere, and there are no files until `adopt`.
        """
        segment = cls(storage, old.base_offset, next_offset=old.base_offset)
        segment.opened_ms = old.opened_ms
        segment._loaded = IndexFiles(storage, old.base_offset)
        return segment

    def path(self, suffix: str) -> str:
        """Return the path of one of its files."""
        return self._storage.path(f"{self.base_offset:020d}{suffix}")

    @property
    def file(self) -> File:
        """The file of batches. Raises: StorageError where it cannot be opened."""
        self._is_used = True
        if self._file is None:
            self._file = self._storage.disk.open(self.path(LOG_SUFFIX))
        return self._file

    @property
    def max_timestamp(self) -> tuple[int, int]:
        """The newest timestamp (-1 for none) and the last offset of the first batch that has it."""
        if self._loaded is None and self._max_timestamp[0] == NO_TIMESTAMP:
            self._find_max_timestamp()
        return self._max_timestamp

    @property
    def max_timestamp_ms(self) -> int:
        """The newest timestamp, or -1."""
        return self.max_timestamp[0]

    @property
    def first_timestamp_ms(self) -> int:
        """The newest timestamp of its first batch, by which it grows old; -1 while it is empty."""
        if self._first_timestamp_ms == NO_TIMESTAMP and self.size_bytes:
            self._first_timestamp_ms = self.header_at(0).max_timestamp
        return self._first_timestamp_ms

    def may_hold(self, offset: int) -> bool:
        """Say whether an offset is near enough to the first one for the indexes."""
        return offset - self.base_offset <= RELATIVE_OFFSET_MAX

    # Writing.

    def append(self, chunks: Sequence[Buffer], placed: Sequence[Placed]) -> None:
        """Write batches at the end, in one call to the disk. Raises: StorageError."""
        self._indexes.spill()
        file = self.file
        position = file.append(*chunks)
        self._storage.unsynced.note_file(file)
        for one in placed:
            self.note(one, position)
            position += one.size_bytes

    def note(self, placed: Placed, position: int) -> None:
        """Take account of a batch that lies at `position`, the end of what was noted so far."""
        _, last_offset, size_bytes, timestamp_ms = placed
        if not position:
            self._first_timestamp_ms = timestamp_ms
        if timestamp_ms > self._max_timestamp[0]:
            self._max_timestamp = (timestamp_ms, last_offset)
        interval = self._storage.config.index_interval_bytes
        if self._bytes_since_entry > interval and position <= POSITION_MAX:
            self._indexes.offsets.add(last_offset - self.base_offset, position)
            self._index_max_timestamp()
            self._bytes_since_entry = 0
        self._bytes_since_entry += size_bytes
        self._recent.note(last_offset, position)
        self.next_offset = last_offset + 1
        self.size_bytes = position + size_bytes

    def _index_max_timestamp(self) -> None:
        timestamp_ms, offset = self._max_timestamp
        if timestamp_ms != NO_TIMESTAMP:
            self._indexes.times.add(timestamp_ms, offset - self.base_offset)

    def seal(self) -> None:
        """Complete the index files: nothing will be appended any more. Raises: StorageError."""
        self._index_max_timestamp()
        self._indexes.complete(create=True)
        self._loaded = None  # few segments are read once they are complete, but for their ends

    def adopt(self) -> list[File]:
        """Take the place of an older segment, whose file was replaced. Raises: StorageError.

        Returns: the index files, which are not durable yet; none where the disk is full.
        """
        self._index_max_timestamp()
        self._recent.clear()
        try:
            return self._indexes.replace()
        except DiskFull:
            self._indexes.remove()  # the older segment's; what is missing is built anew when opened
            return []

    def truncate(self, offset: int) -> None:
        """Cut the batch that holds `offset` and all after it, durably. Raises: StorageError."""
        position = self.position_of(offset)
        if position >= self.size_bytes:
            return
        indexes = self._indexes
        first_cut = self.header_at(position).base_offset - self.base_offset
        self.file.truncate(position)
        indexes.cut(first_cut)
        self._forget_tail()
        self._scan(indexes.offsets.last_position, end=position)
        indexes.rewrite_if_room()

    def remove(self) -> None:
        """Delete it: the file of batches is renamed first, durably. Raises: StorageError."""
        self.close()
        path = self.path(LOG_SUFFIX)
        self._storage.disk.rename(path, path + DELETED_SUFFIX)
        self._storage.disk.remove(path + DELETED_SUFFIX)
        IndexFiles(self._storage, self.base_offset).remove()

    def close(self) -> None:
        """Let go of the file; slices that were handed out stay readable."""
        if self._file is not None:
            self._storage.unsynced.forget_file(self._file)
            self._file.close()
            self._file = None

    def rest(self) -> None:
        """Hold no file and no indexes, unless used since the last call; all has to be durable."""
        if not self._is_used:
            self.close()
            self._recent.clear()
            if self._loaded is not None and self._loaded.is_written:
                self._loaded = None
        self._is_used = False

    # Indexes.

    def load(self) -> None:
        """Read the indexes and scan the batches after their last entry.

        Raises: StorageError, after which all is as before; once it is damaged, at once.
        """
        if self._damage is not None:
            raise LogDamaged(str(self._damage))
        known = self.size_bytes, self.next_offset, self._max_timestamp, self._first_timestamp_ms
        try:
            self._load(self.size_bytes)
            if known[1] not in (self.base_offset, self.next_offset):  # where it is complete
                raise self._damaged(f"it ends at {self.next_offset}, not {known[1]}")
        except StorageError as error:
            self.size_bytes, self.next_offset, self._max_timestamp, self._first_timestamp_ms = known
            self._loaded = None
            self._recent.clear()
            self._damage = error if isinstance(error, LogDamaged) else None
            raise

    def _load(self, end: int) -> None:
        self._loaded = indexes = IndexFiles(self._storage, self.base_offset)
        try:
            indexes.read(segment_bytes=end)
            self._forget_tail()
            self._scan(indexes.offsets.last_position, end=end)
        except (StorageError, IndexDamaged) as error:
            self.start_recovery()
            self._scan(0, end=end)
            if end:
                _events.info("index_rebuilt", segment=self.path(LOG_SUFFIX), reason=str(error))
            # Below a recovery point they are trusted; without entries all is scanned anyway.
            self._indexes.rewrite_if_room(durable=len(self._indexes.offsets) > 0)

    def _find_max_timestamp(self) -> None:
        """Find it as `load` does, but for all of the indexes but their ends. Raises: StorageError.

        Thousands of segments are asked for it, of which few are read.
        """
        try:
            position, newest = IndexFiles(self._storage, self.base_offset).read_ends(
                segment_bytes=self.size_bytes
            )
        except (StorageError, IndexDamaged):
            self.load()
            return
        was_closed = self._file is None
        timestamp_ms, offset = newest or (NO_TIMESTAMP, 0)
        found = (timestamp_ms, self.base_offset + offset)
        for header, _ in self._headers(position, end=self.size_bytes):
            if header.max_timestamp > found[0]:
                found = (header.max_timestamp, header.last_offset)
        if was_closed:
            self.close()
        self._max_timestamp = found

    def make_sure(self) -> bool:
        """Read the indexes where they have not been. Returns: whether. Raises: StorageError."""
        if self._loaded is not None:
            return False
        self.load()
        return True

    def start_recovery(self) -> None:
        """Forget what the indexes say: every batch that is worth keeping will be noted again."""
        self._loaded = IndexFiles(self._storage, self.base_offset)
        self._forget_tail()

    def end_recovery(self, *, is_complete: bool) -> None:
        """Cut what was not noted, durably, and replace the index files. Raises: StorageError.

        Those of a complete segment durably: below a recovery point they are trusted, also where a
        power failure has torn off the newest timestamp.
        """
        if self.file.size_bytes > self.size_bytes:
            self.file.truncate(self.size_bytes)
        self.file.sync()  # what was only in the kernel's hands counts as durable from now on
        self._indexes.rewrite(durable=is_complete)

    def complete_indexes(self) -> None:
        """Write what the index files lack; the next flush makes it last. Raises: StorageError."""
        if self._loaded is not None:
            self._loaded.complete()

    @property
    def _indexes(self) -> IndexFiles:
        self._is_used = True
        if self._loaded is None:
            self.load()
        assert self._loaded is not None, "loaded above"
        return self._loaded

    def _forget_tail(self) -> None:
        timestamp_ms, offset = self._indexes.times.last or (NO_TIMESTAMP, 0)
        self._max_timestamp = (timestamp_ms, self.base_offset + offset)
        self._first_timestamp_ms = NO_TIMESTAMP
        self._bytes_since_entry = 0
        self._recent.clear()
        self.next_offset = self.base_offset
        self.size_bytes = 0

    def _scan(self, position: int, *, end: int) -> None:
        for header, at in self._headers(position, end=end):
            if header.base_offset < self.next_offset or not self.may_hold(header.last_offset):
                raise self._damaged(
                    f"offset {header.base_offset} follows offset {self.next_offset - 1}"
                )
            self.note(place(header), at)

    # Reading.

    def position_of(self, offset: int) -> int:
        """Position of the batch that holds the offset or, where none does, of the next one.

        That is the end of the file for an offset beyond all batches. Raises: StorageError.
        """
        if offset >= self.next_offset:
            return self.size_bytes
        if offset <= self.base_offset:
            return 0
        if (recent := self._recent.position_of(offset)) is not None:
            return recent
        position = self._indexes.offsets.position_before(offset - self.base_offset)
        for header, at in self._headers(position, end=self.size_bytes):
            if header.last_offset >= offset:
                return at
        return self.size_bytes

    def boundary_before(self, limit: int) -> int:
        """Return the end of the last batch that ends at or before `limit`. Raises: StorageError."""
        if limit >= self.size_bytes:
            return self.size_bytes
        if (recent := self._recent.boundary_before(limit)) is not None:
            return recent
        boundary = self._indexes.offsets.boundary_before(limit)
        for header, at in self._headers(boundary, end=self.size_bytes):
            if at + header.size_bytes > limit:
                return at
        return self.size_bytes

    def headers(self, offset: int) -> Iterator[tuple[BatchHeader, int]]:
        """Yield the headers and positions of the batches from the one that holds `offset` on.

        Raises: StorageError, also where a batch makes no sense.
        """
        return self._headers(self.position_of(offset), end=self.size_bytes)

    def headers_from_timestamp(self, timestamp_ms: int) -> Iterator[tuple[BatchHeader, int]]:
        """Yield the headers and positions from where records as new as that may begin."""
        times = self._indexes.times
        return self.headers(self.base_offset + times.offset_before(timestamp_ms) + 1)

    def header_at(self, position: int) -> BatchHeader:
        """Read the header of the batch at a position. Raises: StorageError."""
        header, _ = next(self._headers(position, end=self.size_bytes))
        return header

    def _headers(self, position: int, *, end: int) -> Iterator[tuple[BatchHeader, int]]:
        if position >= end:
            return
        try:
            yield from iterate_headers(self.file, position=position, end=end)
        except CorruptBatch as error:
            raise self._damaged(str(error)) from error

    def _damaged(self, how: str) -> LogDamaged:
        return LogDamaged(f"{self.path(LOG_SUFFIX)} is damaged: {how}; {COPY_ANEW}")
