"""What a `MemoryDisk` hands out: open files, handles that outlive them, locks of directories.

Must never know: which faults are planned, what survives a power failure.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from protocol.errors import StorageError

if TYPE_CHECKING:
    from broker.log.disk import Buffer
    from simulation.disk import MemoryDisk
    from simulation.disk_tree import Content


class MemoryFile:
    """An open file of a `MemoryDisk`; useless after a crash, like the process that held it."""

    def __init__(self, disk: MemoryDisk, content: Content, path: str) -> None:
        self.path = path
        self._disk = disk
        self._content = content
        self._life = disk.crashes
        self._closed = False

    @property
    def size_bytes(self) -> int:
        """Its size."""
        return len(self._content.data)

    def content(self) -> Content:
        """The bytes of the file that it opened. Raises: StorageError after close or crash."""
        if self._closed:
            raise StorageError(f"{self.path} is closed")
        if self._life != self._disk.crashes:
            raise StorageError(f"{self.path} was opened before the crash")
        return self._content

    def append(self, *chunks: Buffer) -> int:
        """Write all chunks at the end. Returns: the first byte's position. Raises: StorageError."""
        content = self.content()
        position = len(content.data)
        self._disk.charge(sum(map(len, chunks)), self.path)
        for chunk in chunks:
            content.data += chunk
        return position

    def read(self, position: int, size: int) -> bytes:
        """Read up to `size` bytes; shorter only at the end of the file. Raises: StorageError."""
        return self.view().read(position, size)

    def truncate(self, size: int) -> None:
        """Cut to `size` bytes, durably. Raises: StorageError."""
        self.content().truncate(size)

    def view(self) -> MemoryView:
        """Hand out a handle that outlives `close`."""
        self.content()
        return MemoryView(self._disk, self._content, self.path)

    def fileno(self) -> None:
        """Memory has no descriptor."""

    def sync(self) -> None:
        """Make it durable at once. Raises: StorageError."""
        content = self.content()
        self._disk.sync_now([(content, len(content.data))], path=self.path)

    def write_again(self) -> None:
        """Make all of it durable, what a failed sync has dropped as well. Raises: StorageError."""
        content = self.content()
        self._disk.refuse_planned_sync(self.path)
        content.write_again()

    def close(self) -> None:
        """End the owner's use."""
        self._closed = True


class MemoryView:
    """A read-only handle of a file in memory."""

    def __init__(self, disk: MemoryDisk, content: Content, path: str) -> None:
        self.path = path
        self._disk = disk
        self._content = content

    def read(self, position: int, size: int) -> bytes:
        """Read up to `size` bytes; shorter only at the end of the file. Raises: StorageError."""
        self._disk.refuse_planned_read(self.path)
        return bytes(self._content.data[position : position + size])

    def fileno(self) -> None:
        """Memory has no descriptor."""


class MemoryLock:
    """Holds a directory of a `MemoryDisk`; a crash has let go of it already."""

    def __init__(self, disk: MemoryDisk, path: str) -> None:
        self._disk = disk
        self._path = path
        self._life = disk.crashes

    def release(self) -> None:
        """Let go of it."""
        if self._life == self._disk.crashes:
            self._disk.locks.discard(self._path)
