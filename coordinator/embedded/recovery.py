"""Recovery: the tree as the last run left it on disk.

Must never know: sessions' clocks, sockets.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from coordinator.embedded.journal import journal_files, replay
from coordinator.embedded.packing import pack_tree
from coordinator.embedded.snapshot import read_snapshot, remove_unfinished, write_snapshot
from coordinator.tree import Tree
from coordinator.znode import MultiRefused, Refused
from protocol.errors import StorageError

if TYPE_CHECKING:
    from coordinator.embedded.journal import Entry, JournalDisk


class Recovered(NamedTuple):
    """A tree, and what it took to get it back."""

    tree: Tree[Any]
    transactions_replayed: int
    bytes_cut: int


def recover(disk: JournalDisk, directory: str) -> Recovered:
    """Read the newest snapshot and replay the journal after it. Raises: StorageError."""
    tree = read_snapshot(disk, directory) or Tree[Any]()
    snapshot_zxid = tree.zxid

    def apply(entry: Entry) -> None:
        if entry.zxid <= snapshot_zxid:
            return
        if entry.zxid != tree.zxid + 1:
            raise StorageError(
                f"{directory} has transaction {entry.zxid:#x} after {tree.zxid:#x}: a snapshot "
                "or journal file is missing; restore the directory from a copy"
            )
        try:
            tree.apply(entry.transaction)
        except (Refused, MultiRefused) as refusal:
            raise StorageError(
                f"transaction {entry.zxid:#x} in {directory} does not fit the tree ({refusal}); "
                "restore the directory from a copy"
            ) from refusal

    bytes_cut = replay(disk, directory, apply=apply)
    return Recovered(tree, tree.zxid - snapshot_zxid, bytes_cut)


async def make_durable(disk: JournalDisk, directory: str, recovered: Recovered) -> None:
    """Write down anew what was read, before anybody is served, and leave no journal behind.

    A process that was killed, or whose sync has failed, may have left transactions in the kernel's
    memory alone; behind a journal that is continued a power failure would leave a hole.
    The caller holds the directory's lock. Raises: StorageError.
    """
    remove_unfinished(disk, directory)  # first, for the disk may be full of them
    tree, journals = recovered.tree, journal_files(disk, directory)
    if recovered.transactions_replayed:
        await write_snapshot(disk, directory, zxid=tree.zxid, packed=pack_tree(tree))
    for path in journals:
        disk.remove(path)
    if journals:
        disk.sync_directory(directory)
