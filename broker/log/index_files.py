"""The two index files of a segment, beside the indexes that they hold.

Must never know: batches, other segments.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from broker.log.errors import DiskFull
from broker.log.index import IndexDamaged, OffsetIndex, TimeIndex
from protocol.batch import NO_TIMESTAMP

if TYPE_CHECKING:
    from collections.abc import Iterator

    from broker.log.disk import File
    from broker.log.storage import Storage

INDEX_SUFFIXES: Final = (".index", ".timeindex")
_SPILL_BYTES: Final = 4096


class IndexFiles:
    """Both indexes of the segment at `base_offset`; new entries are written in pieces."""

    __slots__ = ("_base_offset", "_storage", "_unsynced", "offsets", "times")

    def __init__(self, storage: Storage, base_offset: int) -> None:
        self.offsets = OffsetIndex()
        self.times = TimeIndex()
        self._storage = storage
        self._base_offset = base_offset
        self._unsynced = False

    def read(self, *, segment_bytes: int) -> None:
        """Read both files. Raises: IndexDamaged where they make no sense; StorageError."""
        offsets, times = (self._storage.disk.read_file(path) for path in self._paths())
        self.offsets, self.times = _parse(offsets, times, segment_bytes=segment_bytes)

    def read_ends(self, *, segment_bytes: int) -> tuple[int, tuple[int, int] | None]:
        """Read the last position and the last timestamp with its relative offset, no more.

        Raises: as `read`.
        """
        offsets_path, times_path = self._paths()
        offsets, times = _parse(
            self._read_end(offsets_path, OffsetIndex.ENTRY_BYTES),
            self._read_end(times_path, TimeIndex.ENTRY_BYTES),
            segment_bytes=segment_bytes,
        )
        return offsets.last_position, times.last

    def _read_end(self, path: str, entry_bytes: int) -> bytes:
        """Read the last entry of a file; nothing where there is none."""
        file = self._storage.disk.open(path)
        try:
            size = file.size_bytes
            if size % entry_bytes:
                raise IndexDamaged(f"{size} bytes are not whole entries")
            return file.read(size - entry_bytes, entry_bytes) if size else b""
        finally:
            file.close()

    @property
    def is_written(self) -> bool:
        """Whether the files have all of it, and the next flush makes them last."""
        return not (self._unsynced or self.offsets.unwritten or self.times.unwritten)

    def spill(self) -> None:
        """Write the new entries once there are many of them. Raises: StorageError."""
        if len(self.offsets.unwritten) >= _SPILL_BYTES:
            self._write()

    def complete(self, *, create: bool = False) -> None:
        """Write all new entries; the next flush makes the files last. Raises: StorageError."""
        if create or not self.is_written:
            self._fill_times()
            self._write()
            for path in self._paths():
                self._storage.unsynced.note_path(path)
            self._storage.unsynced.note_directory(self._storage.directory)
            self._unsynced = False

    def rewrite(self, *, durable: bool = False) -> None:
        """Replace both files, durably or for `complete` to make them last. Raises: StorageError."""
        self._unsynced = not durable
        self._fill_times()
        for index, path in self._files():
            self._storage.disk.write_file(path, index.encode(), durable=durable)
            index.unwritten = bytearray()

    def _fill_times(self) -> None:
        """Have the time index say that there are no timestamps: an empty one would be damaged."""
        if len(self.offsets) and not len(self.times):
            self.times.add(NO_TIMESTAMP, self.offsets.last_offset)

    def rewrite_if_room(self, *, durable: bool = False) -> None:
        """Replace both files; where the disk is full they go, and all is written with what follows.

        Raises: StorageError but DiskFull.
        """
        try:
            self.rewrite(durable=durable)
        except DiskFull:
            self._unsynced = True
            self.remove()
            for index, _ in self._files():
                index.unwritten = bytearray(index.encode())

    def replace(self) -> list[File]:
        """Replace both files. Returns: the new ones, not durable yet. Raises: StorageError."""
        self.rewrite()
        self._unsynced = False
        return [self._storage.disk.open(path) for path in self._paths()]

    def cut(self, relative_offset: int) -> None:
        """Drop the entries at or above a relative offset; `rewrite` must follow."""
        self.offsets.cut(relative_offset)
        self.times.cut(relative_offset)

    def remove(self) -> None:
        """Delete both files. Raises: StorageError."""
        for path in self._paths():
            self._storage.disk.remove(path)

    def _paths(self) -> list[str]:
        return [self._storage.path(f"{self._base_offset:020d}{one}") for one in INDEX_SUFFIXES]

    def _files(self) -> Iterator[tuple[OffsetIndex | TimeIndex, str]]:
        return zip((self.offsets, self.times), self._paths(), strict=True)

    def _write(self) -> None:
        self._unsynced = True
        for index, path in self._files():
            file = self._storage.disk.open(path, create=True)
            if index.unwritten:
                file.append(index.unwritten)
                index.unwritten = bytearray()
            file.close()


def _parse(offsets: bytes, times: bytes, *, segment_bytes: int) -> tuple[OffsetIndex, TimeIndex]:
    """Parse both files, or their ends. Raises: IndexDamaged."""
    parsed = OffsetIndex.parse(offsets, segment_bytes=segment_bytes), TimeIndex.parse(times)
    if offsets and not times:
        raise IndexDamaged("the time index lacks what the offset index has")
    return parsed
