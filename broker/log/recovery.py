"""Opens what a log left on the disk: quickly after a clean stop, batch by batch after any other.

After an unclean stop every batch from the recovery point on is checked (checksum, offsets and
leader epochs that never go back), what follows the first bad one is cut, and indexes, epochs and
producers are built again from what is left.
Must never know: roles, watermarks other than the one it is told, the network.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Final

import structlog
from msgspec import Struct, field

from broker.log.batches import crc_ok, iterate_batches
from broker.log.compaction import swap
from broker.log.epochs import EpochCache, EpochsDamaged
from broker.log.errors import FileMissing, LogDamaged
from broker.log.file_names import DELETED_SUFFIX, LOG_SUFFIX, base_offsets
from broker.log.index_files import INDEX_SUFFIXES
from broker.log.metadata import METADATA_FILE
from broker.log.placement import place
from broker.log.segment import Segment
from broker.log.segments import Segments
from broker.log.snapshots import load_producers
from protocol.errors import CorruptBatch

if TYPE_CHECKING:
    from collections.abc import Iterable

    from broker.log.directory import Checkpoint
    from broker.log.producers import ProducerStates
    from broker.log.storage import Storage
    from protocol.batch import BatchHeader

EPOCHS_FILE: Final = "leader-epoch-checkpoint"
TRUNCATION_FILE: Final = "truncation-point"
"""While it is there, a checkpoint from before a truncation must not be believed beyond it."""
NEVER_TRUNCATED: Final = 2**63 - 1

_events = structlog.get_logger()


class RecoveryReport(Struct):
    """What opening a log has found. `log_end_offset` is where the log ends now."""

    clean: bool
    recovery_point: int = 0
    high_watermark: int = 0
    log_end_offset: int = 0
    batches_checked: int = 0
    bytes_cut: int = 0
    segments_removed: int = 0
    reason: str | None = None
    """Why the tail was cut; None where nothing was."""

    @property
    def records_lost(self) -> bool:
        """Say whether records are gone that were durable, or committed: this replica must not lead.

        Others may count on them by now, also on those that were not committed then.
        """
        return self.log_end_offset < max(self.high_watermark, self.recovery_point)


class Loaded(Struct):
    """The parts of an opened log."""

    segments: Segments
    epochs: EpochCache
    producers: ProducerStates
    report: RecoveryReport


def load(storage: Storage, checkpoint: Checkpoint, *, clean: bool) -> Loaded:
    """Open the log in the storage's directory, creating its first segment if there is none.

    Raises: StorageError where the disk fails; damaged batches are cut and reported instead.
    """
    found = _find_segments(storage, checkpoint.log_start_offset)
    report = RecoveryReport(clean=clean, high_watermark=checkpoint.high_watermark)
    report.recovery_point = min(checkpoint.recovery_point, truncation_point(storage))
    scan = _Scan(expected_offset=found[0].base_offset)
    if not clean or not _is_sound(found[-1]):
        report.clean = False
        scan = _recover(storage, found, report)
    segments = Segments(storage, found)
    report.log_end_offset = segments.active.next_offset
    epochs = _load_epochs(storage, segments, scan)
    start_offset = max(segments.base_offset, checkpoint.log_start_offset)
    epochs.cut_start(min(start_offset, report.log_end_offset))
    if not report.clean and (report.reason or report.records_lost):
        _tell(storage, report)
    producers = load_producers(storage, segments, report.log_end_offset)
    return Loaded(segments, epochs, producers, report)


def _tell(storage: Storage, report: RecoveryReport) -> None:
    facts = {
        "directory": storage.directory,
        "log_end_offset": report.log_end_offset,
        "recovery_point": report.recovery_point,
        "bytes_cut": report.bytes_cut,
        "segments_removed": report.segments_removed,
        "reason": report.reason,
    }
    if report.records_lost:
        facts["high_watermark"] = report.high_watermark
        _events.warning("durable_records_lost", **facts)
    else:
        _events.info("log_tail_cut", **facts)


def _find_segments(storage: Storage, log_start_offset: int) -> list[Segment]:
    """List the segments and clear away what half-done changes have left."""
    swap.finish_interrupted(storage)
    names = storage.disk.list(storage.directory)
    present, bases = set(names), base_offsets(names)
    for name in names:
        stem, dot, suffix = name.partition(".")
        is_orphan = dot + suffix in INDEX_SUFFIXES and stem + LOG_SUFFIX not in present
        if is_orphan or name.endswith((DELETED_SUFFIX, swap.CLEANED_SUFFIX, ".tmp")):
            storage.disk.remove(storage.path(name))
    if not bases:
        return [Segment.create(storage, log_start_offset)]
    ends = [*bases[1:], bases[-1]]
    return [
        Segment.existing(storage, base, next_offset=end)
        for base, end in zip(bases, ends, strict=True)
    ]


def truncation_point(storage: Storage) -> int:
    """Return the lowest offset cut to since the last checkpoint; 2^63-1 where there was none."""
    try:
        return int(storage.disk.read_file(storage.path(TRUNCATION_FILE)))
    except FileMissing:
        return NEVER_TRUNCATED
    except ValueError:
        return 0


def write_again(storage: Storage, checkpoint: Checkpoint) -> None:
    """Write once more, durably, all that a failed sync may have left in the kernel's memory alone.

    That is whatever is not known to be durable below the checkpoint's recovery point; without this
    a power failure could take what recovery has read and others have counted on.
    Raises: StorageError.
    """
    known = min(checkpoint.recovery_point, truncation_point(storage))
    names = storage.disk.list(storage.directory)
    durable = {
        f"{base_offset:020d}{LOG_SUFFIX}"
        for base_offset, following in pairwise(base_offsets(names))
        if following <= known
    }
    for name in names:
        if name not in durable:
            file = storage.disk.open(storage.path(name))
            file.write_again()
            file.close()
    storage.disk.sync_directory(storage.directory)


def note_truncation(storage: Storage, offset: int) -> None:
    """Durably note that the log is about to be cut to `offset`. Raises: StorageError."""
    lowest = min(offset, truncation_point(storage))
    storage.disk.write_file(storage.path(TRUNCATION_FILE), b"%d\n" % lowest)


def _is_sound(active: Segment) -> bool:
    """Say whether the newest segment's end can be read, as it must after a clean stop."""
    if not active.size_bytes:
        return True
    try:
        active.load()
    except LogDamaged as error:
        _events.warning("log_damaged_after_clean_stop", reason=str(error))
        return False
    return True


