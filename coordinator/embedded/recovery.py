"""Recovery: the tree as the last run left it on disk.

Must never know: sessions' clocks, sockets.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from coordinator.embedded.journal import replay
from coordinator.embedded.snapshot import read_snapshot
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
