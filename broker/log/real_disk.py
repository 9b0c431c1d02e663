"""The operating system's disk: the only place in the broker that opens, writes or syncs a file.

Every OSError is translated to `StorageError` (missing files: `FileMissing`) here and nowhere else.
Must never know: logs, partitions, the network.
"""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
import weakref
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from broker.log.errors import DirectoryInUse, DiskFull, FileMissing
from broker.log.off_loop import OffLoop
from protocol.errors import StorageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from broker.log.disk import Buffer, File, FileView

_NEXT_STEP = {
    errno.ENOSPC: "free some space, then restart the broker",
    errno.EDQUOT: "raise the quota or free some space, then restart the broker",
    errno.EROFS: "the file system is read-only: see the kernel's log, then remount it",
    errno.EIO: "the disk failed: see the kernel's log, replace it and let the replicas fill it",
    errno.EACCES: "give the broker's user access to the data directory",
    errno.EPERM: "give the broker's user access to the data directory",
    errno.ENOTDIR: "there is a file in the way: move it, or choose another data directory",
    errno.EMFILE: "raise the limit of open files (ulimit -n), then restart the broker",
    errno.ENFILE: "raise the system's limit of open files (fs.file-max)",
}
_CHUNKS_MAX = 1024
"""Linux takes no more buffers than this in one call."""
_WRITTEN_AGAIN_BYTES = 1 << 20
"""At once, of a file whose sync has failed."""


