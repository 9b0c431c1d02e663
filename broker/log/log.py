"""One partition's log: the facade over its segments, epochs and producers.

What it decides is decided in the parts; here they are kept in step. Everything is synchronous, so
nothing runs between the lines; only a flush waits, and it is begun and ended here. A log whose
disk has failed is used no more.
Must never know: the network, replicas, watermarks other than those it is told.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

from broker.log.admission import check_admission, check_continuity
from broker.log.config import LOG_APPEND_TIME
from broker.log.directory import DELETE_SUFFIX, STRAY_SUFFIX, Checkpoint
from broker.log.epochs import EpochCache
from broker.log.errors import (
    DiskFull,
    FileMissing,
    InvalidRecord,
    LogOffline,
    OffsetOutOfRange,
    RecordListTooLarge,
)
from broker.log.metadata import METADATA_FILE, encode_topic_id, parse_topic_id
from broker.log.placement import Placed, place, place_batches
from broker.log.producers import ProducerStates
from broker.log.recovery import EPOCHS_FILE, TRUNCATION_FILE, load, note_truncation
from broker.log.retention import count_expired
from broker.log.slice import LogSlice
from broker.log.snapshots import (
    load_producers,
    produced,
    remove_snapshots,
    snapshot_offsets,
    write_snapshot,
)
from broker.log.storage import FlushTicket, Storage
from broker.log.timestamps import TimestampedOffset, first_at_or_after, newest
from protocol.batch import NO_PRODUCER_ID, split_batches
from protocol.errors import StorageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from broker.log.config import LogConfig
    from broker.log.disk import Buffer, Disk
    from broker.log.recovery import RecoveryReport
    from broker.log.segment import Segment
    from protocol.batch import BatchHeader

_FILE_NAME_BYTES_KEPT = 200
"""Of a directory's name when it is renamed, so that the suffixes fit into the 255 bytes."""


class Appended(NamedTuple):
    """What became of a producer's batches: their offsets, or those of the first time they came.

    `log_append_time_ms` is -1 where the producer's own timestamps are kept.
    """

    base_offset: int
    last_offset: int
    log_append_time_ms: int
    log_start_offset: int
    duplicate: bool


