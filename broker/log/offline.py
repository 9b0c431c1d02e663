"""A log that could not be opened, or used any more: its files stay until somebody decides.

Must never know: what is wrong with it, who else holds its records.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from broker.log import lifetime
from protocol.errors import StorageError

if TYPE_CHECKING:
    from broker.log.storage import Storage


class OfflineLog:
    """A log's directory without its log. `error` says why it could not be opened, or used.

    Where it cannot be read whose it is either, it is whose was noted there.
    """

    def __init__(self, storage: Storage, error: StorageError, noted_id: bytes) -> None:
        self.error = error
        self.topic_id = _read_topic_id(storage) or noted_id or None
        self._storage = storage

    def begin_delete(self) -> str:
        """Rename its directory, for `Disk.discard`. Returns: its path now. Raises: StorageError."""
        return lifetime.begin_delete(self._storage, self.topic_id)

    def set_aside(self) -> str:
        """Keep it under another name. Returns: its path now. Raises: StorageError."""
        return lifetime.set_aside(self._storage, self.topic_id)


def _read_topic_id(storage: Storage) -> bytes | None:
    try:
        return lifetime.read_topic_id(storage)
    except StorageError:
        return None
