"""Errors of the client: each names what was asked, where, and what to do next.

Must never know: who raises them, sockets.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from protocol.errors import ErrorCode, OttlaError, RequestError

if TYPE_CHECKING:
    from collections.abc import Sequence


class ConnectionBroken(OttlaError):
    """The connection has ended; whether the broker acted on what was unanswered is unknown."""


class NothingSent(ConnectionBroken):
    """The request never left; it may be asked elsewhere, whatever it does."""


class ConnectFailed(NothingSent):
    """No connection to `address` could be made."""

    def __init__(self, address: str, cause: str) -> None:
        super().__init__(f"cannot connect to {address}: {cause}")
        self.address = address
        self.cause = cause


class BrokerGone(NothingSent):
    """The broker with that id is not a live member of the cluster."""

    def __init__(self, broker_id: int) -> None:
        super().__init__(f"broker {broker_id} is not a live member of the cluster")


class RequestTimedOut(ConnectionBroken):
    """A broker did not answer in time; its connection was closed, the outcome is unknown."""


class UnsupportedApi(OttlaError):
    """The broker and this client share no version of an API."""


class NoBrokerReachable(OttlaError):
    """None of the known brokers and bootstrap servers answered; `causes` holds why, one each."""

    def __init__(self, causes: Sequence[OttlaError]) -> None:
        reasons = "; ".join(str(cause) for cause in causes)
        super().__init__(f"no broker and no bootstrap server can be reached ({reasons})")
        self.causes = tuple(causes)


class WaitTimedOut(OttlaError):
    """Gave up waiting; `last_cause` is what stood in the way when time ran out."""

    def __init__(self, what: str, timeout_s: float, *, last_cause: OttlaError | None) -> None:
        because = f"; last: {last_cause}" if last_cause else ""
        super().__init__(f"gave up after {timeout_s:g} s waiting for {what}{because}")
        self.last_cause = last_cause


class UnknownTopic(RequestError):
    """The cluster has no such topic or partition."""

    code = ErrorCode.UNKNOWN_TOPIC_OR_PARTITION

    def __init__(self, topic: str, partition: int | None = None) -> None:
        what = f"topic {topic!r}" if partition is None else f"partition {topic}-{partition}"
        super().__init__(f"there is no {what}: create it first, or check the name")
        self.topic = topic
        self.partition = partition


class PartitionGone(RequestError):
    """Records waited for a partition of a topic that was deleted, and made anew with fewer."""

    code = ErrorCode.UNKNOWN_TOPIC_OR_PARTITION

    def __init__(self, topic: str, partition: int, *, partition_count: int) -> None:
        super().__init__(
            f"topic {topic!r} was deleted and made anew with fewer partitions ({partition_count}), "
            f"and {topic}-{partition} is no more: send the record again, for another partition, "
            f"or add partitions to the topic first"
        )
        self.topic = topic
        self.partition = partition
        self.partition_count = partition_count


class ClientClosed(OttlaError):
    """The producer, consumer or admin was closed, or never entered with `async with`."""


class RecordTooLarge(RequestError):
    """A record is larger than the producer's `max_request_bytes`; it was not sent."""

    code = ErrorCode.MESSAGE_TOO_LARGE


class DeliveryFailed(OttlaError):
    """A record was not acknowledged.

    `may_be_written` is False where it certainly is in no log, True where nobody can know (a broker
    was asked to append it and never answered). `cause` says what went wrong.
    """

    def __init__(
        self, topic: str, partition: int, *, cause: OttlaError, may_be_written: bool
    ) -> None:
        outcome = "it may have been written" if may_be_written else "it was not written"
        super().__init__(f"a record for {topic}-{partition} failed, {outcome}: {cause}")
        self.topic = topic
        self.partition = partition
        self.cause = cause
        self.may_be_written = may_be_written


class RecordsLost(OttlaError):
    """Records failed whose deliveries nobody waited for; `first` is the first such failure."""

    def __init__(self, count: int, first: DeliveryFailed) -> None:
        super().__init__(f"{count} records that nobody waited for failed; the first: {first}")
        self.count = count
        self.first = first