class Log:
    """The records of one partition, `[log_start_offset, log_end_offset)`, on one broker's disk."""

    def __init__(self, storage: Storage, checkpoint: Checkpoint, *, clean: bool) -> None:
        loaded = load(storage, checkpoint, clean=clean)
        self.recovery: RecoveryReport = loaded.report
        self.failed: StorageError | None = None
        self.topic_id = _read_topic_id(storage)
        self._storage = storage
        self._segments = loaded.segments
        self._epochs = loaded.epochs
        self._producers = loaded.producers
        start_offset = max(self._segments.base_offset, checkpoint.log_start_offset)
        self.log_start_offset = min(start_offset, self.log_end_offset)
        self._synced_end_offset = self.log_end_offset
        self._epochs_unwritten = False
        self._closed = False

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
        is_new = not disk.exists(directory)
        disk.make_directory(directory, durable=False)
        if _read_topic_id(storage) not in (None, topic_id):
            raise StorageError(f"{directory} holds the log of another topic; move it away")
        storage.write_soon_durable(METADATA_FILE, encode_topic_id(topic_id))
        storage.unsynced.note_directory(directory.rpartition("/")[0])
        return cls(storage, Checkpoint(), clean=is_new)

    # What is known.

    @property
    def directory(self) -> str:
        """The directory that holds it."""
        return self._storage.directory

    @property
    def config(self) -> LogConfig:
        """Its settings."""
        return self._storage.config

    def reconfigure(self, config: LogConfig) -> None:
        """Take over new settings; they hold from the next append on."""
        self._storage.config = config

    @property
    def log_end_offset(self) -> int:
        """The offset that the next record will get."""
        return self._segments.active.next_offset

    @property
    def durable_end_offset(self) -> int:
        """The offset below which records count as stored: on the disk, or with `flush=os` here."""
        if self._storage.config.flushes_on_commit:
            return self._synced_end_offset
        return self.log_end_offset

    @property
    def recovery_point(self) -> int:
        """The offset below which everything is on the disk, whatever `flush` is."""
        return self._synced_end_offset

    @property
    def size_bytes(self) -> int:
        """Bytes of batches on the disk."""
        return self._segments.size_bytes

    @property
    def segments(self) -> tuple[Segment, ...]:
        """The segments, oldest first."""
        return self._segments.as_tuple()

    @property
    def producers(self) -> ProducerStates:
        """What is known of idempotent producers; to be read only."""
        return self._producers

    # Epochs.

    @property
    def latest_epoch(self) -> int:
        """The newest leader epoch that has begun in this log, or -1."""
        return self._epochs.latest_epoch

    def epoch_at(self, offset: int) -> int:
        """Return the leader epoch that an offset was written in, or -1."""
        return self._epochs.epoch_of(offset)

    def end_offset_for_epoch(self, epoch: int) -> tuple[int, int]:
        """Say which epoch is the greatest not above the asked one, and where it ended.

        Returns: (epoch, end offset); (-1, -1) where that is unknown. Source: KIP-279.
        """
        return self._epochs.end_offset_for(epoch, log_end_offset=self.log_end_offset)

    def start_epoch(self, epoch: int) -> None:
        """Note that a leader begins its epoch at the log's end. Raises: StorageError."""
        with self._guarded():
            self._start_epoch(epoch, self.log_end_offset)
            self._write_epochs()

    def _start_epoch(self, epoch: int, start_offset: int) -> None:
        if self._epochs.start(epoch, start_offset):
            self._epochs_unwritten = True

    def _write_epochs(self) -> None:
        if self._epochs_unwritten:
            self._storage.write_soon_durable(EPOCHS_FILE, self._epochs.encode())
            self._epochs_unwritten = False

    # Appending.

    def append_as_leader(self, records: Buffer, *, leader_epoch: int) -> Appended:
        """Append a producer's batches, all or none, at offsets and under the epoch given here.

        Raises: CorruptBatch and the refusals of `broker.log.errors`; DiskFull, after which the log
        is as before and can be used; any other StorageError, after which it cannot.
        """
        now_ms = self._storage.wall_ms()
        self._demand_usable()
        batches = split_batches(records, check_crc=True)
        first = self._admit(batches, now_ms=now_ms, size_bytes=len(records))
        if first is not None:
            return first
        stamp_ms = now_ms if self.config.message_timestamp_type == LOG_APPEND_TIME else None
        base_offset = self.log_end_offset
        chunks, placed = place_batches(
            batches, base_offset=base_offset, leader_epoch=leader_epoch, stamp_ms=stamp_ms
        )
        self._start_epoch(leader_epoch, base_offset)
        self._write(chunks, placed, size_bytes=len(records))
        for (header, _), one in zip(batches, placed, strict=True):
            if header.producer_id != NO_PRODUCER_ID:
                as_placed = header._replace(base_offset=one.base_offset)
                self._producers.appended(produced(as_placed), now_ms=now_ms)
        time_ms = -1 if stamp_ms is None else stamp_ms
        return Appended(base_offset, placed[-1].last_offset, time_ms, self.log_start_offset, False)

    def _admit(
        self,
        batches: Sequence[tuple[BatchHeader, memoryview]],
        *,
        now_ms: int,
        size_bytes: int,
    ) -> Appended | None:
        """Refuse what must not be appended, or return what became of it when it came first."""
        config = self._storage.config
        for header, _ in batches:
            check_admission(header, config, now_ms=now_ms)
        if not batches:
            raise InvalidRecord("there is no record batch to append")
        if size_bytes > config.segment_bytes:
            raise RecordListTooLarge(size_bytes=size_bytes, segment_bytes=config.segment_bytes)
        sent = [produced(header) for header, _ in batches if header.producer_id != NO_PRODUCER_ID]
        first = self._producers.check(sent) if sent else None
        if first is None:
            return None
        return Appended(first.base_offset, first.last_offset, -1, self.log_start_offset, True)

    def append_as_follower(self, records: Buffer) -> int:
        """Append a leader's batches with their offsets and epochs. Returns: the new log end.

        Raises: CorruptBatch, NotContinuous; StorageError as `append_as_leader`.
        """
        self._demand_usable()
        batches = split_batches(records, check_crc=True)
        headers = [header for header, _ in batches]
        if not headers:
            return self.log_end_offset
        end_offset = self.log_end_offset
        epoch = self._epochs.epoch_of(end_offset - 1)
        check_continuity(headers, next_offset=end_offset, epoch=epoch)
        for header in headers:
            self._start_epoch(header.partition_leader_epoch, header.base_offset)
        self._write([records], [place(header) for header in headers], size_bytes=len(records))
        now_ms = self._storage.wall_ms()
        for header in headers:
            if header.producer_id != NO_PRODUCER_ID:
                self._producers.appended(produced(header), now_ms=now_ms)
        return self.log_end_offset

    def _write(self, chunks: Sequence[Buffer], placed: list[Placed], *, size_bytes: int) -> None:
        try:
            if self._epochs_unwritten:
                self._write_epochs()
            if self._segments.needs_roll(placed, size_bytes):
                self._roll()
            self._segments.append(chunks, placed)
        except DiskFull:
            raise  # nothing was taken, and what was there is whole
        except StorageError as error:
            self.fail(error)
            raise

    def _roll(self) -> None:
        self._segments.roll()
        write_snapshot(self._storage, self.log_end_offset, self._producers)

    # Reading.

    def read(
        self, offset: int, *, bytes_max: int, end_offset: int, at_least_one: bool = True
    ) -> LogSlice:
        """Read whole batches of one segment, from the one that holds `offset`, below `end_offset`.

        Larger than `bytes_max` only where the first batch is, and `at_least_one` is wanted. Empty
        at the log's end. Raises: OffsetOutOfRange, StorageError.
        """
        self._demand_usable()
        log_end_offset = self.log_end_offset
        if not self.log_start_offset <= offset <= log_end_offset:
            raise OffsetOutOfRange(
                offset=offset,
                log_start_offset=self.log_start_offset,
                log_end_offset=log_end_offset,
            )
        end_offset = min(end_offset, log_end_offset)
        if offset >= end_offset:
            return LogSlice.EMPTY
        try:
            found = self._segments.read(
                offset, bytes_max=bytes_max, end_offset=end_offset, at_least_one=at_least_one
            )
        except StorageError as error:
            self.fail(error)
            raise
        return found or LogSlice.EMPTY

    def offset_for_timestamp(self, timestamp_ms: int) -> TimestampedOffset | None:
        """Find the first record that is as new as the timestamp, opening one batch.

        Raises: StorageError; CorruptBatch where that batch cannot be opened.
        """
        with self._guarded():
            return first_at_or_after(
                self._segments, timestamp_ms, start_offset=self.log_start_offset
            )

    def max_timestamp(self) -> TimestampedOffset | None:
        """Find the first of the records with the greatest timestamp. Raises: StorageError."""
        with self._guarded():
            return newest(self._segments, start_offset=self.log_start_offset)

    # Cutting.

    def truncate_to(self, offset: int) -> None:
        """Cut every record from `offset` on, and every epoch that began there. Durable on return.

        A batch that holds `offset` goes as a whole. An offset at or beyond the log's end cuts only
        the epochs that have written nothing. Raises: StorageError.
        """
        with self._guarded():
            if offset < self._segments.base_offset:
                self.reset_to(offset)
                return
            if offset < self.log_end_offset:
                self._note_truncation(offset)
                self._segments.truncate(offset)
                self._records_cut(self.log_end_offset)
                if len(self._producers):
                    self._producers = load_producers(
                        self._storage, self._segments, self.log_end_offset
                    )
                else:
                    remove_snapshots(self._storage, beyond=self.log_end_offset)
            if self._epochs.cut_end(self.log_end_offset):
                self._epochs_unwritten = True
                self._write_epochs()

    def reset_to(self, offset: int) -> None:
        """Drop everything and begin anew at `offset`. Raises: StorageError."""
        with self._guarded():
            self._note_truncation(offset)
            self._segments.restart(offset)
            self._records_cut(offset)
            self._synced_end_offset = self.log_start_offset = offset
            self._epochs, self._epochs_unwritten = EpochCache(), True
            self._write_epochs()
            self._producers = ProducerStates()
            remove_snapshots(self._storage, beyond=-1)

    def _note_truncation(self, offset: int) -> None:
        if offset < self._synced_end_offset:
            note_truncation(self._storage, offset)

    def _records_cut(self, end_offset: int) -> None:
        self._storage.unsynced.truncated(end_offset)
        self._synced_end_offset = min(self._synced_end_offset, end_offset)
        self.log_start_offset = min(self.log_start_offset, end_offset)

    def advance_log_start(self, offset: int) -> None:
        """Hide the records below `offset`; retention removes their segments. Raises: StorageError.

        An offset below the log start changes nothing.
        """
        assert offset <= self.log_end_offset, "the log starts within itself"
        if offset > self.log_start_offset:
            with self._guarded():
                self.log_start_offset = offset
                self._epochs_unwritten |= self._epochs.cut_start(offset)
                self._write_epochs()

    def apply_retention(self, high_watermark: int) -> int:
        """Remove whole old segments below the high watermark, and forget idle producers.

        Returns: how many segments were removed. Raises: StorageError.
        """
        with self._guarded():
            now_ms, config = self._storage.wall_ms(), self.config
            self._producers.expire(now_ms=now_ms, expiration_ms=config.producer_id_expiration_ms)
            count = count_expired(
                self.segments,
                config,
                log_start_offset=self.log_start_offset,
                high_watermark=high_watermark,
                now_ms=now_ms,
            )
            if count == len(self._segments):
                if self._segments.active.size_bytes:
                    self._roll()
                else:
                    count -= 1
            if count:
                self.advance_log_start(self.segments[count].base_offset)
                self._segments.remove_oldest(count)
            return count

    # Durability and the end.

    def begin_flush(self) -> FlushTicket:
        """Take what must be synced now. Raises: StorageError where the log has failed before."""
        if self._closed:
            return FlushTicket((), (), self._synced_end_offset)
        self._demand_usable()
        unsynced = self._storage.unsynced
        if self.config.flushes_on_commit:
            return unsynced.begin(self.log_end_offset)
        active = self._segments.active  # left to the operating system until it is complete
        return unsynced.begin(active.base_offset, spare=active.file)

    def end_flush(self, ticket: FlushTicket) -> None:
        """Take note that everything in a ticket is durable."""
        end_offset = self._storage.unsynced.end(ticket)
        self._synced_end_offset = max(self._synced_end_offset, end_offset)

    def fail(self, error: StorageError) -> None:
        """Use this log no more: what the disk holds of it is not known."""
        if self.failed is None:
            self.failed = error

    def prepare_close(self) -> None:
        """Write what only memory holds, so that after one more flush `close` need not wait.

        Raises: StorageError.
        """
        with self._guarded():
            self._write_epochs()
            for segment in self._segments:
                segment.complete_indexes()
            end_offset = self.log_end_offset
            if end_offset > self._segments.base_offset and (
                end_offset not in snapshot_offsets(self._storage)
            ):
                write_snapshot(self._storage, end_offset, self._producers)

    def close(self, *, clean: bool = True) -> None:
        """Let go of the files; when clean, everything is durable first, blocking for what is not.

        Raises: StorageError.
        """
        if clean and not self._closed and self.failed is None:
            self.prepare_close()
            with self._guarded():
                self._storage.unsynced.sync(self._storage.disk)
                path = self._storage.path(TRUNCATION_FILE)
                if self._storage.disk.exists(path):
                    self._storage.disk.remove(path)
                    self._storage.disk.sync_directory(self.directory)
        self._closed = True
        self._segments.close()

    def delete(self) -> None:
        """Remove the log from the disk: its directory is renamed first. Raises: StorageError."""
        self._storage.disk.remove(self._move_away(DELETE_SUFFIX))

    def set_aside(self) -> str:
        """Keep the log under another name. Returns: its path now. Raises: StorageError."""
        return self._move_away(STRAY_SUFFIX)

    def _move_away(self, suffix: str) -> str:
        self.close(clean=False)
        parent, _, name = self.directory.rpartition("/")
        identity = (self.topic_id or b"").hex()
        unique = f"{name[:_FILE_NAME_BYTES_KEPT]}.{identity}.{self._storage.wall_ms():x}"
        path = f"{parent}/{unique}{suffix}"
        self._storage.disk.rename(self.directory, path)
        return path

    def _demand_usable(self) -> None:
        if self.failed is not None:
            raise LogOffline(f"{self.directory} is offline: {self.failed}") from self.failed
        if self._closed:
            raise LogOffline(f"{self.directory} is closed")

    @contextmanager
    def _guarded(self) -> Iterator[None]:
        self._demand_usable()
        try:
            yield
        except StorageError as error:
            self.fail(error)
            raise


def _read_topic_id(storage: Storage) -> bytes | None:
    try:
        return parse_topic_id(storage.disk.read_file(storage.path(METADATA_FILE)))
    except FileMissing:
        return None