class _Scan(Struct):
    """What the batches read so far say about the next one."""

    expected_offset: int
    epoch: int = -1
    epoch_starts: list[tuple[int, int]] = field(default_factory=list)
    first_offset: int | None = None
    gap_offset: int | None = None
    """Base offset of the last batch, if offsets are missing before it."""
    suspect_offset: int | None = None
    """Set where it is rather the batch before the bad one whose offset is wrong."""

    def check(self, header: BatchHeader, position: int, segment: Segment, *, crc_ok: bool) -> None:
        """Raises: CorruptBatch where the batch is damaged or cannot follow the one before it."""
        if not crc_ok:
            raise CorruptBatch(f"the batch at {position} fails its checksum")
        if header.base_offset < self.expected_offset:
            self.suspect_offset = self.gap_offset
            raise CorruptBatch(
                f"offset {header.base_offset} follows offset {self.expected_offset - 1}"
            )
        if not segment.may_hold(header.last_offset):
            raise CorruptBatch(f"offset {header.last_offset} is too far from the segment's first")
        if header.partition_leader_epoch < self.epoch:
            raise CorruptBatch(
                f"leader epoch {header.partition_leader_epoch} follows epoch {self.epoch}"
            )

    def take(self, header: BatchHeader) -> None:
        """Account for a good batch."""
        if header.partition_leader_epoch > self.epoch:
            self.epoch = header.partition_leader_epoch
            self.epoch_starts.append((self.epoch, header.base_offset))
        has_gap = header.base_offset > self.expected_offset
        self.gap_offset = header.base_offset if has_gap else None
        self.expected_offset = header.next_offset


def _recover(storage: Storage, found: list[Segment], report: RecoveryReport) -> _Scan:
    """Check the segments from the recovery point on, and the log's last batches in any case."""
    first = next(
        (i for i, one in enumerate(found) if one.next_offset > report.recovery_point),
        len(found) - 1,
    )
    while first and _are_empty(found[first:]):
        first -= 1
    scan = _recover_from(first, found, report)
    while first and _are_empty(found[first:]):
        first -= 1  # all was cut from there on: the last batches lie before
        scan = _recover_from(first, found, report)
    sync_small_files(storage)
    return scan


