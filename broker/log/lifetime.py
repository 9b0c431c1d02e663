"""How a log's directory comes into being, is left behind in order, and goes.

Must never know: records, who wants the log or is rid of it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from broker.log.directory import DELETE_SUFFIX, STRAY_SUFFIX
from broker.log.errors import FileMissing
from broker.log.metadata import METADATA_FILE, encode_topic_id, parse_topic_id
from broker.log.recovery import TRUNCATION_FILE
from broker.log.snapshots import snapshot_offsets, write_snapshot
from protocol.errors import StorageError

if TYPE_CHECKING:
    from broker.log.state import LogState
    from broker.log.storage import Storage

_NAME_BYTES_KEPT: Final = 200
"""Of a directory's name when it is renamed, so that the suffixes fit into the 255 bytes."""


def read_topic_id(storage: Storage) -> bytes | None:
    """Read whose log this is; None where nothing readable says so. Raises: StorageError."""
    try:
        return parse_topic_id(storage.disk.read_file(storage.path(METADATA_FILE)))
    except FileMissing:
        return None


def make_directory(storage: Storage, topic_id: bytes) -> bool:
    """Make the directory of a topic's log; the first flush makes it last.

    Returns: whether it is new. Raises: StorageError, also where another topic's log is there.
    """
    disk, directory = storage.disk, storage.directory
    is_new = not disk.exists(directory)
    disk.make_directory(directory, durable=False)
    if read_topic_id(storage) not in (None, topic_id):
        raise StorageError(f"{directory} holds the log of another topic; move it away")
    storage.write_soon_durable(METADATA_FILE, encode_topic_id(topic_id))
    storage.unsynced.note_directory(storage.parent)
    return is_new


def prepare_close(state: LogState) -> None:
    """Write what only memory holds. Raises: StorageError."""
    state.interrupt_compaction()
    state.write_epochs()
    for segment in state.segments:
        segment.complete_indexes()
    end_offset = state.end_offset
    if end_offset > state.segments.base_offset and (
        end_offset not in snapshot_offsets(state.storage)
    ):
        write_snapshot(state.storage, state.segments, end_offset, state.producers)


def make_clean(storage: Storage) -> None:
    """Make all durable, blocking; drop what only an unclean stop needs. Raises: StorageError."""
    storage.unsynced.sync(storage.disk)
    path = storage.path(TRUNCATION_FILE)
    if storage.disk.exists(path):
        storage.disk.remove(path)
        storage.disk.sync_directory(storage.directory)


def delete(storage: Storage, topic_id: bytes | None) -> None:
    """Remove the directory, renamed first: what is begun is finished at the next start.

    Raises: StorageError.
    """
    storage.disk.remove(_move_away(storage, topic_id, DELETE_SUFFIX))


def begin_delete(storage: Storage, topic_id: bytes | None) -> str:
    """Rename the directory; `Disk.discard` makes that last and removes what is in it.

    Returns: its path now. Raises: StorageError.
    """
    return _move_away(storage, topic_id, DELETE_SUFFIX, durable=False)


def set_aside(storage: Storage, topic_id: bytes | None) -> str:
    """Keep the directory under another name. Returns: its path now. Raises: StorageError."""
    return _move_away(storage, topic_id, STRAY_SUFFIX)


def _move_away(
    storage: Storage, topic_id: bytes | None, suffix: str, *, durable: bool = True
) -> str:
    parent, _, name = storage.directory.rpartition("/")
    identity = (topic_id or b"").hex()
    unique = f"{name[:_NAME_BYTES_KEPT]}.{identity}.{storage.wall_ms():x}"
    path = f"{parent}/{unique}{suffix}"
    storage.disk.rename(storage.directory, path, durable=durable)
    return path
