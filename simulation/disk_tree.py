"""The files and directories of a memory disk, and what a crash leaves of them.

Must never know: paths, open files, planned faults.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator
    from random import Random  # noqa: TID251 - the type of what is handed in

_BLOCK_BYTES = 512

TO_THE_END: Final = 0.5
"""How often a crash leaves nothing after the first block that it lost."""

UNORDERED: Final = 0.5
"""How often a crash keeps entries in no order, as file systems without a journal of them may."""


class Content:
    """A file's bytes: the first `durable_bytes` of them survive a crash, unless they were dropped.

    What a failed sync has dropped can be read, and no later sync writes it: only `write_again`.
    """

    def __init__(self) -> None:
        self.data = bytearray()
        self.durable_bytes = 0
        self.syncs: list[list[int]] = []  # sizes that syncs under way will make durable
        self._dropped: list[tuple[int, int]] = []

    def truncate(self, size: int) -> None:
        """Cut to `size` bytes, durably."""
        del self.data[size:]
        self.durable_bytes = len(self.data)
        for sync in self.syncs:
            sync[0] = min(sync[0], size)
        self._dropped = [(start, min(end, size)) for start, end in self._dropped if start < size]

    def drop(self, size: int) -> None:
        """Count as written what a sync up to `size` bytes should have made durable, and has not.

        So does Linux after a failed fsync.
        """
        if self.durable_bytes < size:
            self._dropped.append((self.durable_bytes, size))
            self.durable_bytes = size

    def write_again(self) -> None:
        """Make all durable, what was dropped as well."""
        self._dropped = []
        self.durable_bytes = len(self.data)

    def replace(self, data: bytes) -> None:
        """Hold other bytes, durably."""
        self.truncate(0)
        self.data += data
        self.durable_bytes = len(data)

    def tear(self, random: Random) -> None:
        """Keep what was synced, and of the rest what the crash happened to leave."""
        for start, end in self._dropped:
            self.data[start:end] = bytes(end - start)
        self._dropped = []
        kept = random.randint(self.durable_bytes, len(self.data))
        if kept > self.durable_bytes and random.random() < 0.5:
            zeroed = random.randrange(self.durable_bytes, kept) // _BLOCK_BYTES * _BLOCK_BYTES
            zeroed = max(zeroed, self.durable_bytes)
            # Blocks are written in no order: what follows those that are missing may be there.
            end = kept if random.random() < TO_THE_END else min(zeroed + _BLOCK_BYTES, kept)
            self.data[zeroed:end] = bytes(end - zeroed)
        del self.data[kept:]
        self.durable_bytes = kept
        self.syncs = []


class Directory:
    """A directory's entries, and those that a crash would bring back."""

    def __init__(self) -> None:
        self.entries: dict[str, Content | Directory] = {}
        self.durable: dict[str, Content | Directory] = {}
        self.pending: list[tuple[str, Content | Directory | None]] = []

    def link(self, name: str, node: Content | Directory) -> None:
        """Add or replace an entry."""
        self.entries[name] = node
        self.pending.append((name, node))

    def unlink(self, name: str) -> None:
        """Remove an entry, if there is one."""
        if self.entries.pop(name, None) is not None:
            self.pending.append((name, None))

    def sync(self) -> None:
        """Make the entries durable."""
        self.durable = dict(self.entries)
        self.pending = []

    def tear(self, random: Random) -> None:
        """Keep the synced entries and some of the others; tear what they hold.

        Those are the first ones, as where a journal is, or any, in order for each name alone.
        """
        survived = self.pending[: random.randint(0, len(self.pending))]
        if random.random() < UNORDERED:
            survived, lost = [], set[str]()
            for name, node in self.pending:
                if name in lost or random.random() < 0.5:
                    lost.add(name)
                else:
                    survived.append((name, node))
        self.entries = dict(self.durable)
        for name, node in survived:
            if node is None:
                self.entries.pop(name, None)
            else:
                self.entries[name] = node
        self.sync()
        for _, node in sorted(self.entries.items()):
            node.tear(random)


def size_of(node: Content | Directory) -> int:
    """Count the bytes of a file, or of all files in a directory."""
    if isinstance(node, Content):
        return len(node.data)
    return sum(map(size_of, node.entries.values()))


def durable_files(directory: Directory, above: str = "") -> Iterator[str]:
    """Name the files below a directory that a crash would bring back, by their whole paths."""
    for name, node in directory.durable.items():
        if isinstance(node, Content):
            yield above + name
        else:
            yield from durable_files(node, f"{above}{name}/")