def _are_empty(segments: Iterable[Segment]) -> bool:
    return not any(segment.size_bytes for segment in segments)


def _recover_from(first: int, found: list[Segment], report: RecoveryReport) -> _Scan:
    """Check these segments; cut at the first bad batch."""
    base_offset = found[first].base_offset
    scan = _Scan(expected_offset=base_offset, first_offset=base_offset)
    for i in range(first, len(found)):
        later = found[i + 1 :]
        reason = _recover_segment(found[i], report, scan, is_complete=bool(later))
        if reason is None and later and later[0].base_offset != scan.expected_offset:
            # A segment ends where the next begins; this one's tail has not reached the disk.
            reason = f"{later[0]} does not follow offset {scan.expected_offset - 1}"
        if reason is not None:
            report.reason = reason
            for doomed in reversed(later):
                report.bytes_cut += doomed.size_bytes
                report.segments_removed += 1
                doomed.remove()
            del found[i + 1 :]
            break
    return scan


def sync_small_files(storage: Storage) -> None:
    """Make durable what says whose log this is, and what its epochs are.

    A process that was killed may have left them in the kernel's hands; nothing writes them again,
    and without them a power failure would disown records that were acknowledged meanwhile.
    """
    for name in (METADATA_FILE, EPOCHS_FILE):
        if storage.disk.exists(storage.path(name)):
            file = storage.disk.open(storage.path(name))
            file.sync()
            file.close()
    storage.disk.sync_directory(storage.directory)


def _recover_segment(
    segment: Segment, report: RecoveryReport, scan: _Scan, *, is_complete: bool
) -> str | None:
    """Note the good batches of a segment and cut the rest. Returns: why there was a rest."""
    size_bytes, reason = segment.size_bytes, None
    segment.start_recovery()
    scan.gap_offset = None
    try:
        for header, position, batch in iterate_batches(segment.file, end=size_bytes):
            report.batches_checked += 1
            scan.check(header, position, segment, crc_ok=crc_ok(batch))
            scan.take(header)
            segment.note(place(header), position)
    except CorruptBatch as error:
        reason = f"{segment.path(LOG_SUFFIX)}: {error}"
    segment.end_recovery(is_complete=is_complete)
    if scan.suspect_offset is not None:
        segment.truncate(scan.suspect_offset)
    report.bytes_cut += size_bytes - segment.size_bytes
    return reason


def _load_epochs(storage: Storage, segments: Segments, scan: _Scan) -> EpochCache:
    """Read the checkpoint of epochs; where it differs, the batches are right."""
    log_end_offset = segments.active.next_offset
    try:
        epochs = EpochCache.parse(storage.disk.read_file(storage.path(EPOCHS_FILE)))
    except (FileMissing, EpochsDamaged) as error:
        if log_end_offset == segments.base_offset:
            return EpochCache()
        _events.info("epochs_rebuilt", directory=storage.directory, reason=str(error))
        epochs, scan.first_offset = EpochCache(), None
        _add_starts(epochs, _epoch_starts(segments), end_offset=log_end_offset)
        storage.write_soon_durable(EPOCHS_FILE, epochs.encode())
    if scan.first_offset is None:
        return epochs
    known = epochs.entries
    epochs.cut_end(scan.first_offset)
    starts = scan.epoch_starts
    if starts and starts[0][0] < epochs.latest_epoch:
        epochs.cut_end(segments.base_offset)
        starts = _epoch_starts(segments)
    _add_starts(epochs, starts, end_offset=log_end_offset)
    # An epoch that had begun at the very end, but has not written yet.
    _add_starts(epochs, [one for one in known if one[1] == log_end_offset])
    if epochs.entries != known:
        storage.write_soon_durable(EPOCHS_FILE, epochs.encode())
    return epochs


def _add_starts(
    epochs: EpochCache, starts: Iterable[tuple[int, int]], *, end_offset: int = 2**63
) -> None:
    for epoch, start_offset in starts:
        if start_offset < end_offset and epoch > epochs.latest_epoch:
            epochs.start(epoch, start_offset)


def _epoch_starts(segments: Segments) -> list[tuple[int, int]]:
    starts: list[tuple[int, int]] = []
    for header in segments.headers(segments.base_offset):
        if not starts or header.partition_leader_epoch > starts[-1][0]:
            starts.append((header.partition_leader_epoch, header.base_offset))
    return starts
