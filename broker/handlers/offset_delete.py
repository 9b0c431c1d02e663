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
from broker.groups.waiting import STORE_TIMEOUT_S, settled
from coordinator.groups.change import TopicChange
from protocol.api.offset_delete import (
    OffsetDeleteResponse,
    OffsetDeleteResponsePartition,
    OffsetDeleteResponseTopic,
)
from protocol.consumer_protocol import PROTOCOL_TYPE
from protocol.errors import CoordinationError, ErrorCode, RequestError

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from typing import Any

    from broker.dispatch import RequestContext
    from broker.groups.hosted import HostedGroup
    from broker.groups.manager import Groups
    from broker.groups.waiting import Deferred
    from coordinator.cluster import ClusterState
    from coordinator.groups.queue import Write
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
        is_in_use = _subscription(hosted)
        doomed: dict[str, dict[int, None]] = {}
        for topic in response.topics:
            state = self._cluster().topics.get(topic.name)
            for partition in topic.partitions:
                if state is None or not 0 <= partition.partition_index < len(state.partitions):
                    partition.error_code = ErrorCode.UNKNOWN_TOPIC_OR_PARTITION
                elif is_in_use(topic.name):
                    partition.error_code = ErrorCode.GROUP_SUBSCRIBED_TO_TOPIC
                elif topic.name in hosted.offsets:
                    doomed.setdefault(topic.name, {})[partition.partition_index] = None
        return hosted.write_offsets(
            {
                name: TopicChange(hosted.offsets[name].topic_id, indexes)
                for name, indexes in doomed.items()
            }
        )


def _subscription(hosted: HostedGroup) -> Callable[[str], bool]:
    """Give what says whether members read a topic. Raises: GroupNotEmpty.

    What cannot be understood of consumers, or not yet, may be any topic.
    """
    group = hosted.group
    if group.state is State.EMPTY:
        return lambda _topic: False
    if group.protocol_type != PROTOCOL_TYPE:
        raise GroupNotEmpty(f"group {group.group_id!r} has members: stop them first")
    subscribed = subscribed_topics(group)
    return lambda topic: subscribed is None or topic in subscribed


async def _finish(
    response: OffsetDeleteResponse, outcome: Write | Deferred[Write]
) -> OffsetDeleteResponse:
    with trio.move_on_after(STORE_TIMEOUT_S):
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
