"""Keys of `_schemas` in another spelling than ours, as other registries have written them.

Compaction compares keys byte by byte. A tombstone under our spelling goes in the end, and what
another registry wrote under its own would be there again: it takes a tombstone of its own.
Must never know: what follows from a record, how it is written or read.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from registry.records import Record, key_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from registry.records import Change


class Spellings:
    """The keys that were seen of one log; those of records that are gone do no harm."""

    def __init__(self) -> None:
        self._others: dict[bytes, set[bytes]] = {}

    def see(self, key: bytes, change: Change) -> None:
        """Take in the key of a record that was read as a change."""
        ours = key_of(change)
        if key != ours:
            self._others.setdefault(ours, set()).add(key)

    def complete(self, written: Iterable[Record]) -> list[Record]:
        """Add to each tombstone those for the other spellings of its key."""
        completed = []
        for record in written:
            completed.append(record)
            if record.value is None:
                others = sorted(self._others.get(record.key, ()))
                completed += [Record(other, None) for other in others]
        return completed
