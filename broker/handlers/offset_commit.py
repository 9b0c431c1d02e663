"""OffsetCommit: a group's positions are kept; answered once they are durable.

Must never know: how they are kept, what metadata says. Source: KIP-211, KIP-320, KIP-345.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final

import trio

from broker.groups.errors import IllegalGeneration
from broker.groups.waiting import settled
from coordinator.groups.change import TopicChange
from coordinator.groups.image import CommittedOffset
from coordinator.store import TooLarge
from protocol.api.offset_commit import (
    OffsetCommitResponse,
    OffsetCommitResponsePartition,
    OffsetCommitResponseTopic,
)
from protocol.errors import CoordinationError, ErrorCode, RequestError

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from typing import Any

    from broker.dispatch import RequestContext
    from broker.groups.hosted import HostedGroup
    from broker.groups.manager import Groups
    from broker.groups.waiting import Deferred
    from coordinator.cluster import ClusterState
    from coordinator.groups.writer import Write
    from protocol.api.offset_commit import OffsetCommitRequest, OffsetCommitRequestPartition

COMMIT_TIMEOUT_S: Final = 5.0
"""As Kafka's offsets.commit.timeout.ms; a client that is told so tries again."""


class OffsetCommitHandler:
    """Has positions kept; `metadata_bytes_max` bounds what is said with each."""

    def __init__(
        self,
        groups: Groups,
        *,
        cluster: Callable[[], ClusterState],
        wall_ms: Callable[[], int],
        metadata_bytes_max: int,
    ) -> None:
        self._groups = groups
        self._cluster = cluster
        self._wall_ms = wall_ms
        self._metadata_bytes_max = metadata_bytes_max

    def __call__(
        self, request: OffsetCommitRequest, _context: RequestContext
    ) -> Coroutine[Any, Any, OffsetCommitResponse]:
        """Answer partition by partition, once all that can be kept is durable."""
        response = refuse(request, ErrorCode.NONE, "")
        changes = self._read(request, response)
        # Only who is no member may write to a group that is not there.
        create = request.generation_id_or_member_epoch < 0
        outcome = self._groups.enter(
            request.group_id, partial(_begin, request, changes), create=create
        )
        return _finish(request, response, outcome)

    def _read(
        self, request: OffsetCommitRequest, response: OffsetCommitResponse
    ) -> dict[str, TopicChange]:
        """Give what can be kept; why the rest cannot goes into the response."""
        now_ms = self._wall_ms()
        changes = {}
        for topic, answer in zip(request.topics, response.topics, strict=True):
            state = self._cluster().topics.get(topic.name)
            kept: dict[int, CommittedOffset | None] = {}
            for asked, told in zip(topic.partitions, answer.partitions, strict=True):
                count = len(state.partitions) if state is not None else 0
                told.error_code = self._check(asked, partition_count=count)
                if told.error_code == ErrorCode.NONE:
                    kept[asked.partition_index] = CommittedOffset(
                        asked.committed_offset,
                        asked.committed_leader_epoch,
                        asked.committed_metadata or "",
                        now_ms,
                    )
            if state is not None and kept:
                changes[topic.name] = TopicChange(state.topic_id, kept)
        return changes

    def _check(self, asked: OffsetCommitRequestPartition, *, partition_count: int) -> ErrorCode:
        if not 0 <= asked.partition_index < partition_count:
            return ErrorCode.UNKNOWN_TOPIC_OR_PARTITION
        if len((asked.committed_metadata or "").encode()) > self._metadata_bytes_max:
            return ErrorCode.OFFSET_METADATA_TOO_LARGE
        if asked.committed_offset < 0:
            return ErrorCode.INVALID_COMMIT_OFFSET_SIZE
        return ErrorCode.NONE


def _begin(
    request: OffsetCommitRequest, changes: dict[str, TopicChange], hosted: HostedGroup | None
) -> Write:
    if hosted is None:
        raise IllegalGeneration(told=request.generation_id_or_member_epoch, current=-1)
    hosted.group.check_commit(
        request.member_id,
        request.group_instance_id,
        request.generation_id_or_member_epoch,
        now=trio.current_time(),
    )
    return hosted.write_offsets(changes)


async def _finish(
    request: OffsetCommitRequest,
    response: OffsetCommitResponse,
    outcome: Write | Deferred[Write],
) -> OffsetCommitResponse:
    with trio.move_on_after(COMMIT_TIMEOUT_S):
        try:
            await (await settled(outcome)).wait()
        except TooLarge:
            return refuse(request, ErrorCode.INVALID_COMMIT_OFFSET_SIZE, "")
        except CoordinationError as error:
            raise RequestError.of(ErrorCode.COORDINATOR_NOT_AVAILABLE, str(error)) from error
        return response
    return refuse(request, ErrorCode.COORDINATOR_NOT_AVAILABLE, "")


def refuse(request: OffsetCommitRequest, code: ErrorCode, _message: str) -> OffsetCommitResponse:
    """Answer with the same for each partition."""
    return OffsetCommitResponse(
        topics=[
            OffsetCommitResponseTopic(
                topic.name,
                [OffsetCommitResponsePartition(p.partition_index, code) for p in topic.partitions],
            )
            for topic in request.topics
        ]
    )
