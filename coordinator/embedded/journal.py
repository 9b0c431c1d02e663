"""The journal: every transaction, on stable storage before anybody hears of it.

A file is a sequence of frames; a frame is what one fsync made durable (a group commit): magic,
size and CRC-32C, then packed transactions. The CRC begins with the frame's position, so that
bytes within a client's value are never taken for a frame. The next frame is written only after
that fsync, so a crash can damage the last frame alone: that one is cut at recovery. A bad frame
with a good one after it is damage of another kind, and refused.
Must never know: the tree, sessions, sockets.
"""

from __future__ import annotations

from struct import Struct
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Protocol

import crc32c
import msgpack
import trio

from coordinator.embedded.packing import pack_transaction, unpack_transaction
from protocol.errors import StorageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from coordinator.znode import Transaction

_HEADER = Struct("!4sII")
_MAGIC: Final = b"OtJ1"
_PREFIX: Final = "journal-"


class JournalFile(Protocol):
    """What the journal needs of an open file."""

    @property
    def size_bytes(self) -> int:
        """Its size."""

    def append(self, *chunks: bytes | bytearray | memoryview) -> int:
        """Write at the end. Raises: StorageError."""

    def read(self, position: int, size: int) -> bytes:
        """Read up to `size` bytes. Raises: StorageError."""

    def truncate(self, size: int) -> None:
        """Cut to `size` bytes, durably. Raises: StorageError."""

    def close(self) -> None:
        """Let go of it."""


class JournalLock(Protocol):
    """A lock file that is held."""

    def release(self) -> None:
        """Let go of it."""


class JournalDisk(Protocol):
    """What journal and snapshots need of a disk; any disk of the broker's log will do."""

    def open(self, path: str, *, create: bool = False) -> JournalFile:
        """Open for reading and appending. Raises: StorageError."""

    def list(self, directory: str) -> list[str]:
        """Names in a directory, sorted."""

    def make_directory(self, path: str) -> None:
        """Create it and its parents, durably."""

    def read_file(self, path: str) -> bytes:
        """Read a whole file. Raises: StorageError."""

    async def replace_file(self, path: str, data: bytes) -> None:
        """Write a whole file atomically and durably. Raises: StorageError."""

    def remove(self, path: str) -> None:
        """Remove a file."""

    def sync_directory(self, path: str) -> None:
        """Make creations and removals durable."""

    def lock(self, path: str) -> JournalLock:
        """Take a lock file, so that nobody else does. Raises: StorageError."""

    # Any: a disk syncs files of its own kind, and it gets back only those that it opened.
    async def sync(self, files: Sequence[Any]) -> None:
        """Make everything appended durable. Raises: StorageError."""


class Entry(NamedTuple):
    """A transaction and the zxid that it was given."""

    zxid: int
    transaction: Transaction


