"""Writes batches to the file that will be a segment, and takes account of them.

Must never know: which batches, when the file takes its place.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from broker.log.compaction.swap import cleaned_path
from broker.log.placement import place
from broker.log.segment import Segment
from protocol.batch import read_header

if TYPE_CHECKING:
    from broker.log.disk import File
    from broker.log.storage import Storage

_CHUNK_BYTES: Final = 1 << 18


class SegmentWriter:
    """A segment in the making; what was added is in the file after `flush`."""

    def __init__(self, storage: Storage, old: Segment) -> None:
        """Begin with an empty file beside that of `old`. Raises: StorageError."""
        self.segment = Segment.compacted(storage, old)
        self.unsynced_bytes = 0
        self._disk = storage.disk
        path = cleaned_path(self.segment)
        self._disk.remove(path)
        self.file: File = self._disk.open(path, create=True)
        self._chunks: list[bytes | memoryview] = []
        self._chunk_bytes = 0

    def add(self, batch: bytes | memoryview) -> None:
        """Add a batch after those before. Raises: StorageError."""
        self.segment.note(place(read_header(batch)), self.segment.size_bytes)
        self._chunks.append(batch)
        self._chunk_bytes += len(batch)
        if self._chunk_bytes >= _CHUNK_BYTES:
            self.flush()

    def flush(self) -> None:
        """Write what was added. Raises: StorageError."""
        if self._chunks:
            self.file.append(b"".join(self._chunks))
            self.unsynced_bytes += self._chunk_bytes
            self._chunks, self._chunk_bytes = [], 0

    async def sync(self) -> None:
        """Make durable what was written, so that no sync has much to do. Raises: StorageError."""
        self.unsynced_bytes = 0
        await self._disk.sync([self.file])

    def close(self) -> None:
        """Let go of the file."""
        self.file.close()
