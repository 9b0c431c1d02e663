"""Asking a leader where an older leader epoch ended in its log.

Must never know: what follows from the answer.
Source: KIP-101, KIP-320.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from client.records import TopicPartition
from protocol.api.offset_for_leader_epoch import (
    OffsetForLeaderEpochRequest,
    OffsetForLeaderEpochResponse,
    OffsetForLeaderPartition,
    OffsetForLeaderTopic,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from client.cluster import Cluster

UNKNOWN_END: Final = -1
"""The end of an epoch of which the leader has no record."""

_CONSUMER: Final = -1


class EpochEnd(NamedTuple):
    """The largest epoch at or below the one asked about, and the offset where it ends."""

    leader_epoch: int
    end_offset: int


async def ask_epoch_ends(
    cluster: Cluster, broker_id: int, epochs: Mapping[TopicPartition, tuple[int, int]]
) -> dict[TopicPartition, EpochEnd]:
    """Ask where epochs ended; `epochs` holds `(current leader epoch, asked epoch)` each.

    Partitions that the broker refuses are left out. Raises: ConnectionBroken, UnsupportedApi.
    """
    by_topic: dict[str, list[OffsetForLeaderPartition]] = {}
    for place, (current_epoch, asked_epoch) in epochs.items():
        asked = OffsetForLeaderPartition(place.partition, current_epoch, asked_epoch)
        by_topic.setdefault(place.topic, []).append(asked)
    request = OffsetForLeaderEpochRequest(
        replica_id=_CONSUMER,
        topics=[OffsetForLeaderTopic(*entry) for entry in by_topic.items()],
    )
    response: OffsetForLeaderEpochResponse = await cluster.call(broker_id, request)
    return {
        TopicPartition(topic.topic, answer.partition): EpochEnd(
            answer.leader_epoch, answer.end_offset
        )
        for topic in response.topics
        for answer in topic.partitions
        if answer.error_code == 0
    }