@contextmanager
def _translated(act: str, path: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise storage_error(error, act, path) from error


def storage_error(error: OSError, act: str, path: str) -> StorageError:
    """Say which file could not be read or written, why, and what to do next."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return DiskFull(f"cannot {act} {path}: disk full; {_NEXT_STEP[error.errno]}")
    if error.errno == errno.ENOENT:
        return FileMissing(f"cannot {act} {path}: there is no such file")
    step = _NEXT_STEP.get(error.errno or 0, "see the kernel's log, then restart the broker")
    return StorageError(f"cannot {act} {path}: {error.strerror or error}; {step}")


class _Descriptor:
    """A file descriptor, closed when nobody holds it: it is never reused under a reader."""

    __slots__ = ("__weakref__", "_fd", "path")

    def __init__(self, fd: int, path: str) -> None:
        self._fd = fd
        self.path = path
        weakref.finalize(self, os.close, fd).atexit = False

    def fileno(self) -> int:
        """The number that sendfile wants."""
        return self._fd

    def read(self, position: int, size: int) -> bytes:
        """Read up to `size` bytes; shorter only at the end of the file. Raises: StorageError."""
        with _translated("read", self.path):
            data = os.pread(self._fd, size, position)
            while data and len(data) < size:
                more = os.pread(self._fd, size - len(data), position + len(data))
                if not more:
                    break
                data += more
            return data


class RealFile:
    """A file of the operating system. Its size is tracked, so a failed append leaves no hole."""

    __slots__ = ("_descriptor", "_size_bytes", "path")

    def __init__(self, path: str, *, create: bool) -> None:
        flags = os.O_RDWR | os.O_CLOEXEC | (os.O_CREAT if create else 0)
        with _translated("open", path):
            fd = os.open(path, flags, 0o644)
            self._descriptor: _Descriptor | None = _Descriptor(fd, path)
            self._size_bytes = os.fstat(fd).st_size
        self.path = path

    @property
    def size_bytes(self) -> int:
        """Its size, known without asking the operating system."""
        return self._size_bytes

    def view(self) -> _Descriptor:
        """Hand out the descriptor; whoever holds it keeps the file readable."""
        if self._descriptor is None:
            raise StorageError(f"{self.path} is closed")
        return self._descriptor

    def fileno(self) -> int:
        """The descriptor for sendfile."""
        return self.view().fileno()

    def read(self, position: int, size: int) -> bytes:
        """Read up to `size` bytes; shorter only at the end of the file. Raises: StorageError."""
        return self.view().read(position, size)

    def append(self, *chunks: Buffer) -> int:
        """Write all chunks at the end. Returns: the first byte's position. Raises: StorageError."""
        fd = self.view().fileno()
        position = self._size_bytes
        try:
            if len(chunks) == 1:
                size = len(chunks[0])
                written = os.pwrite(fd, chunks[0], position)
            else:
                size = sum(map(len, chunks))
                written = os.pwritev(fd, chunks[:_CHUNKS_MAX], position)
            if written != size:
                _write_rest(fd, b"".join(chunks), position, written)
        except OSError as error:
            self._cut_back(position)
            raise storage_error(error, "append to", self.path) from error
        self._size_bytes = position + size
        return position

    def _cut_back(self, size: int) -> None:
        try:
            os.ftruncate(self.fileno(), size)
        except OSError:
            self._descriptor = None  # its end is unknown now: nobody may write or read here again

    def truncate(self, size: int) -> None:
        """Cut to `size` bytes, durably. Raises: StorageError."""
        with _translated("truncate", self.path):
            os.ftruncate(self.fileno(), size)
            os.fsync(self.fileno())
        self._size_bytes = size

    def sync(self) -> None:
        """Make it durable at once, blocking. Raises: StorageError."""
        with _translated("sync", self.path):
            os.fdatasync(self.fileno())

    def write_again(self) -> None:
        """Write all that it holds once more, durably, blocking. Raises: StorageError."""
        with _translated("write again", self.path):
            fd = self.fileno()
            for position in range(0, self._size_bytes, _WRITTEN_AGAIN_BYTES):
                size = min(_WRITTEN_AGAIN_BYTES, self._size_bytes - position)
                _write_rest(fd, os.pread(fd, size, position), position, 0)
            os.fsync(fd)

    def close(self) -> None:
        """End the owner's use; the descriptor goes with its last view."""
        self._descriptor = None


def _write_rest(fd: int, data: bytes, position: int, written: int) -> None:
    view = memoryview(data)
    while written < len(data):
        written += os.pwrite(fd, view[written:], position + written)


class _FileLock:
    """A flock on an open lock file; the kernel gives it up when the process ends."""

    def __init__(self, fd: int) -> None:
        self._fd: int | None = fd

    def release(self) -> None:
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None


class RealDisk:
    """The operating system's files. Blocking calls that wait for the device run in a thread."""

    def __init__(self) -> None:
        self._off_loop = OffLoop()

    def open(self, path: str, *, create: bool = False) -> RealFile:
        """Open for reading and appending. Raises: FileMissing, StorageError."""
        return RealFile(path, create=create)

    def exists(self, path: str) -> bool:
        """Say whether a file or directory is there."""
        return Path(path).exists()

    def file_size_bytes(self, path: str) -> int:
        """Size of a file that need not be open. Raises: FileMissing, StorageError."""
        with _translated("look at", path):
            return Path(path).stat().st_size

    def list(self, directory: str) -> list[str]:
        """Names in a directory, sorted; empty where there is none."""
        with _translated("list", directory):
            try:
                with os.scandir(directory) as entries:
                    return sorted(entry.name for entry in entries)
            except FileNotFoundError:
                return []

    def make_directory(self, path: str, *, durable: bool = True) -> None:
        """Create it and its parents, durably unless told otherwise. Raises: StorageError."""
        target = Path(path)
        missing = [part for part in (target, *target.parents) if not part.exists()]
        with _translated("create", path):
            for part in reversed(missing):
                part.mkdir(exist_ok=True)
                if durable:
                    self.sync_directory(str(part.parent))

    def rename(self, old: str, new: str, *, durable: bool = True) -> None:
        """Rename a file or directory, durably or not. Raises: FileMissing, StorageError."""
        with _translated("rename", old):
            Path(old).replace(new)
        if durable:
            self.sync_directory(str(Path(new).parent))

    def remove(self, path: str) -> None:
        """Remove a file, or a directory with all in it. Missing is fine. Raises: StorageError."""
        target = Path(path)
        with _translated("remove", path):
            if target.is_dir() and not target.is_symlink():
                shutil.rmtree(target)
            else:
                target.unlink(missing_ok=True)

    async def discard(self, paths: Sequence[str]) -> None:
        """Remove directories off the loop, their renames made durable. Raises: StorageError."""
        await self._wait_for(partial(self._discard_now, tuple(paths)))

    def _discard_now(self, paths: Sequence[str]) -> None:
        for parent in sorted({str(Path(path).parent) for path in paths}):
            self.sync_directory(parent)
        for path in paths:
            self.remove(path)

    def read_file(self, path: str) -> bytes:
        """Read a whole small file. Raises: FileMissing, StorageError."""
        with _translated("read", path):
            return Path(path).read_bytes()

    def write_file(self, path: str, data: bytes, *, durable: bool = True) -> None:
        """Replace a small file atomically. Raises: StorageError."""
        temporary = f"{path}.tmp"
        with _translated("write", path):
            fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o644)
            try:
                _write_rest(fd, data, 0, 0)
                if durable:
                    os.fsync(fd)
            finally:
                os.close(fd)
            Path(temporary).replace(path)
        if durable:
            self.sync_directory(str(Path(path).parent))

    async def replace_file(self, path: str, data: bytes) -> None:
        """Replace a small file durably, off the loop. Raises: StorageError."""
        await self._wait_for(partial(self.write_file, path, data))

    def sync_directory(self, path: str) -> None:
        """Make creations and removals in a directory durable. Raises: StorageError."""
        with _translated("sync", path):
            fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                os.fsync(fd)
            finally:
                os.close(fd)

    def write_back(self) -> None:
        """Have the operating system write what it holds, in one go instead of file by file."""
        os.sync()

    def free_bytes(self, path: str) -> int:
        """Space left for us on the file system that holds `path`. Raises: StorageError."""
        with _translated("look at", path):
            return shutil.disk_usage(path).free

    def total_bytes(self, path: str) -> int:
        """Size of the file system that holds `path`. Raises: StorageError."""
        with _translated("look at", path):
            return shutil.disk_usage(path).total

    def lock(self, path: str) -> _FileLock:
        """Take the lock file `path`, creating it. Raises: DirectoryInUse, StorageError."""
        with _translated("lock", path):
            fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                os.ftruncate(fd, 0)
                os.pwrite(fd, f"{os.getpid()}\n".encode(), 0)
            except BlockingIOError as error:
                holder = os.pread(fd, 32, 0).decode(errors="replace").strip() or "unknown"
                os.close(fd)
                raise DirectoryInUse(
                    f"{Path(path).parent} is in use by the process {holder};"
                    " stop it or choose another data directory"
                ) from error
        return _FileLock(fd)

    async def sync(self, files: Sequence[File], directories: Sequence[str] = ()) -> None:
        """Make files, then directories, durable in one hop off the loop. Raises: StorageError."""
        # The views keep every descriptor open until the thread is done, whoever closes the file.
        held = [(file.path, file.view()) for file in files]
        await self._wait_for(partial(self._sync_now, held, tuple(directories)))

    async def _wait_for(self, work: Callable[[], None]) -> None:
        """Do off the loop what tells its own errors. Raises: StorageError."""
        with _translated("wait for", "the disk"):
            await self._off_loop.run(work)

    def _sync_now(self, held: Sequence[tuple[str, FileView]], directories: Sequence[str]) -> None:
        for path, view in held:
            fd = view.fileno()
            assert fd is not None, "a real file has a descriptor"
            with _translated("sync", path):
                os.fdatasync(fd)
        for path in directories:
            with suppress(FileMissing):  # it was deleted meanwhile: nothing is left to last
                self.sync_directory(path)
