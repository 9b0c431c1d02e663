"""Puts a compacted segment in the place of those that it was made of, so that no crash is felt.

One rename decides: before it the old segments count, after it the new one, which bears the name of
the oldest. A note, durable before the rename, says that others may be left behind which the new one
covers; they and then the note go once the rename is durable.
Must never know: what was kept of the records.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import structlog
from msgspec import Struct

from broker.log.batches import iterate_headers
from broker.log.errors import FileMissing
from broker.log.file_names import LOG_SUFFIX, base_offsets
from broker.log.index_files import IndexFiles
from protocol.errors import CorruptBatch

if TYPE_CHECKING:
    from collections.abc import Sequence

    from broker.log.disk import File
    from broker.log.segment import Segment
    from broker.log.segments import Segments
    from broker.log.storage import Storage

CLEANED_SUFFIX: Final = ".cleaned"
SWAP_FILE: Final = "compaction-swap"

_events = structlog.get_logger()


class Swap(Struct, eq=False):
    """A segment has taken the place of others; they are to be removed once that is durable."""

    index_files: tuple[File, ...]
    superseded: tuple[int, ...]


def cleaned_path(segment: Segment) -> str:
    """Return where a segment is written before it takes its place."""
    return segment.path(LOG_SUFFIX) + CLEANED_SUFFIX


async def prepare(storage: Storage, old: Sequence[Segment], cleaned: File) -> None:
    """Make the new segment durable, and the note that it is about to take the old ones' place.

    Raises: StorageError.
    """
    path = storage.path(SWAP_FILE)
    note = b"%d %d\n" % (old[0].base_offset, old[-1].next_offset)
    storage.disk.write_file(path, note, durable=False)
    await storage.disk.sync([cleaned, storage.disk.open(path)], [storage.directory])


def replace(storage: Storage, segments: Segments, old: Sequence[Segment], new: Segment) -> Swap:
    """Put the new segment in the place of the old ones. Raises: StorageError."""
    for segment in old:
        segment.close()
    storage.disk.rename(cleaned_path(new), new.path(LOG_SUFFIX), durable=False)
    segments.replace(old, new)
    return Swap(tuple(new.adopt()), tuple(segment.base_offset for segment in old[1:]))


def abandon(storage: Storage, new: Segment) -> None:
    """Leave the old segments where they are. Raises: StorageError."""
    storage.disk.remove(cleaned_path(new))
    remove_note(storage)


async def make_durable(storage: Storage, swap: Swap) -> None:
    """Make the new segment's name and indexes durable. Raises: StorageError."""
    await storage.disk.sync(swap.index_files, [storage.directory])


def remove_superseded(storage: Storage, swap: Swap) -> None:
    """Remove what the new segment covers, once its rename is durable. Raises: StorageError."""
    for base_offset in swap.superseded:
        _remove(storage, base_offset)


def remove_note(storage: Storage) -> None:
    """Forget the swap, once nothing is left behind. Raises: StorageError."""
    storage.disk.remove(storage.path(SWAP_FILE))


def finish(storage: Storage, swap: Swap) -> None:
    """Do at once, blocking, what is left to do. Raises: StorageError."""
    for file in swap.index_files:
        file.sync()
    storage.disk.sync_directory(storage.directory)
    remove_superseded(storage, swap)
    storage.disk.sync_directory(storage.directory)
    remove_note(storage)


def finish_interrupted(storage: Storage) -> None:
    """Remove what a swap that was cut short has left behind, before segments are looked for.

    Raises: StorageError.
    """
    try:
        note = storage.disk.read_file(storage.path(SWAP_FILE))
    except FileMissing:
        return
    # What is seen here may be in the kernel's hands only, and what it replaces goes.
    storage.disk.sync_directory(storage.directory)
    try:
        base_offset, end_offset = map(int, note.split())
    except ValueError:
        pass  # it had not become durable, so nothing was put in the place of anything
    else:
        _finish(storage, base_offset, end_offset)
    storage.disk.sync_directory(storage.directory)
    remove_note(storage)


def _finish(storage: Storage, base_offset: int, end_offset: int) -> None:
    bases = base_offsets(storage.disk.list(storage.directory))
    if base_offset not in bases:
        return
    IndexFiles(storage, base_offset).remove()  # they may be of the batches that were there before
    if _end_of(storage, base_offset) == end_offset:
        for other in bases:
            if base_offset < other < end_offset:
                _remove(storage, other)


def _end_of(storage: Storage, base_offset: int) -> int:
    file = storage.disk.open(storage.path(f"{base_offset:020d}{LOG_SUFFIX}"))
    end_offset = base_offset
    try:
        for header, _ in iterate_headers(file, position=0, end=file.size_bytes):
            end_offset = header.next_offset
    except CorruptBatch as error:
        _events.warning("segment_damaged", segment=file.path, reason=str(error))
    finally:
        file.close()
    return end_offset


def _remove(storage: Storage, base_offset: int) -> None:
    storage.disk.remove(storage.path(f"{base_offset:020d}{LOG_SUFFIX}"))
    IndexFiles(storage, base_offset).remove()
