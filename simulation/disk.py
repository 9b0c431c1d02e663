"""A disk in memory that forgets what was not synced: crashes, torn writes, faults on demand.

What a power failure may do to a real disk is done here, decided by the random generator handed
in: bytes appended since the last sync survive as a prefix, part of it zeroed; a directory keeps a
prefix of the entries created, renamed or removed since its last sync, or any of them.
Must never know: logs, partitions, real files.
"""

from __future__ import annotations

import copy
from collections import Counter
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeAlias

import trio

from broker.log.errors import DirectoryInUse, DiskFull, FileMissing
from protocol.errors import StorageError
from simulation.disk_tree import Content, Directory, durable_files, size_of
from simulation.memory_file import MemoryFile, MemoryLock

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Sequence
    from random import Random  # noqa: TID251 - the type of what is handed in

    from broker.log.disk import File

_UNBOUNDED_BYTES = 1 << 40
LENGTH_AT, LENGTH_BIT = 8, 4
"""Of a batch: the highest byte of its length, and a bit that makes no sense there."""


Held: TypeAlias = tuple[Directory, dict[str, tuple[Directory, bytes]]]
"""What a disk holds at some time, and what is remembered of its files."""


class MemoryDisk:
    """A `Disk` in memory. `crash()` is a power failure; faults are planned by its attributes.

    `sync_latency_s` is asked before every sync (virtual seconds). `capacity_bytes` limits what can
    be appended in all; None is no limit. `was_full` says that it refused something for that, and
    `was_faulty` that anything else went wrong that a log may fail by, since whoever owns the disk
    set them back. `is_rotten`: some of what it holds is not what was written.
    """

    def __init__(
        self,
        random: Random,
        *,
        sync_latency_s: Callable[[], float] = lambda: 0.0,
        capacity_bytes: int | None = None,
    ) -> None:
        self.crashes = 0
        self.is_rotten = False
        self.was_faulty = self.was_full = False
        self.syncs = 0
        self.locks: set[str] = set()
        self.sync_latency_s = sync_latency_s
        self.capacity_bytes = capacity_bytes
        self._random = random
        self._root = Directory()
        self._failing: Counter[str] = Counter()
        self._remembered: dict[str, tuple[Directory, bytes]] = {}

    def hold(self) -> Held:
        """Give what is there now, for `leave`."""
        return copy.deepcopy((self._root, self._remembered))

    def leave(self, held: Held) -> None:
        """Undo all that was done since `hold`, as if the process had ended then."""
        self._root, self._remembered = held

    def crash(self) -> None:
        """Lose or tear what was not synced; every open file and lock is gone."""
        self.crashes += 1
        self.locks.clear()
        self._failing.clear()
        self._root.tear(self._random)

    def fail_next_sync(self, count: int = 1) -> None:
        """Let the next `count` syncs raise StorageError."""
        self._failing["sync"] = count

    def fail_next_directory_sync(self, count: int = 1) -> None:
        """Let the next `count` syncs of directories by themselves raise StorageError."""
        self._failing["sync directory"] = count

    def fail_next_read(self, count: int = 1) -> None:
        """Let the next `count` reads, of whatever file, raise StorageError."""
        self._failing["read"] = count

    def flip_bit(self, path: str, position: int, bit: int = 0) -> None:
        """Damage one bit of a file, durably."""
        self.was_faulty = True
        self._content(path).data[position] ^= 1 << bit

    def rot(self, path: str, position: int) -> None:
        """Damage the length of the batch at a position; no process may end by that."""
        self.is_rotten = True
        self._content(path).data[position + LENGTH_AT] ^= 1 << LENGTH_BIT

    def truncate_file(self, path: str, size: int) -> None:
        """Lose what a file holds after `size` bytes, durably; nobody may have it open."""
        self.was_faulty = True
        self._content(path).truncate(size)

    def durable_files(self) -> list[str]:
        """Name the files of which a crash leaves something for certain."""
        return sorted(durable_files(self._root))

    def remember(self, path: str) -> bytes:
        """Note what a crash would leave of a file for certain. Raises: FileMissing if nothing."""
        directory, name = self._parent(path)
        content = directory.durable.get(name)
        if not isinstance(content, Content):
            raise FileMissing(f"cannot remember {path}: a crash could lose it")
        kept = bytes(content.data[: content.durable_bytes])
        self._remembered[path] = (directory, kept)
        return kept

    def roll_back(self, path: str) -> None:
        """Give a file the bytes last remembered, durably, as a disk does that lost its writes.

        It is made anew where it was removed meanwhile; nobody may have it open.
        Raises: FileMissing where its directory is gone, or another one of that name, or where what
        was remembered has been undone by `leave`.
        """
        directory, name = self._parent(path)
        if path not in self._remembered:
            raise FileMissing(f"cannot roll back {path}: nothing is remembered of it")
        remembered_in, remembered = self._remembered[path]
        if directory is not remembered_in:
            raise FileMissing(f"cannot roll back {path}: its directory was made anew")
        self.was_faulty = True
        content = directory.entries.get(name)
        if not isinstance(content, Content):
            content = Content()
            directory.link(name, content)
        content.replace(remembered)
        directory.sync()

    def charge(self, size: int, path: str) -> None:
        """Take `size` bytes of the capacity. Raises: DiskFull."""
        if self.capacity_bytes is None:
            return
        if size > self.free_bytes(path):
            self.was_full = True
            raise DiskFull(f"cannot append to {path}: disk full; free some space, then restart")

    def refuse_planned_read(self, path: str) -> None:
        """Fail a read if that was planned. Raises: StorageError."""
        self._refuse_planned("read", path)

    def refuse_planned_sync(self, path: str) -> None:
        """Fail a sync if that was planned. Raises: StorageError."""
        self.syncs += 1
        self._refuse_planned("sync", path)

    @contextmanager
    def sparing(self) -> Iterator[None]:
        """Keep planned faults for later during a `with` that does not wait."""
        planned, self._failing = self._failing, Counter()
        try:
            yield
        finally:
            self._failing = planned

    def _refuse_planned(self, act: str, path: str) -> None:
        if self._failing[act]:
            self._failing[act] -= 1
            self.was_faulty = True
            raise StorageError(f"cannot {act} {path}: a planned fault")

    def open(self, path: str, *, create: bool = False) -> MemoryFile:
        """Open for reading and appending. Raises: FileMissing, StorageError."""
        directory, name = self._parent(path)
        node = directory.entries.get(name)
        if node is None and create:
            node = Content()
            directory.link(name, node)
        if not isinstance(node, Content):
            raise FileMissing(f"cannot open {path}: there is no such file")
        return MemoryFile(self, node, path)

    def exists(self, path: str) -> bool:
        """Say whether a file or directory is there."""
        return self._find(path) is not None

    def file_size_bytes(self, path: str) -> int:
        """Size of a file that need not be open. Raises: FileMissing."""
        return len(self._content(path).data)

    def list(self, directory: str) -> list[str]:
        """Names in a directory, sorted; empty where there is none."""
        node = self._find(directory)
        return sorted(node.entries) if isinstance(node, Directory) else []

    def make_directory(self, path: str, *, durable: bool = True) -> None:
        """Create it and its parents, durably unless told otherwise. Raises: StorageError."""
        directory = self._root
        for name in _parts(path):
            node = directory.entries.get(name)
            if node is None:
                node = Directory()
                directory.link(name, node)
                if durable:
                    directory.sync()
            if not isinstance(node, Directory):
                raise StorageError(f"cannot create {path}: {name} is a file")
            directory = node

    def rename(self, old: str, new: str, *, durable: bool = True) -> None:
        """Rename a file or directory, durably or not. Raises: FileMissing, StorageError."""
        source, old_name = self._parent(old)
        target, new_name = self._parent(new)
        node = source.entries.get(old_name)
        if node is None:
            raise FileMissing(f"cannot rename {old}: there is no such file")
        replaced = target.entries.get(new_name)
        if isinstance(replaced, Directory) and replaced.entries:
            raise StorageError(f"cannot rename {old}: {new} is a directory with files in it")
        source.unlink(old_name)
        target.link(new_name, node)
        if durable:
            source.sync()
            target.sync()

    def remove(self, path: str) -> None:
        """Remove a file, or a directory with all in it. Missing is fine."""
        if self.exists(path):
            directory, name = self._parent(path)
            directory.unlink(name)

    async def discard(self, paths: Sequence[str]) -> None:
        """Remove directories, their renames made durable, after the latency."""
        await self._wait("/")
        for parent in sorted({path.rpartition("/")[0] for path in paths}):
            self.sync_directory(parent)
        for path in paths:
            self.remove(path)

    def read_file(self, path: str) -> bytes:
        """Read a whole small file. Raises: FileMissing, StorageError."""
        content = self._content(path)
        self.refuse_planned_read(path)
        return bytes(content.data)

    def write_file(self, path: str, data: bytes, *, durable: bool = True) -> None:
        """Replace a small file atomically. Raises: StorageError."""
        directory, name = self._parent(path)
        self.charge(len(data), path)
        content = Content()
        content.data += data
        if durable:
            self.refuse_planned_sync(path)
            content.durable_bytes = len(data)
        directory.link(name, content)
        if durable:
            directory.sync()

    async def replace_file(self, path: str, data: bytes) -> None:
        """Replace a small file durably, after the sync latency. Raises: StorageError."""
        await self._wait(path)
        self.write_file(path, data)

    def sync_directory(self, path: str) -> None:
        """Make creations and removals in a directory durable. Raises: FileMissing, StorageError."""
        node = self._find(path)
        if not isinstance(node, Directory):
            raise FileMissing(f"cannot sync {path}: there is no such directory")
        self._refuse_planned("sync directory", path)
        node.sync()

    def write_back(self) -> None:
        """Do nothing: nothing may rely on it."""

    def free_bytes(self, path: str) -> int:
        """Space left for us."""
        return max(0, self.total_bytes(path) - sum(map(size_of, self._root.entries.values())))

    def total_bytes(self, path: str) -> int:  # noqa: ARG002 - one file system for all paths
        """Size of the disk: its capacity, or where that has no bound a size that is never used."""
        return _UNBOUNDED_BYTES if self.capacity_bytes is None else self.capacity_bytes

    def lock(self, path: str) -> MemoryLock:
        """Take the lock file `path`. Raises: DirectoryInUse, FileMissing."""
        if path in self.locks:
            raise DirectoryInUse(f"{path} is in use; choose another data directory")
        self.open(path, create=True)
        self.locks.add(path)
        return MemoryLock(self, path)

    async def sync(self, files: Sequence[File], directories: Sequence[str] = ()) -> None:
        """Make `files`, then `directories`, durable after the latency. Raises: StorageError."""
        marks = [(content, [len(content.data)]) for content in self._contents(files)]
        for content, mark in marks:
            content.syncs.append(mark)
        try:
            await self._wait(files[0].path if files else "/")
            sizes = [(content, mark[0]) for content, mark in marks]
            self.sync_now(sizes, path=files[0].path if files else "/")
        finally:
            for content, mark in marks:
                content.syncs = [other for other in content.syncs if other is not mark]
        for path in directories:
            if self.exists(path):
                self.sync_directory(path)

    def sync_now(self, sizes: Collection[tuple[Content, int]], *, path: str) -> None:
        """Make files durable to these sizes, or drop that, where planned. Raises: StorageError."""
        try:
            self.refuse_planned_sync(path)
        except StorageError:
            for content, size in sizes:
                content.drop(size)
            raise
        for content, size in sizes:
            content.durable_bytes = max(content.durable_bytes, size)

    async def _wait(self, path: str) -> None:
        life = self.crashes
        await trio.sleep(self.sync_latency_s())
        if life != self.crashes:
            raise StorageError(f"cannot sync {path}: the machine crashed")

    def _contents(self, files: Sequence[File]) -> Iterator[Content]:
        for file in files:
            assert isinstance(file, MemoryFile), "a memory disk syncs its own files"
            yield file.content()

    def _find(self, path: str) -> Content | Directory | None:
        node: Content | Directory | None = self._root
        for name in _parts(path):
            if not isinstance(node, Directory):
                return None
            node = node.entries.get(name)
        return node

    def _content(self, path: str) -> Content:
        node = self._find(path)
        if not isinstance(node, Content):
            raise FileMissing(f"cannot read {path}: there is no such file")
        return node

    def _parent(self, path: str) -> tuple[Directory, str]:
        *above, name = _parts(path)
        node = self._find("/".join(above))
        if not isinstance(node, Directory):
            raise FileMissing(f"cannot reach {path}: there is no such directory")
        return node, name


def _parts(path: str) -> list[str]:
    return [part for part in path.split("/") if part]
