"""Errors of the broker as a whole, and the error code that answers each kind of error.

Must never know: messages, sockets, logs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from protocol.errors import ErrorCode, OttlaError, ProtocolError, RequestError, StorageError

if TYPE_CHECKING:
    from collections.abc import Mapping


class ConfigError(OttlaError):
    """The broker's configuration is wrong: names the key, the value and what is expected."""


class CannotAnswer(ProtocolError):
    """The request's API or version is unknown, so that no answer could be understood."""


class UnknownTopicOrPartition(RequestError):
    """No replica of the partition is on this broker."""

    code = ErrorCode.UNKNOWN_TOPIC_OR_PARTITION


class UnknownTopicId(RequestError):
    """No topic with this id is known here."""

    code = ErrorCode.UNKNOWN_TOPIC_ID


class InconsistentTopicId(RequestError):
    """A topic was deleted and created anew: its name stands for another topic now."""

    code = ErrorCode.INCONSISTENT_TOPIC_ID


class NotLeader(RequestError):
    """This broker does not lead the partition; the client must refresh its metadata."""

    code = ErrorCode.NOT_LEADER_OR_FOLLOWER

    def __init__(self, *, leader_id: int, leader_epoch: int) -> None:
        super().__init__(f"broker {leader_id} leads it under epoch {leader_epoch}, as far as known")
        self.leader_id = leader_id
        self.leader_epoch = leader_epoch


class HandingOver(NotLeader):
    """This broker leads the partition for the last moments, and appends nothing more."""


class FencedLeaderEpoch(RequestError):
    """The asker believes in an older leader epoch."""

    code = ErrorCode.FENCED_LEADER_EPOCH

    def __init__(self, *, asked: int, current: int) -> None:
        super().__init__(f"leader epoch {asked} is over, {current} is current")
        self.current = current


class UnknownLeaderEpoch(RequestError):
    """The asker knows of a newer leader epoch than this broker."""

    code = ErrorCode.UNKNOWN_LEADER_EPOCH

    def __init__(self, *, asked: int, current: int) -> None:
        super().__init__(f"leader epoch {asked} is not known here yet, only {current}")
        self.current = current


class PartitionOffline(RequestError):
    """The disk failed under this replica."""

    code = ErrorCode.KAFKA_STORAGE_ERROR


class NotEnoughReplicas(RequestError):
    """Too few replicas are in sync for acks=all; nothing was appended."""

    code = ErrorCode.NOT_ENOUGH_REPLICAS

    def __init__(self, partition: str, *, isr: tuple[int, ...], min_isr: int) -> None:
        super().__init__(
            f"{partition} has {len(isr)} in-sync replicas, min.insync.replicas is {min_isr}"
        )


class OffsetNotAvailable(RequestError):
    """A new leader does not know its high watermark yet."""

    code = ErrorCode.OFFSET_NOT_AVAILABLE


class OffsetNotCommitted(RequestError):
    """Records are to be deleted that are not committed, or not there."""

    code = ErrorCode.OFFSET_OUT_OF_RANGE

    def __init__(self, partition: str, *, offset: int, high_watermark: int) -> None:
        super().__init__(
            f"offset {offset} of {partition} is not in [0, {high_watermark}]: only what lies below"
            " the high watermark can be deleted"
        )


class RefusedRecords(RequestError):
    """Records are not what their topic takes. `reasons` has why, by their index in the request."""

    code = ErrorCode.INVALID_RECORD

    def __init__(self, message: str, reasons: Mapping[int, str]) -> None:
        super().__init__(message)
        self.reasons = reasons


class PeerUnknown(OttlaError):
    """Another broker is wanted that is not registered with the coordinator."""


class StaleBrokerEpoch(RequestError):
    """The request comes from an earlier incarnation of a broker."""

    code = ErrorCode.STALE_BROKER_EPOCH


def error_code(error: OttlaError) -> ErrorCode:
    """Give the code that tells a client about `error`.

    A coordination error leaves the outcome unknown, which is what REQUEST_TIMED_OUT says; it is
    retriable in every client.
    """
    if isinstance(error, RequestError):
        return error.code
    if isinstance(error, StorageError):
        return ErrorCode.KAFKA_STORAGE_ERROR
    if isinstance(error, ProtocolError):
        return ErrorCode.INVALID_REQUEST
    return ErrorCode.REQUEST_TIMED_OUT
