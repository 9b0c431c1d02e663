"""Whether a batch may enter a log: what headers alone can tell.

Must never know: offsets of the log, producers' earlier batches, files.
Source: KIP-98, KIP-534, KIP-937.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from broker.log.config import CREATE_TIME
from broker.log.errors import (
    InvalidRecord,
    InvalidTimestamp,
    MessageTooLarge,
    NotContinuous,
    TransactionsUnsupported,
)
from protocol.batch import HEADER_BYTES, NO_PRODUCER_ID, NO_TIMESTAMP, split_batches
from protocol.compression import DECOMPRESSED_BYTES_MAX, Compression
from protocol.records import RECORD_BYTES_MIN

if TYPE_CHECKING:
    from collections.abc import Iterable

    from broker.log.config import LogConfig
    from broker.log.disk import Buffer
    from protocol.batch import BatchHeader

_GAP_MAX: Final = 2**31 - 1
OPENED_RECORDS_MAX: Final = 1_000_000
"""Of a batch whose records are looked into: that takes a second, and nothing else happens then."""


def the_only_batch(records: Buffer, *, check_crc: bool = False) -> tuple[BatchHeader, memoryview]:
    """Demand what a producer may send for a partition since Produce 3.

    No more than two are looked at: a request has room for a million and a half, and nothing else
    happens meanwhile. Raises: CorruptBatch, UnsupportedMagic, InvalidRecord.
    """
    batches = split_batches(records, check_crc=check_crc, batches_max=2)
    if not batches:
        raise InvalidRecord("there is no record batch to append")
    if len(batches) > 1:
        raise InvalidRecord("there is more than one record batch for one partition: send one")
    return batches[0]


def check_admission(header: BatchHeader, config: LogConfig, *, now_ms: int) -> None:
    """Refuse a batch that the topic does not take, or that contradicts itself.

    Raises: MessageTooLarge, InvalidRecord, InvalidTimestamp, TransactionsUnsupported.
    """
    if header.size_bytes > config.max_message_bytes:
        raise MessageTooLarge(size_bytes=header.size_bytes, accepted_bytes=config.max_message_bytes)
    if header.record_count != header.last_offset_delta + 1:
        raise InvalidRecord(
            f"a batch counts {header.record_count} records but"
            f" {header.last_offset_delta + 1} offsets"
        )
    # What is compressed is not opened: it may unfold to so much.
    body_bytes = (
        header.size_bytes - HEADER_BYTES
        if header.compression is Compression.NONE
        else DECOMPRESSED_BYTES_MAX
    )
    if header.record_count * RECORD_BYTES_MIN > body_bytes:
        raise InvalidRecord(f"{header.record_count} records do not fit in {body_bytes} bytes")
    if header.is_control:
        raise InvalidRecord("only brokers write control batches")
    if header.delete_horizon_ms is not None:
        raise InvalidRecord("only brokers set a delete horizon")
    if header.is_transactional:
        raise TransactionsUnsupported("transactions are not supported by this broker")
    if header.producer_id != NO_PRODUCER_ID and header.base_sequence < 0:
        raise InvalidRecord(f"producer {header.producer_id} sent a batch without a sequence number")
    if config.message_timestamp_type == CREATE_TIME:
        _check_timestamps(header, config, now_ms)


def check_opening(header: BatchHeader) -> None:
    """Refuse a batch that is too large to have its records looked into. Raises: InvalidRecord."""
    if header.record_count > OPENED_RECORDS_MAX:
        raise InvalidRecord(
            f"a batch of {header.record_count} records, which are to be looked into:"
            f" send {OPENED_RECORDS_MAX} at most"
        )


def _check_timestamps(header: BatchHeader, config: LogConfig, now_ms: int) -> None:
    # Batches are not opened: the newest record's time is known, and of the older ones the first's.
    newest_ms, first_ms = header.max_timestamp, header.base_timestamp
    if newest_ms == NO_TIMESTAMP:
        return
    if newest_ms - now_ms > config.message_timestamp_after_max_ms:
        raise InvalidTimestamp(
            f"timestamp {newest_ms} is {newest_ms - now_ms} ms ahead of the broker's clock;"
            " message.timestamp.after.max.ms ="
            f" {config.message_timestamp_after_max_ms}: set the producer's clock"
        )
    if first_ms != NO_TIMESTAMP and now_ms - first_ms > config.message_timestamp_before_max_ms:
        raise InvalidTimestamp(
            f"timestamp {first_ms} is {now_ms - first_ms} ms behind the broker's clock;"
            f" message.timestamp.before.max.ms = {config.message_timestamp_before_max_ms}"
        )


def check_continuity(
    headers: Iterable[BatchHeader], *, next_offset: int, epoch: int, leader_epoch: int
) -> None:
    """Refuse a leader's batches that do not continue a log which ends before `next_offset`.

    `epoch` is the leader epoch of the log's last record. Offsets may be left out, as compaction
    does; neither they nor epochs may go back, no epoch is newer than the leader's own, and all fit
    into a segment that begins where the log ends. Raises: NotContinuous.
    """
    end_offset = next_offset
    for header in headers:
        if header.base_offset < next_offset or header.partition_leader_epoch < epoch:
            raise NotContinuous(
                f"a batch at offset {header.base_offset} of epoch {header.partition_leader_epoch}"
                f" cannot follow offset {next_offset - 1} of epoch {epoch}"
            )
        if header.partition_leader_epoch > leader_epoch:
            raise NotContinuous(
                f"a batch at offset {header.base_offset} claims leader epoch"
                f" {header.partition_leader_epoch}, and comes from the leader of {leader_epoch}:"
                " the leader's disk has damaged it"
            )
        if header.last_offset - end_offset > _GAP_MAX:
            raise NotContinuous(
                f"offset {header.last_offset} is too far from {end_offset - 1} for one segment"
            )
        next_offset, epoch = header.next_offset, header.partition_leader_epoch
