"""OffsetCommit: a group's positions are kept; answered once they are durable.

Must never know: how they are kept, what metadata says. Source: KIP-211, KIP-320, KIP-345.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final

import trio

from broker.groups.errors import GroupUnknown, IllegalGeneration
from broker.groups.living import check_commit
from broker.groups.waiting import settled
from coordinator.groups.change import TopicChange
from coordinator.groups.image import CommittedOffset
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
    from coordinator.groups.fitting import Refused
    from coordinator.groups.queue import Write
    from protocol.api.offset_commit import OffsetCommitRequest, OffsetCommitRequestPartition

GROUP_UNKNOWN_SINCE: Final = 9


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
        self, request: OffsetCommitRequest, context: RequestContext
    ) -> Coroutine[Any, Any, OffsetCommitResponse]:
        """Answer partition by partition, once all that can be kept is durable."""
        response = refuse(request, ErrorCode.NONE, "")
        # Only who is no member may write to a group that is not there, and only if there is cause.
        create = request.generation_id_or_member_epoch < 0 and self._has_known_topic(request)
        begin = partial(self._begin, request, response, version=context.api_version)
        outcome = self._groups.enter(request.group_id, begin, create=create)
        return _finish(request, response, outcome)

    def _begin(
        self,
        request: OffsetCommitRequest,
        response: OffsetCommitResponse,
        hosted: HostedGroup | None,
        *,
        version: int,
    ) -> Write | None:
        generation_id = request.generation_id_or_member_epoch
        changes = self._read(request, response)
        if hosted is None and generation_id < 0:
            # It would have been made had a topic been known then; one may be by now.
            _keep_nothing(response)
            return None
        if hosted is None and version >= GROUP_UNKNOWN_SINCE:
            raise GroupUnknown(f"there is no group {request.group_id!r}: join it again")
        if hosted is None:
            raise IllegalGeneration(told=generation_id, current=-1)
        check_commit(
            hosted.group,
            request.member_id,
            request.group_instance_id,
            generation_id,
            now=trio.current_time(),
        )
        return hosted.write_offsets(changes)

    def _has_known_topic(self, request: OffsetCommitRequest) -> bool:
        return any(topic.name in self._cluster().topics for topic in request.topics)

    def _read(
        self, request: OffsetCommitRequest, response: OffsetCommitResponse
    ) -> dict[str, TopicChange]:
        """Give what can be kept; why the rest cannot goes into the response.

        Not before the group is at hand: this broker then knows every topic of its offsets.
        """
        now_ms = self._wall_ms()
        known = self._cluster().topics
        kept: dict[str, dict[int, CommittedOffset | None]] = {}
        for topic, answer in zip(request.topics, response.topics, strict=True):
            count = len(known[topic.name].partitions) if topic.name in known else 0
            for asked, told in zip(topic.partitions, answer.partitions, strict=True):
                told.error_code = self._check(asked, partition_count=count)
                if told.error_code == ErrorCode.NONE:
                    kept.setdefault(topic.name, {})[asked.partition_index] = CommittedOffset(
                        asked.committed_offset,
                        asked.committed_leader_epoch,
                        asked.committed_metadata or "",
                        now_ms,
                    )
        return {name: TopicChange(known[name].topic_id, each) for name, each in kept.items()}

    def _check(self, asked: OffsetCommitRequestPartition, *, partition_count: int) -> ErrorCode:
        if not 0 <= asked.partition_index < partition_count:
            return ErrorCode.UNKNOWN_TOPIC_OR_PARTITION
        metadata = asked.committed_metadata
        if metadata and len(metadata.encode()) > self._metadata_bytes_max:
            return ErrorCode.OFFSET_METADATA_TOO_LARGE
        return ErrorCode.NONE


def _keep_nothing(response: OffsetCommitResponse) -> None:
    """Have whoever asked ask again for what could be kept in a group, but is not."""
    for topic in response.topics:
        for told in topic.partitions:
            if told.error_code == ErrorCode.NONE:
                told.error_code = ErrorCode.UNKNOWN_TOPIC_OR_PARTITION


def _note_refused(
    request: OffsetCommitRequest, response: OffsetCommitResponse, refused: Refused
) -> None:
    """Say of what found no room in the store whether metadata take it."""
    if not refused:
        return
    for topic, answer in zip(request.topics, response.topics, strict=True):
        for asked, told in zip(topic.partitions, answer.partitions, strict=True):
            if told.error_code == ErrorCode.NONE and (topic.name, asked.partition_index) in refused:
                told.error_code = (
                    ErrorCode.OFFSET_METADATA_TOO_LARGE
                    if asked.committed_metadata
                    else ErrorCode.INVALID_COMMIT_OFFSET_SIZE
                )


async def _finish(
    request: OffsetCommitRequest,
    response: OffsetCommitResponse,
    outcome: Write | Deferred[Write | None] | None,
) -> OffsetCommitResponse:
    # No timeout, which would cost as much as all the rest: the end of the session ends the wait.
    try:
        write = await settled(outcome)
        if write is not None:
            await write.wait()
            _note_refused(request, response, write.refused)
    except CoordinationError as error:
        raise RequestError.of(ErrorCode.COORDINATOR_NOT_AVAILABLE, str(error)) from error
    return response


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
