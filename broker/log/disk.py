"""The disk port: what a log needs of a disk.

File names are plain strings relative to nothing: whole paths, `/` between parts. Whoever
implements it translates every OSError to `StorageError` (missing files: `FileMissing`).
Must never know: logs, partitions, which disk it is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

    Buffer = bytes | bytearray | memoryview


class FileView(Protocol):
    """A read-only handle of a file, which stays readable after its owner has closed the file."""

    @property
    def path(self) -> str:
        """The path that it was opened under."""

    def read(self, position: int, size: int) -> bytes:
        """Read up to `size` bytes; shorter only at the end of the file. Raises: StorageError."""

    def fileno(self) -> int | None:
        """The descriptor for sendfile, or None where there is none (memory)."""


class File(FileView, Protocol):
    """One open file: appended at its end, read anywhere."""

    @property
    def size_bytes(self) -> int:
        """Its size, known without asking the operating system."""

    def append(self, *chunks: Buffer) -> int:
        """Write all chunks at the end, in one call where possible.

        Returns: the position of the first byte written.
        Raises: StorageError; the file is then as long as before (cut back) or unusable.
        """

    def truncate(self, size: int) -> None:
        """Cut to `size` bytes, durably. Raises: StorageError."""

    def view(self) -> FileView:
        """Hand out a handle for a slice that may outlive `close`."""

    def sync(self) -> None:
        """Make it durable at once, blocking: for start and stop only. Raises: StorageError."""

    def write_again(self) -> None:
        """Write all that it holds once more, durably, blocking. Raises: StorageError.

        After a sync has failed this alone makes it last: the kernel may count what it could not
        write as written, and a later sync leaves that out.
        """

    def close(self) -> None:
        """End the owner's use. The descriptor goes when the last view of the file has gone."""


class DirectoryLock(Protocol):
    """The right to a data directory, held until released or until the process ends."""

    def release(self) -> None:
        """Give it up."""


class Disk(Protocol):
    """A tree of files. Synchronous calls are atomic between tasks.

    `sync` and `replace_file` wait; all others are quick, except that durable ones may block.
    """

    def open(self, path: str, *, create: bool = False) -> File:
        """Open for reading and appending. Raises: FileMissing, StorageError."""

    def exists(self, path: str) -> bool:
        """Say whether a file or directory is there."""

    def file_size_bytes(self, path: str) -> int:
        """Size of a file that need not be open. Raises: FileMissing, StorageError."""

    def list(self, directory: str) -> list[str]:
        """Names in a directory, sorted; empty where there is none."""

    def make_directory(self, path: str, *, durable: bool = True) -> None:
        """Create it and its parents, durably (parents fsynced) unless told otherwise."""

    def rename(self, old: str, new: str, *, durable: bool = True) -> None:
        """Rename a file or directory, replacing a file.

        Durable on return (parent fsynced) unless told otherwise. Raises: FileMissing, StorageError.
        """

    def remove(self, path: str) -> None:
        """Remove a file, or a directory with all in it. Missing is fine."""

    async def discard(self, paths: Sequence[str]) -> None:
        """Remove directories off the loop, once the renames that gave them their names are durable.

        Missing is fine. Raises: StorageError.
        """

    def read_file(self, path: str) -> bytes:
        """Read a whole small file. Raises: FileMissing, StorageError."""

    def write_file(self, path: str, data: bytes, *, durable: bool = True) -> None:
        """Replace a small file atomically and durably (temp, fsync, rename, fsync of directory).

        Not durable: the same without the two fsyncs; a later `sync` of the file and its directory
        makes it last, and until then a power failure may leave it old, empty or missing.
        """

    async def replace_file(self, path: str, data: bytes) -> None:
        """Do what `write_file` does, durably, off the loop. Raises: StorageError."""

    def sync_directory(self, path: str) -> None:
        """Make creations and removals in a directory durable."""

    def write_back(self) -> None:
        """Have all that waits in memory written at once, so that single syncs find little to do.

        It promises nothing: what must last is synced by itself.
        """

    def free_bytes(self, path: str) -> int:
        """Space left for us on the file system that holds `path`. Raises: StorageError."""

    def total_bytes(self, path: str) -> int:
        """Size of the file system that holds `path`. Raises: StorageError."""

    def lock(self, path: str) -> DirectoryLock:
        """Take the lock file `path`, creating it. Raises: DirectoryInUse, StorageError."""

    async def sync(self, files: Sequence[File], directories: Sequence[str] = ()) -> None:
        """Make every byte appended to `files` before the call durable (fdatasync), off the loop.

        Then the entries of `directories`, all in one hop.
        Raises: StorageError; never retried, the caller must take what it holds offline.
        """