class ProducerFenced(RequestError):
    """Another producer writes under the same producer id with a later epoch; this one may not."""

    code = ErrorCode.INVALID_PRODUCER_EPOCH

    def __init__(self, producer_id: int, epoch: int) -> None:
        super().__init__(
            f"producer {producer_id} with epoch {epoch} is fenced: whoever took its place writes "
            f"with a later epoch"
        )
        self.producer_id = producer_id
        self.epoch = epoch


class SerializationFailed(OttlaError):
    """A value does not fit its schema; the message says where."""


class DeserializationFailed(OttlaError):
    """Bytes were not written with a schema of the registry, or not whole."""


class OffsetOutOfRange(RequestError):
    """The log of a partition does not hold the asked offset and no reset policy applies."""

    code = ErrorCode.OFFSET_OUT_OF_RANGE

    def __init__(self, topic: str, partition: int, *, offset: int) -> None:
        super().__init__(
            f"offset {offset} of {topic}-{partition} is not in its log: seek to another one, "
            f"or set auto_offset_reset to 'earliest' or 'latest'"
        )
        self.topic = topic
        self.partition = partition
        self.offset = offset


class NothingAssigned(OttlaError):
    """A consumer was asked for records before it was told which partitions to read."""


class NoGroup(OttlaError):
    """A consumer without a `group_id` was asked for what only a group has."""

    def __init__(self, what: str) -> None:
        super().__init__(f"{what} needs a group: set group_id in the ConsumerConfig")


class SubscriptionConflict(OttlaError):
    """A consumer reads either what it assigns to itself or what its group assigns to it."""


class CommitFailed(OttlaError):
    """Offsets were not committed because their partitions belong to other members by now.

    `cause` says how the membership ended. What was handed out since the last commit is handed out
    again, to another member.
    """

    def __init__(self, group_id: str, cause: str) -> None:
        super().__init__(
            f"group {group_id!r} has gone on without this consumer ({cause}): nothing was "
            f"committed; poll more often, or raise max_poll_interval_s or session_timeout_s"
        )
        self.group_id = group_id
        self.cause = cause


class MemberFenced(RequestError):
    """Another consumer has joined with the same group_instance_id; this one is out of the group.

    Source: KIP-345.
    """

    code = ErrorCode.FENCED_INSTANCE_ID

    def __init__(self, group_id: str, group_instance_id: str | None) -> None:
        super().__init__(
            f"another consumer uses group_instance_id {group_instance_id!r} in group {group_id!r}: "
            f"give each consumer its own, then subscribe again"
        )
        self.group_id = group_id
        self.group_instance_id = group_instance_id


class NoPosition(OttlaError):
    """A partition was assigned without an offset to start from, and no reset policy applies."""

    def __init__(self, topic: str, partition: int) -> None:
        super().__init__(
            f"where to start in {topic}-{partition} is unknown: assign it with an offset, seek, "
            f"or set auto_offset_reset to 'earliest' or 'latest'"
        )
        self.topic = topic
        self.partition = partition


class LogTruncated(OttlaError):
    """Records that this consumer has read are no longer in the log (an unclean election).

    `divergent_offset` is the first offset that differs: seek there to go on.
    Source: KIP-320.
    """

    def __init__(self, topic: str, partition: int, *, position: int, divergent_offset: int) -> None:
        super().__init__(
            f"{topic}-{partition} lost records that were read up to offset {position}: its log "
            f"differs from offset {divergent_offset} on; seek there to read what took their place"
        )
        self.topic = topic
        self.partition = partition
        self.position = position
        self.divergent_offset = divergent_offset


def error_code(code: int) -> ErrorCode:
    """Return the error code, UNKNOWN_SERVER_ERROR for one of a newer broker."""
    try:
        return ErrorCode(code)
    except ValueError:
        return ErrorCode.UNKNOWN_SERVER_ERROR


def refusal(code: int, what: str, *, detail: str | None = None) -> RequestError:
    """Make the error for a broker's refusal of `what`; `detail` is the broker's own sentence."""
    named = error_code(code)
    text = f"{what}: {detail} ({named.name})" if detail else f"{what}: {named.name}"
    return RequestError.of(named, text)
