"""OffsetDelete: a group's positions in topics that it does not read any more are forgotten.

Must never know: how they are kept. Source: KIP-496.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import trio

from broker.groups.errors import GroupNotEmpty, GroupUnknown
from broker.groups.state import State
from broker.groups.subscriptions import subscribed_topics
from broker.groups.waiting import settled
from broker.handlers.offset_commit import COMMIT_TIMEOUT_S
from coordinator.groups.change import TopicChange
from protocol.api.offset_delete import (
    OffsetDeleteResponse,
    OffsetDeleteResponsePartition,
    OffsetDeleteResponseTopic,
)
from protocol.errors import CoordinationError, ErrorCode, RequestError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Coroutine
    from typing import Any

    from broker.dispatch import RequestContext
    from broker.groups.hosted import HostedGroup
    from broker.groups.manager import Groups
    from broker.groups.waiting import Deferred
    from coordinator.cluster import ClusterState
    from coordinator.groups.writer import Write
    from protocol.api.offset_delete import OffsetDeleteRequest


class OffsetDeleteHandler:
    """Has positions forgotten."""

    def __init__(self, groups: Groups, *, cluster: Callable[[], ClusterState]) -> None:
        self._groups = groups
        self._cluster = cluster

    def __call__(
        self, request: OffsetDeleteRequest, _context: RequestContext
    ) -> Coroutine[Any, Any, OffsetDeleteResponse]:
        """Answer partition by partition, once they are forgotten for good."""
        response = _answer(request)
        outcome = self._groups.enter(request.group_id, partial(self._begin, request, response))
        return _finish(response, outcome)

    def _begin(
        self,
        request: OffsetDeleteRequest,
        response: OffsetDeleteResponse,
        hosted: HostedGroup | None,
    ) -> Write:
        if hosted is None:
            raise GroupUnknown(f"there is no group {request.group_id!r}")
        in_use = _topics_in_use(hosted)
        changes = {}
        for topic in response.topics:
            state = self._cluster().topics.get(topic.name)
            kept = hosted.offsets.get(topic.name)
            for partition in topic.partitions:
                if state is None or not 0 <= partition.partition_index < len(state.partitions):
                    partition.error_code = ErrorCode.UNKNOWN_TOPIC_OR_PARTITION
                elif topic.name in in_use:
                    partition.error_code = ErrorCode.GROUP_SUBSCRIBED_TO_TOPIC
            doomed = [p.partition_index for p in topic.partitions if not p.error_code]
            if kept is not None and doomed:
                changes[topic.name] = TopicChange(kept.topic_id, dict.fromkeys(doomed))
        return hosted.write_offsets(changes)


def _topics_in_use(hosted: HostedGroup) -> Collection[str]:
    """Name the topics that members read. Raises: GroupNotEmpty where that cannot be known."""
    if hosted.group.state is State.EMPTY:
        return ()
    subscribed = subscribed_topics(hosted.group)
    if subscribed is None:
        raise GroupNotEmpty(f"group {hosted.group.group_id!r} has members: stop them first")
    return subscribed


async def _finish(
    response: OffsetDeleteResponse, outcome: Write | Deferred[Write]
) -> OffsetDeleteResponse:
    with trio.move_on_after(COMMIT_TIMEOUT_S):
        try:
            await (await settled(outcome)).wait()
        except CoordinationError as error:
            raise RequestError.of(ErrorCode.COORDINATOR_NOT_AVAILABLE, str(error)) from error
        return response
    raise RequestError.of(ErrorCode.COORDINATOR_NOT_AVAILABLE, "the coordinator does not answer")


def _answer(request: OffsetDeleteRequest) -> OffsetDeleteResponse:
    return OffsetDeleteResponse(
        topics=[
            OffsetDeleteResponseTopic(
                topic.name,
                [OffsetDeleteResponsePartition(p.partition_index) for p in topic.partitions],
            )
            for topic in request.topics
        ]
    )


def refuse(_request: OffsetDeleteRequest, code: ErrorCode, _message: str) -> OffsetDeleteResponse:
    """Answer with an error for the whole request."""
    return OffsetDeleteResponse(error_code=code)