class Journal:
    """Appends transactions to the newest file and tells when they are durable."""

    def __init__(
        self,
        disk: JournalDisk,
        directory: str,
        *,
        zxid: int,
        pending_bytes_max: int,
        on_durable: Callable[[float], None],
    ) -> None:
        self._disk = disk
        self._directory = directory
        self._pending: list[bytes] = []
        self._pending_bytes = 0
        self._pending_bytes_max = pending_bytes_max
        self.last_zxid = zxid
        self._work = trio.Event()
        self._progress = trio.Event()
        self._on_durable = on_durable
        self.durable_zxid = zxid
        self.transactions_in_file = 0
        self.syncs = 0
        self._file = self._open_next()

    @property
    def full(self) -> bool:
        """Say whether so much waits for the disk that nobody should add more."""
        return self._pending_bytes >= self._pending_bytes_max

    def append(self, entry: Entry) -> None:
        """Take a transaction; it is written with the next group commit."""
        packed = pack_transaction(*entry)
        self._pending.append(packed)
        self._pending_bytes += len(packed)
        self.last_zxid = entry.zxid
        self._work.set()

    async def wait_durable(self, zxid: int) -> None:
        """Return when the transaction `zxid` and all before it are on stable storage."""
        while self.durable_zxid < zxid:
            await self._progress.wait()

    async def wait_room(self) -> None:
        """Return when the journal is not full."""
        while self.full:
            await self._progress.wait()

    async def run(self) -> None:
        """Write and sync, batch by batch, for ever. Raises: StorageError; then stop serving."""
        while True:
            await self._work.wait()
            self._work = trio.Event()
            batch, zxid = self._pending, self.last_zxid
            self._pending, self._pending_bytes = [], 0
            self._file.append(*_frame(batch, position=self._file.size_bytes))
            self.transactions_in_file += len(batch)
            began = trio.current_time()
            await self._disk.sync([self._file])
            self.syncs += 1
            self.durable_zxid = zxid
            self._progress.set()
            self._progress = trio.Event()
            self._on_durable(trio.current_time() - began)

    def roll(self) -> list[str]:
        """Go on in a new file. Returns: paths of the older ones, for `remove` later.

        Called while no sync is under way: from `on_durable`. Raises: StorageError.
        """
        self._file.close()
        older = journal_files(self._disk, self._directory)
        self._file = self._open_next()
        self.transactions_in_file = 0
        return [path for path in older if path != self._path]

    def close(self) -> None:
        """Let go of the file."""
        self._file.close()

    @property
    def bytes_in_file(self) -> int:
        """Size of the newest file."""
        return self._file.size_bytes

    def _open_next(self) -> JournalFile:
        self._path = f"{self._directory}/{_PREFIX}{self.durable_zxid + 1:016x}"
        file = self._disk.open(self._path, create=True)
        self._disk.sync_directory(self._directory)
        return file


def replay(disk: JournalDisk, directory: str, *, apply: Callable[[Entry], None]) -> int:
    """Hand every transaction in the directory to `apply`, in order, and cut a torn tail.

    Returns: bytes cut. Raises: StorageError where anything but the tail is damaged.
    """
    paths = journal_files(disk, directory)
    bytes_cut = 0
    for path in paths:
        file = disk.open(path)
        data = file.read(0, file.size_bytes)
        end = 0
        for payload, frame_end in _frames(data):
            end = frame_end
            for entry in _entries(payload):
                apply(entry)
        if end < len(data):
            _demand_torn_tail(path, data, end, newest=path == paths[-1])
            bytes_cut = len(data) - end
            # Durably, or else it could come back, then no longer in the newest file.
            file.truncate(end)
        file.close()
    return bytes_cut


def _frame(batch: list[bytes], *, position: int) -> tuple[bytes, bytes]:
    payload = b"".join(batch)
    return _HEADER.pack(_MAGIC, len(payload), crc32c.crc32c(payload, position)), payload


def _frames(data: bytes) -> Iterator[tuple[bytes, int]]:
    """Walk over the good frames from the start: each payload, and where its frame ends."""
    position = 0
    while (payload := _frame_at(data, position)) is not None:
        position += _HEADER.size + len(payload)
        yield payload, position


def _frame_at(data: bytes, position: int) -> bytes | None:
    """Give the payload of the frame at a position, or None if there is no good one."""
    start = position + _HEADER.size
    if start > len(data):
        return None
    magic, size, crc = _HEADER.unpack_from(data, position)
    if magic != _MAGIC or size == 0 or size > len(data) - start:
        return None
    payload = data[start : start + size]
    return payload if crc32c.crc32c(payload, position) == crc else None


def _demand_torn_tail(path: str, data: bytes, position: int, *, newest: bool) -> None:
    """Check that the damage at a position is a write that a crash cut short."""
    intact = position
    while (position := data.find(_MAGIC, position + 1)) >= 0 and newest:
        newest = _frame_at(data, position) is None
    if not newest:
        raise StorageError(
            f"{path} is damaged at byte {intact}, before transactions that are intact: "
            "this is no torn write; restore the directory from a copy"
        )


def _entries(payload: bytes) -> Iterator[Entry]:
    unpacker = msgpack.Unpacker(use_list=False)
    unpacker.feed(payload)
    for fields in unpacker:
        yield Entry(*unpack_transaction(fields))


def journal_files(disk: JournalDisk, directory: str) -> list[str]:
    """List the paths of the journal's files, the oldest first."""
    return [f"{directory}/{name}" for name in disk.list(directory) if name.startswith(_PREFIX)]
