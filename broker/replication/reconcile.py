"""A follower's first step under a new leader epoch: agree with the leader's log, then fetch.

Asks the leader where our latest epochs end in its log and cuts what it never had. A compacted log
that lacks records begins anew instead, now that somebody else is seen to have them.
Must never know: connections (the asking is handed in), who leads.
Source: KIP-101, KIP-279, KIP-320.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import structlog
import trio

from broker.log.errors import EpochTooNew
from broker.replication.following import begin_anew_if_lossy, truncate
from broker.replication.truncate import Truncation, decide_truncation
from protocol.api.offset_for_leader_epoch import (
    OffsetForLeaderEpochRequest,
    OffsetForLeaderPartition,
    OffsetForLeaderTopic,
)
from protocol.errors import ErrorCode, StorageError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable

    from broker.partition import Partition
    from protocol.api.offset_for_leader_epoch import EpochEndOffset, OffsetForLeaderEpochResponse

log_events = structlog.get_logger()


async def reconcile(
    partitions: Iterable[Partition],
    *,
    broker_id: int,
    ask: Callable[[OffsetForLeaderEpochRequest], Awaitable[OffsetForLeaderEpochResponse]],
) -> list[Partition]:
    """Cut the logs of `partitions`, which all follow one leader, to what it agrees with.

    Returns: the partitions that it would not answer for now; they must not fetch yet.
    Raises: what `ask` raises.
    """
    refused: list[Partition] = []
    asked: dict[tuple[str, int], tuple[Partition, int, int]] = {}
    for partition in partitions:
        if partition.log.latest_epoch < 0:
            partition.needs_reconciling = False
        else:
            epochs = (partition.leader_epoch, partition.log.latest_epoch)
            asked[partition.topic, partition.index] = (partition, *epochs)
    while asked:
        response = await ask(_question(asked.values(), broker_id=broker_id))
        again: dict[tuple[str, int], tuple[Partition, int, int]] = {}
        for topic in response.topics:
            for answer in topic.partitions:
                found = asked.pop((topic.topic, answer.partition), None)
                if found is None:
                    continue
                next_epoch = _obey(answer, *found)
                if next_epoch is None:
                    refused.append(found[0])
                elif next_epoch >= 0:
                    again[topic.topic, answer.partition] = (found[0], found[1], next_epoch)
                await trio.lowlevel.checkpoint()  # a cut may take long, and there may be many
        refused.extend(partition for partition, _, _ in asked.values())
        asked = again
    return refused


def _question(
    asked: Iterable[tuple[Partition, int, int]], *, broker_id: int
) -> OffsetForLeaderEpochRequest:
    topics: dict[str, OffsetForLeaderTopic] = {}
    for partition, leader_epoch, epoch in asked:
        topic = topics.setdefault(partition.topic, OffsetForLeaderTopic(topic=partition.topic))
        topic.partitions.append(
            OffsetForLeaderPartition(
                partition=partition.index, current_leader_epoch=leader_epoch, leader_epoch=epoch
            )
        )
    return OffsetForLeaderEpochRequest(replica_id=broker_id, topics=list(topics.values()))


def _obey(
    answer: EpochEndOffset, partition: Partition, leader_epoch: int, asked_epoch: int
) -> int | None:
    """Cut the log as the answer demands.

    Returns: None where nothing could be done, -1 where both logs now agree, else the epoch to ask
    about next.
    """
    if answer.error_code != ErrorCode.NONE or not partition.follows(leader_epoch):
        return None
    if asked_epoch > leader_epoch:
        log = partition.log
        log.fail(EpochTooNew(log.directory, epoch=asked_epoch, current=leader_epoch))
        return None
    decision = decide_truncation(
        leader_answer=(answer.leader_epoch, answer.end_offset),
        log_end_offset=partition.log.log_end_offset,
        latest_epoch=asked_epoch,
        end_offset_for_epoch=partition.log.end_offset_for_epoch,
    )
    if decision is None:
        log_events.warning(
            "leader_knows_no_epoch_of_ours", partition=partition.name, epoch=asked_epoch
        )
        return None
    if partition.losses.untold:
        return None  # the controller has not acted on it yet: what we have may be needed
    return _carry_out(decision, partition)


def _carry_out(decision: Truncation, partition: Partition) -> int | None:
    """Returns: as `_obey`."""
    try:
        begins_anew = begin_anew_if_lossy(partition)
        if not begins_anew:
            truncate(partition, decision.end_offset)
    except StorageError as error:
        log_events.warning("cannot_truncate", partition=partition.name, error=str(error))
        return None
    if begins_anew or decision.complete:
        partition.needs_reconciling = False
        return -1
    return decision.next_epoch
