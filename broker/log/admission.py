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
from protocol.batch import NO_PRODUCER_ID, NO_TIMESTAMP

if TYPE_CHECKING:
    from collections.abc import Iterable

    from broker.log.config import LogConfig
    from protocol.batch import BatchHeader

_GAP_MAX: Final = 2**31 - 1


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
    if now_ms - first_ms > config.message_timestamp_before_max_ms:
        raise InvalidTimestamp(
            f"timestamp {first_ms} is {now_ms - first_ms} ms behind the broker's clock;"
            f" message.timestamp.before.max.ms = {config.message_timestamp_before_max_ms}"
        )


def check_continuity(headers: Iterable[BatchHeader], *, next_offset: int, epoch: int) -> None:
    """Refuse a leader's batches that do not continue a log which ends before `next_offset`.

    `epoch` is the leader epoch of the log's last record. Offsets may be left out, as compaction
    does; neither they nor epochs may go back. Raises: NotContinuous.
    """
    for header in headers:
        if header.base_offset < next_offset or header.partition_leader_epoch < epoch:
            raise NotContinuous(
                f"a batch at offset {header.base_offset} of epoch {header.partition_leader_epoch}"
                f" cannot follow offset {next_offset - 1} of epoch {epoch}"
            )
        if header.last_offset - next_offset > _GAP_MAX:
            raise NotContinuous(
                f"offset {header.last_offset} is too far from {next_offset - 1} for one segment"
            )
        next_offset, epoch = header.next_offset, header.partition_leader_epoch
