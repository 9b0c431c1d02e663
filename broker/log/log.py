"""One partition's log: the facade over its parts, and the guard before them.

What is done is done in the modules that it calls; here is what a log offers, and the rule that a
log whose disk has failed is used no more. Everything is synchronous, so nothing runs between the
lines; only a flush waits, and it is begun and ended here.
Must never know: the network, replicas, watermarks other than those it is told.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from broker.log import appends, lifetime, reading, timestamps, truncation
from broker.log.compaction import pending
from broker.log.compaction.compact import compact
from broker.log.directory import Checkpoint
from broker.log.state import LogState
from broker.log.storage import FlushTicket, Storage

if TYPE_CHECKING:
    from collections.abc import Callable

    from broker.log.appends import Appended
    from broker.log.compaction.cleanable import Cleanable
    from broker.log.compaction.compact import Compacted, Pace
    from broker.log.config import LogConfig
    from broker.log.disk import Buffer, Disk
    from broker.log.producers import ProducerStates
    from broker.log.recovery import RecoveryReport
    from broker.log.segment import Segment
    from broker.log.slice import LogSlice
    from broker.log.timestamps import TimestampedOffset
    from protocol.errors import StorageError

OFFSET_MAX: Final = 2**63 - 1
EPOCH_MAX: Final = 2**31 - 1


class Log:
    """The records of one partition, `[log_start_offset, log_end_offset)`, on one broker's disk."""

    def __init__(self, storage: Storage, checkpoint: Checkpoint, *, clean: bool) -> None:
        self._storage = storage
        self._state = LogState(storage, checkpoint, clean=clean)

    def __repr__(self) -> str:
        return f"<Log {self.directory} [{self.log_start_offset}, {self.log_end_offset})>"

    @classmethod
    def open(
        cls,
        disk: Disk,
        directory: str,
        config: LogConfig,
        *,
        wall_ms: Callable[[], int],
        clean: bool,
        checkpoint: Checkpoint | None = None,
    ) -> Log:
        """Open the log in an existing directory; recover it unless it was closed cleanly.

        Raises: StorageError.
        """
        storage = Storage(disk, directory, config, wall_ms)
        return cls(storage, checkpoint or Checkpoint(), clean=clean)

    @classmethod
    def create(
        cls,
        disk: Disk,
        directory: str,
        config: LogConfig,
        *,
        topic_id: bytes,
        wall_ms: Callable[[], int],
    ) -> Log:
        """Create an empty log for a topic; the first flush makes it last.

        Raises: StorageError, also where another topic's log is there.
        """
        storage = Storage(disk, directory, config, wall_ms)
        is_new = lifetime.make_directory(storage, topic_id)
        return cls(storage, Checkpoint(), clean=is_new)

    # What is known.

    @property
    def directory(self) -> str:
        """The directory that holds it."""
        return self._storage.directory

    @property
    def topic_id(self) -> bytes | None:
        """The topic whose log this is; None where its directory does not say."""
        return self._state.topic_id

    @property
    def recovery(self) -> RecoveryReport:
        """What opening it has found."""
        return self._state.recovery

    @property
    def failed(self) -> StorageError | None:
        """Why it is used no more; None while it is."""
        return self._state.failed

    def on_failure(self, tell: Callable[[StorageError], object]) -> None:
        """Have `tell` called when this log is to be used no more, which a True takes back.

        That is before whatever has found it out raises, or returns.
        """
        self._state.on_failure = tell

    @property
    def config(self) -> LogConfig:
        """Its settings."""
        return self._storage.config

    def reconfigure(self, config: LogConfig) -> None:
        """Take over new settings; they hold from the next append on."""
        self._storage.config = config

    @property
    def log_start_offset(self) -> int:
        """The offset of the oldest record that can be read."""
        return self._state.start_offset

    @property
    def log_end_offset(self) -> int:
        """The offset that the next record will get."""
        return self._state.end_offset

    @property
    def durable_end_offset(self) -> int:
        """The offset below which records count as stored: on the disk, or with `flush=os` here."""
        if self._storage.config.flushes_on_commit:
            return self._state.synced_end_offset
        return self.log_end_offset

    @property
    def recovery_point(self) -> int:
        """The offset below which everything is on the disk, whatever `flush` is."""
        return self._state.synced_end_offset

    @property
    def size_bytes(self) -> int:
        """Bytes of batches on the disk."""
        return self._state.segments.size_bytes

    @property
    def first_dirty_offset(self) -> int:
        """The offset below which compaction is done: no two records there have one key."""
        return self._state.first_dirty_offset

    @property
    def segments(self) -> tuple[Segment, ...]:
        """The segments, oldest first."""
        return self._state.segments.as_tuple()

    @property
    def producers(self) -> ProducerStates:
        """What is known of idempotent producers; to be read only."""
        return self._state.producers

    # Epochs.

    @property
    def latest_epoch(self) -> int:
        """The newest leader epoch that has begun in this log, or -1."""
        return self._state.epochs.latest_epoch

    def epoch_at(self, offset: int) -> int:
        """Return the leader epoch that an offset was written in, or -1."""
        return self._state.epochs.epoch_of(offset)

    def end_offset_for_epoch(self, epoch: int) -> tuple[int, int]:
        """Say which epoch is the greatest not above the asked one, and where it ended.

        Returns: (epoch, end offset); (-1, -1) where that is unknown. Source: KIP-279.
        """
        return self._state.epochs.end_offset_for(epoch, log_end_offset=self.log_end_offset)

    def diverges(self, fetch_offset: int, last_fetched_epoch: int) -> tuple[int, int] | None:
        """Tell where a reader's log parts from this one, as (epoch, end offset); None: nowhere.

        Source: KIP-595.
        """
        if last_fetched_epoch < 0:
            return None
        epoch, end_offset = self.end_offset_for_epoch(last_fetched_epoch)
        if epoch == last_fetched_epoch and end_offset >= fetch_offset:
            return None
        return epoch, end_offset

    def start_epoch(self, epoch: int) -> None:
        """Note that a leader begins its epoch at the log's end. Raises: StorageError."""
        with self._state.guarded():
            self._state.start_epoch(epoch, self.log_end_offset)
            self._state.write_epochs()  # who has no room is not to lead

    # Appending.

    def append_as_leader(self, records: Buffer, *, leader_epoch: int) -> Appended:
        """Append a producer's one batch at the offsets and under the epoch given here.

        Raises: CorruptBatch and the refusals of `broker.log.errors`; DiskFull, after which the log
        is as before and can be used; any other StorageError, after which it cannot.
        """
        return appends.append_as_leader(self._state, records, leader_epoch=leader_epoch)

    def demand_openable(self, records: Buffer) -> None:
        """Refuse a producer's batch that is not to be looked into: by its header, or too large.

        Raises: CorruptBatch, and the refusals of `broker.log.errors`.
        """
        appends.demand_openable(self._state, records)

    def append_as_follower(self, records: Buffer, *, leader_epoch: int = EPOCH_MAX) -> int:
        """Append a leader's batches, none of a later epoch than its own. Returns: the new log end.

        Raises: CorruptBatch, NotContinuous; StorageError as `append_as_leader`.
        """
        return appends.append_as_follower(self._state, records, leader_epoch=leader_epoch)

    # Reading.

    def read(
        self, offset: int, *, bytes_max: int, end_offset: int, at_least_one: bool = True
    ) -> LogSlice:
        """Read whole batches of one segment, from the one that holds `offset`, below `end_offset`.

        Larger than `bytes_max` only where the first batch is, and `at_least_one` is wanted. Empty
        at the log's end. Raises: OffsetOutOfRange, StorageError.
        """
        return reading.read(
            self._state,
            offset,
            bytes_max=bytes_max,
            end_offset=end_offset,
            at_least_one=at_least_one,
        )

    def offset_for_timestamp(self, timestamp_ms: int) -> TimestampedOffset | None:
        """Find the first record that is as new as the timestamp, opening one batch.

        Raises: StorageError; CorruptBatch where that batch cannot be opened.
        """
        state = self._state
        with state.guarded():
            return timestamps.first_at_or_after(
                state.segments, timestamp_ms, start_offset=state.start_offset
            )

    def max_timestamp(self) -> TimestampedOffset | None:
        """Find the first of the records with the greatest timestamp. Raises: StorageError."""
        with self._state.guarded():
            return timestamps.newest(self._state.segments, start_offset=self._state.start_offset)

    # Cutting.

    def truncate_to(self, offset: int) -> None:
        """Cut every record from `offset` on, and every epoch that began there. Durable on return.

        A batch that holds `offset` goes as a whole. An offset at or beyond the log's end cuts only
        the epochs that have written nothing. Raises: DiskFull, and nothing is cut; StorageError.
        """
        truncation.truncate(self._state, offset)

    def reset_to(self, offset: int) -> None:
        """Drop everything and begin anew at `offset`. Raises: as `truncate_to`."""
        truncation.restart(self._state, offset)

    @property
    def cuts(self) -> int:
        """How often it was cut since a checkpoint of it was durable, as far as is known here."""
        return self._state.cuts

    def checkpointed(self, *, cuts: int) -> None:
        """Take note that a checkpoint is durable that was made after so many `cuts`."""
        truncation.forget_cuts(self._state, cuts)

    def advance_log_start(self, offset: int) -> None:
        """Hide the records below `offset`; retention removes their segments. Raises: StorageError.

        An offset below the log start changes nothing.
        """
        with self._state.guarded():
            truncation.advance_start(self._state, offset)

    def apply_retention(self, high_watermark: int, *, count_max: int = OFFSET_MAX) -> int:
        """Remove whole old segments below the high watermark, and forget idle producers.

        Returns: how many segments were removed. Raises: StorageError.
        """
        with self._state.guarded():
            return truncation.remove_expired(self._state, high_watermark, count_max=count_max)

    def rest(self) -> None:
        """Hold no files and indexes of complete segments that were not used since the last call.

        A pass of compaction holds some for as long as it takes.
        """
        if not self.config.compacts and not self._state.closed:
            self._state.segments.rest(self._state.synced_end_offset)

    # Compaction.

    def find_cleanable(
        self, limit_offset: int, *, replicated_offset: int = OFFSET_MAX
    ) -> Cleanable | None:
        """Find what is to be compacted below an offset, once it is durable; None: nothing yet.

        Every replica has what is below `replicated_offset`: tombstones there may go.
        Begins a new segment where the newest is old, so that it can be compacted later.
        Raises: StorageError.
        """
        with self._state.guarded():
            return pending.find(
                self._state, limit_offset=limit_offset, replicated_offset=replicated_offset
            )

    async def compact(
        self,
        cleanable: Cleanable,
        *,
        pace: Pace,
        key_bytes_max: int,
        replicated_offset: Callable[[], int] = lambda: OFFSET_MAX,
    ) -> Compacted:
        """Compact what was found. Raises: Interrupted; CorruptBatch where a batch is damaged;
        DiskFull; any other StorageError, after which the log cannot be used.
        """
        return await compact(
            self._state,
            cleanable,
            pace=pace,
            key_bytes_max=key_bytes_max,
            replicated_offset=replicated_offset,
        )

    # Durability and the end.

    def begin_flush(self) -> FlushTicket:
        """Take what must be synced now. Raises: StorageError, and the log has failed by then."""
        state, unsynced = self._state, self._storage.unsynced
        if state.closed:
            return FlushTicket((), (), state.synced_end_offset)
        with state.guarded():
            if self.config.flushes_on_commit:
                return unsynced.begin(state.storage.disk, state.end_offset)
            active = state.segments.active  # left to the operating system until it is complete
            return unsynced.begin(state.storage.disk, active.base_offset, spare=active.file)

    def end_flush(self, ticket: FlushTicket) -> None:
        """Take note that everything in a ticket is durable."""
        end_offset = self._storage.unsynced.end(ticket)
        self._state.synced_end_offset = max(self._state.synced_end_offset, end_offset)

    def fail(self, error: StorageError) -> None:
        """Use this log no more: what the disk holds of it is not known."""
        self._state.fail(error)

    def prepare_close(self) -> None:
        """Write what only memory holds, so that after one more flush `close` need not wait.

        Raises: StorageError.
        """
        with self._state.guarded():
            lifetime.prepare_close(self._state)

    def close(self, *, clean: bool = True) -> None:
        """Let go of the files; when clean, everything is durable first, blocking for what is not.

        Raises: StorageError.
        """
        state = self._state
        if clean and not state.closed and state.failed is None:
            with state.guarded():
                lifetime.prepare_close(state)
                lifetime.make_clean(self._storage)
        state.closed = True
        state.segments.close()

    def delete(self) -> None:
        """Remove the log from the disk: its directory is renamed first. Raises: StorageError."""
        self.close(clean=False)
        lifetime.delete(self._storage, self.topic_id)

    def begin_delete(self) -> str:
        """Close it and rename its directory, for `Disk.discard`. Returns: its path now.

        Raises: StorageError.
        """
        self.close(clean=False)
        return lifetime.begin_delete(self._storage, self.topic_id)

    def set_aside(self) -> str:
        """Keep the log under another name. Returns: its path now. Raises: StorageError."""
        self.close(clean=False)
        return lifetime.set_aside(self._storage, self.topic_id)
