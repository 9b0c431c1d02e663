"""OffsetFetch: a group's kept positions. What is being written is waited for, and it is made sure
that no other broker has taken the group: nobody is told less than was acknowledged.

Must never know: how positions are kept. Source: KIP-447 (stable offsets), KIP-709 (several groups).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, TypeAlias

import trio

from broker.groups.incarnations import is_current
from broker.groups.waiting import STORE_TIMEOUT_S, settled
from protocol.api.offset_fetch import (
    OffsetFetchResponse,
    OffsetFetchResponseGroup,
    OffsetFetchResponsePartition,
    OffsetFetchResponsePartitions,
    OffsetFetchResponseTopic,
    OffsetFetchResponseTopics,
)
from protocol.errors import CoordinationError, ErrorCode, RequestError

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
    from typing import Any

    from broker.dispatch import RequestContext
    from broker.groups.hosted import HostedGroup
    from broker.groups.manager import Groups
    from broker.groups.waiting import Deferred
    from coordinator.cluster import ClusterState
    from coordinator.groups.image import CommittedOffset, TopicOffsets
    from coordinator.groups.queue import Write
    from protocol.api.offset_fetch import (
        OffsetFetchRequest,
        OffsetFetchRequestGroup,
        OffsetFetchRequestTopic,
        OffsetFetchRequestTopics,
    )

    AskedTopic = OffsetFetchRequestTopic | OffsetFetchRequestTopics
    AskedTopics = Mapping[str, Iterable[int]]
    """The partitions that are asked about, by topic, none of them twice."""

SEVERAL_SINCE = 8
GROUP_ERRORS_SINCE = 2
NOTHING_COMMITTED = -1
TRY_AGAIN = ErrorCode.COORDINATOR_LOAD_IN_PROGRESS
"""Of the codes that say so the one that older clients too understand here."""


class _Settling(NamedTuple):
    """A group whose writes are being waited for."""

    hosted: HostedGroup
    write: Write


class _Found(NamedTuple):
    """What is kept of one group, topic by topic, or why that cannot be told."""

    topics: Sequence[tuple[str, Sequence[tuple[int, CommittedOffset | None]]]]
    code: ErrorCode = ErrorCode.NONE


class OffsetFetchHandler:
    """Tells positions."""

    def __init__(self, groups: Groups, *, cluster: Callable[[], ClusterState]) -> None:
        self._groups = groups
        self._cluster = cluster

    def __call__(
        self, request: OffsetFetchRequest, context: RequestContext
    ) -> Coroutine[Any, Any, OffsetFetchResponse]:
        """Answer group by group; what is named several times is answered once."""
        if context.api_version >= SEVERAL_SINCE:
            asked = _distinct_groups(request.groups)
            begins = [(group_id, topics, self._begin(group_id)) for group_id, topics in asked]
            return self._answer_for_each(begins)
        topics = None if request.topics is None else _distinct(request.topics)
        return self._answer_for_one(
            topics, self._begin(request.group_id), version=context.api_version
        )

    def _begin(self, group_id: str) -> _Begun:
        try:
            return self._groups.enter(group_id, _settle)
        except RequestError as error:
            return error

    async def _answer_for_one(
        self, topics: AskedTopics | None, outcome: _Begun, *, version: int
    ) -> OffsetFetchResponse:
        found = await self._find(topics, outcome, give_up_at=_give_up_at())
        partition_code = found.code if version < GROUP_ERRORS_SINCE else ErrorCode.NONE
        return OffsetFetchResponse(
            error_code=found.code,
            topics=[
                OffsetFetchResponseTopic(
                    name,
                    [
                        OffsetFetchResponsePartition(*_told(index, kept), error_code=partition_code)
                        for index, kept in partitions
                    ],
                )
                for name, partitions in found.topics
            ],
        )

    async def _answer_for_each(
        self, begins: Iterable[tuple[str, AskedTopics | None, _Begun]]
    ) -> OffsetFetchResponse:
        response = OffsetFetchResponse()
        give_up_at = _give_up_at()
        for group_id, topics, outcome in begins:
            found = await self._find(topics, outcome, give_up_at=give_up_at)
            answer = OffsetFetchResponseGroup(group_id, error_code=found.code)
            response.groups.append(answer)
            for name, partitions in found.topics:
                told = [
                    OffsetFetchResponsePartitions(*_told(index, kept)) for index, kept in partitions
                ]
                answer.topics.append(OffsetFetchResponseTopics(name, told))
        return response

    async def _find(
        self, topics: AskedTopics | None, outcome: _Begun, *, give_up_at: float
    ) -> _Found:
        code = TRY_AGAIN
        with trio.move_on_at(give_up_at):
            try:
                return self._look_up(topics, await _durable_offsets(outcome))
            except RequestError as error:
                unavailable = error.code is ErrorCode.COORDINATOR_NOT_AVAILABLE
                code = TRY_AGAIN if unavailable else error.code
            except CoordinationError:
                code = TRY_AGAIN
        nothing = [(name, [(p, None) for p in asked]) for name, asked in (topics or {}).items()]
        return _Found(nothing, code)

    def _look_up(self, topics: AskedTopics | None, offsets: Mapping[str, TopicOffsets]) -> _Found:
        cluster = self._cluster()
        known = {name: kept for name, kept in offsets.items() if is_current(cluster, name, kept)}
        if topics is None:
            return _Found([(name, list(kept.partitions.items())) for name, kept in known.items()])
        found = []
        for name, asked in topics.items():
            partitions = known[name].partitions if name in known else {}
            found.append((name, [(index, partitions.get(index)) for index in asked]))
        return _Found(found)


def _distinct(topics: Iterable[AskedTopic]) -> AskedTopics:
    distinct: dict[str, dict[int, None]] = {}
    for topic in topics:
        distinct.setdefault(topic.name, {}).update(dict.fromkeys(topic.partition_indexes))
    return distinct


def _distinct_groups(
    groups: Iterable[OffsetFetchRequestGroup],
) -> list[tuple[str, AskedTopics | None]]:
    """Give each group with all that is asked of it, None for every topic."""
    asked: dict[str, list[AskedTopic]] = {}
    whole: set[str] = set()
    for group in groups:
        asked.setdefault(group.group_id, []).extend(group.topics or ())
        if group.topics is None:
            whole.add(group.group_id)
    return [(name, None if name in whole else _distinct(topics)) for name, topics in asked.items()]


_Begun: TypeAlias = "_Settling | RequestError | Deferred[_Settling | None] | None"


def _give_up_at() -> float:
    return trio.current_time() + STORE_TIMEOUT_S


def _settle(hosted: HostedGroup | None) -> _Settling | None:
    return None if hosted is None else _Settling(hosted, hosted.settle_offsets())


async def _durable_offsets(outcome: _Begun) -> Mapping[str, TopicOffsets]:
    """Give what is durable once nothing is under way. Raises: RequestError, CoordinationError."""
    if isinstance(outcome, RequestError):
        raise outcome
    settling = await settled(outcome)
    if settling is None:
        return {}
    await settling.write.wait()
    return settling.hosted.offsets


def _told(index: int, kept: CommittedOffset | None) -> tuple[int, int, int, str]:
    if kept is None:
        return index, NOTHING_COMMITTED, -1, ""
    return index, kept.offset, kept.leader_epoch, kept.metadata


def refuse(request: OffsetFetchRequest, code: ErrorCode, _message: str) -> OffsetFetchResponse:
    """Answer with an error for each group, or for the one."""
    return OffsetFetchResponse(
        error_code=code,
        groups=[OffsetFetchResponseGroup(g.group_id, error_code=code) for g in request.groups],
    )
