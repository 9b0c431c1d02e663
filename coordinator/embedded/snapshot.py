"""Snapshots: the whole tree in one file, so that older journals can go.

A file is replaced as a whole: a snapshot is there completely or not at all. A snapshot may be ahead
of what the journal had on disk at that moment; replay skips what it holds already.
Must never know: sessions' clocks, sockets, who writes while.
"""

from __future__ import annotations

import re
from struct import Struct
from typing import TYPE_CHECKING, Any, Final

import crc32c

from coordinator.embedded.packing import unpack_tree
from protocol.errors import StorageError

if TYPE_CHECKING:
    from coordinator.embedded.journal import JournalDisk
    from coordinator.tree import Tree

_HEADER = Struct("!4sI")
_MAGIC: Final = b"OtS1"
_PREFIX: Final = "snapshot-"
_NAME: Final = re.compile(_PREFIX + "[0-9a-f]{16}")
_UNFINISHED: Final = re.compile(_NAME.pattern + r"\.tmp")


async def write_snapshot(disk: JournalDisk, directory: str, *, zxid: int, packed: bytes) -> None:
    """Write a packed tree durably and remove older snapshots. Raises: StorageError."""
    older = _files(disk, directory)
    path = f"{directory}/{_PREFIX}{zxid:016x}"
    await disk.replace_file(path, _HEADER.pack(_MAGIC, crc32c.crc32c(packed)) + packed)
    for other in older:
        if other != path:
            disk.remove(other)


def remove_unfinished(disk: JournalDisk, directory: str) -> None:
    """Remove what a full disk or a crash has left of snapshots: nobody else ever would.

    Only for the holder of the directory's lock: another may be writing one. Raises: StorageError.
    """
    for name in disk.list(directory):
        if _UNFINISHED.fullmatch(name):
            disk.remove(f"{directory}/{name}")


def read_snapshot(disk: JournalDisk, directory: str) -> Tree[Any] | None:
    """Read the newest snapshot, or None if there is none. Raises: StorageError if damaged."""
    paths = _files(disk, directory)
    if not paths:
        return None
    data = disk.read_file(paths[-1])
    header, packed = data[: _HEADER.size], data[_HEADER.size :]
    if header != _HEADER.pack(_MAGIC, crc32c.crc32c(packed)):
        raise StorageError(f"{paths[-1]} is damaged; restore the directory from a copy")
    return unpack_tree(packed)


def _files(disk: JournalDisk, directory: str) -> list[str]:
    """List the paths of the snapshots, the oldest first."""
    names = (name for name in disk.list(directory) if _NAME.fullmatch(name))
    return [f"{directory}/{name}" for name in names]
