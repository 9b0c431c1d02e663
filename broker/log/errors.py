"""The log's refusals: what a disk can do to us, and what a client asked that cannot be done.

Must never know: how an error is answered, who retries it.
"""

from __future__ import annotations

from typing import Final

from protocol.errors import ErrorCode, RequestError, StorageError

COPY_ANEW: Final = "stop the broker, move the directory away and start it: it is copied anew"
"""What to do about a log that is damaged."""


class FileMissing(StorageError):
    """The file is not there."""


class DiskFull(StorageError):
    """The file system has no space left for us."""


class DirectoryInUse(StorageError):
    """Another process holds the data directory."""


class LogDamaged(StorageError):
    """The disk gives back something else than was written, here and perhaps nowhere else."""


class EpochTooNew(LogDamaged):
    """The last records claim a leader epoch that comes after the current one: no checksum tells."""

    def __init__(self, directory: str, *, epoch: int, current: int) -> None:
        super().__init__(
            f"{directory} is damaged: its last records are of leader epoch {epoch}, which is still"
            f" to come after {current}; {COPY_ANEW}"
        )


class LogOffline(StorageError):
    """The log has failed earlier and is used no more until the broker is restarted."""


class OffsetOutOfRange(RequestError):
    """The offset lies outside [log start, log end]."""

    code = ErrorCode.OFFSET_OUT_OF_RANGE

    def __init__(self, *, offset: int, log_start_offset: int, log_end_offset: int) -> None:
        super().__init__(
            f"offset {offset} is outside of the log, which holds"
            f" [{log_start_offset}, {log_end_offset})"
        )
        self.offset = offset
        self.log_start_offset = log_start_offset
        self.log_end_offset = log_end_offset


class MessageTooLarge(RequestError):
    """One batch is larger than the topic accepts."""

    code = ErrorCode.MESSAGE_TOO_LARGE

    def __init__(self, *, size_bytes: int, accepted_bytes: int) -> None:
        super().__init__(
            f"a batch of {size_bytes} bytes is larger than max.message.bytes = {accepted_bytes};"
            " send smaller batches or raise the topic's max.message.bytes"
        )
        self.size_bytes = size_bytes
        self.accepted_bytes = accepted_bytes


class RecordListTooLarge(RequestError):
    """The batches of one request do not fit into one segment."""

    code = ErrorCode.RECORD_LIST_TOO_LARGE

    def __init__(self, *, size_bytes: int, segment_bytes: int) -> None:
        super().__init__(
            f"{size_bytes} bytes in one request do not fit into a segment of"
            f" segment.bytes = {segment_bytes}"
        )
        self.size_bytes = size_bytes
        self.segment_bytes = segment_bytes


class InvalidRecord(RequestError):
    """A batch contradicts itself, or holds what a client must not write."""

    code = ErrorCode.INVALID_RECORD


class InvalidTimestamp(RequestError):
    """A batch's timestamp is further from the broker's clock than the topic accepts."""

    code = ErrorCode.INVALID_TIMESTAMP


class TransactionsUnsupported(RequestError):
    """A transactional batch came to a broker that serves no transactions."""

    code = ErrorCode.INVALID_TXN_STATE


class OutOfOrderSequence(RequestError):
    """An idempotent producer's batch does not follow its last one."""

    code = ErrorCode.OUT_OF_ORDER_SEQUENCE_NUMBER

    def __init__(self, *, producer_id: int, expected: int, sequence: int) -> None:
        super().__init__(
            f"producer {producer_id} sent sequence {sequence} where {expected} was expected"
        )
        self.producer_id = producer_id
        self.expected = expected
        self.sequence = sequence


class InvalidProducerEpoch(RequestError):
    """A producer wrote with an epoch older than the newest one seen: it is fenced."""

    code = ErrorCode.INVALID_PRODUCER_EPOCH

    def __init__(self, *, producer_id: int, epoch: int, newest: int) -> None:
        super().__init__(f"producer {producer_id} wrote with epoch {epoch}, the newest is {newest}")
        self.producer_id = producer_id
        self.epoch = epoch
        self.newest = newest


class NotContinuous(RequestError):
    """A follower was given batches whose offsets or leader epochs go backwards."""

    code = ErrorCode.UNKNOWN_SERVER_ERROR
