"""What a log is between two calls: its parts, how far they last, and whether it may be used.

Must never know: who appends, reads or cuts, what a flush waits for.
"""

from __future__ import annotations

from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from broker.log.compaction import swap
from broker.log.errors import DiskFull, EpochTooNew, LogOffline
from broker.log.lifetime import read_topic_id
from broker.log.recovery import EPOCHS_FILE, NEVER_TRUNCATED, load, truncation_point
from broker.log.snapshots import interval_bytes, write_snapshot
from protocol.errors import StorageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from broker.log.compaction.swap import Swap
    from broker.log.directory import Checkpoint
    from broker.log.storage import Storage


class LogState:
    """The parts of one open log, kept in step by the modules that change them.

    `start_offset` is where the log begins, which may be within its first segment. Below
    `synced_end_offset` everything is on the disk, whatever `flush` is. Below `first_dirty_offset`
    compaction is done, and met no tombstone that may not go at `last_horizon_ms`; at
    `held_back_offset` is the first that had to wait for a replica, -1 for none. While a pass of it
    is under way it `is_compacted`; `interruptions` counts what a pass must not go on after, `cuts`
    what a checkpoint of before must not be believed after.
    """

    __slots__ = (
        "bytes_since_snapshot",
        "closed",
        "cuts",
        "epochs",
        "epochs_unwritten",
        "failed",
        "first_dirty_offset",
        "held_back_offset",
        "interruptions",
        "is_compacted",
        "last_horizon_ms",
        "on_failure",
        "producers",
        "recovery",
        "segments",
        "start_offset",
        "storage",
        "swap",
        "synced_end_offset",
        "topic_id",
    )

    def __init__(self, storage: Storage, checkpoint: Checkpoint, *, clean: bool) -> None:
        loaded = load(storage, checkpoint, clean=clean)
        self.storage = storage
        self.recovery = loaded.report
        self.topic_id = read_topic_id(storage)
        self.segments = loaded.segments
        self.epochs = loaded.epochs
        self.producers = loaded.producers
        start_offset = max(self.segments.base_offset, checkpoint.log_start_offset)
        self.start_offset = min(start_offset, self.end_offset)
        self.synced_end_offset = self.end_offset
        self.bytes_since_snapshot = 0
        self.failed: StorageError | None = None
        self.on_failure: Callable[[StorageError], object] | None = None
        self.closed = False
        self.interruptions = 0
        self.is_compacted = False
        self.swap: Swap | None = None
        self.last_horizon_ms: int | None = None
        self.held_back_offset = -1
        cut_to = truncation_point(storage)
        self.cuts = int(cut_to != NEVER_TRUNCATED)
        self.first_dirty_offset = min(checkpoint.first_dirty_offset, cut_to, self.end_offset)
        self.epochs_unwritten = False

    @property
    def end_offset(self) -> int:
        """The offset that the next record will get."""
        return self.segments.active.next_offset

    # Use.

    def fail(self, error: StorageError) -> None:
        """Use this log no more: what the disk holds of it is not known."""
        if self.failed is not None or self.closed:
            return
        self.failed = error
        if self.on_failure is not None and self.on_failure(error) is True:
            self.failed = None

    def demand_usable(self) -> None:
        """Refuse a log that has failed or is closed. Raises: LogOffline."""
        if self.failed is not None:
            raise LogOffline(f"{self.storage.directory} is offline: {self.failed}") from self.failed
        if self.closed:
            raise LogOffline(f"{self.storage.directory} is closed")

    @contextmanager
    def guarded(self) -> Iterator[None]:
        """Demand a usable log; whatever the disk refuses meanwhile fails it."""
        self.demand_usable()
        try:
            yield
        except StorageError as error:
            self.fail(error)
            raise

    @contextmanager
    def guarded_but_for_room(self) -> Iterator[None]:
        """Whatever the disk refuses meanwhile fails the log, unless it is only full: no harm then.

        For what changes nothing that counts before it has all the room that it needs.
        """
        try:
            yield
        except DiskFull:
            raise
        except StorageError as error:
            self.fail(error)
            raise

    # Steps that several changes share.

    def start_epoch(self, epoch: int, start_offset: int) -> None:
        """Note that a leader epoch begins at an offset; `write_epochs` makes it last.

        Raises: EpochTooNew where the record before it is of a later one.
        """
        if epoch == self.epochs.latest_epoch:
            return
        before = self.epochs.epoch_of(start_offset - 1)
        if before > epoch:
            raise EpochTooNew(self.storage.directory, epoch=before, current=epoch)
        self.epochs_unwritten |= self.epochs.start(epoch, start_offset)

    def write_epochs(self) -> None:
        """Write the epochs where they have changed since. Raises: StorageError."""
        if self.epochs_unwritten:
            self.storage.write_soon_durable(EPOCHS_FILE, self.epochs.encode())
            self.epochs_unwritten = False

    def write_epochs_if_room(self) -> None:
        """Write the epochs, or leave that to the next append where the disk is full.

        What the file says meanwhile is as good: an opened log finds in its batches what is missing,
        and cuts what lies before its start. Raises: StorageError but DiskFull.
        """
        with suppress(DiskFull):
            self.write_epochs()

    def interrupt_compaction(self) -> None:
        """End a pass that is under way, as what it goes over will change. Raises: StorageError.

        A segment that has taken the place of others does so on the disk, too, before it returns.
        """
        self.interruptions += 1
        if self.swap is not None:
            swap.finish(self.storage, self.swap)
            self.swap = None

    def roll(self) -> None:
        """Begin a new segment at the log's end. Raises: StorageError."""
        self.segments.roll()
        self.bytes_since_snapshot = 0
        write_snapshot(self.storage, self.segments, self.end_offset, self.producers)

    def write_snapshot_if_due(self) -> None:
        """Write what is known of producers now and then, if there is room. Raises: StorageError."""
        if len(self.producers) and (
            self.bytes_since_snapshot >= interval_bytes(self.storage, self.producers)
        ):
            self.bytes_since_snapshot = 0
            with suppress(DiskFull), self.guarded_but_for_room():
                write_snapshot(
                    self.storage,
                    self.segments,
                    self.end_offset,
                    self.producers,
                    soon_durable=False,
                )
