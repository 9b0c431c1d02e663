"""What users of the client hold: records, their places, where they were written, what was read.

Must never know: batches, sockets, brokers.
"""

from __future__ import annotations

from typing import NamedTuple

from msgspec import Struct

from protocol.record_decoder import Header


class TopicPartition(NamedTuple):
    """One partition of a topic."""

    topic: str
    partition: int

    def __str__(self) -> str:
        return f"{self.topic}-{self.partition}"


class ConsumerRecord(Struct, frozen=True, gc=False):
    """A record as it was read; `leader_epoch` is the epoch that it was written in."""

    topic: str
    partition: int
    offset: int
    timestamp_ms: int
    key: bytes | None
    value: bytes | None
    headers: tuple[Header, ...]
    leader_epoch: int

    @property
    def topic_partition(self) -> TopicPartition:
        """Return the partition that it was read from."""
        return TopicPartition(self.topic, self.partition)


class RecordMetadata(Struct, frozen=True):
    """Where an acknowledged record was written.

    `offset` is -1 with acks=0, where nobody says; `timestamp_ms` is the broker's where the topic
    is stamped by the broker, and -1 where the record's own counts.
    """

    topic: str
    partition: int
    offset: int
    timestamp_ms: int = -1


class OffsetAndTimestamp(Struct, frozen=True):
    """An offset, the timestamp of its record (-1 at the end of a log) and its leader epoch."""

    offset: int
    timestamp_ms: int
    leader_epoch: int


class OffsetAndMetadata(Struct, frozen=True):
    """How far a group has read a partition.

    `offset` is that of the next record to read, `leader_epoch` that of the record before it (-1:
    unknown), `metadata` any short text of the application.
    """

    offset: int
    leader_epoch: int = -1
    metadata: str = ""


class GroupMetadata(Struct, frozen=True):
    """Who a consumer is in its group; generation -1 and no member id while it is in none."""

    group_id: str
    generation_id: int = -1
    member_id: str = ""
    group_instance_id: str | None = None
