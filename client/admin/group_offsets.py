"""What groups have committed: reading it, setting it, forgetting it.

Must never know: members, who committed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from client.admin.base import refused
from client.admin.groups import GroupAdmin
from client.coordinators import MOVED_CODES
from client.errors import refusal
from client.records import OffsetAndMetadata, TopicPartition
from protocol.api import ApiKey
from protocol.api.offset_commit import (
    OffsetCommitRequest,
    OffsetCommitRequestPartition,
    OffsetCommitRequestTopic,
)
from protocol.api.offset_delete import (
    OffsetDeleteRequest,
    OffsetDeleteRequestPartition,
    OffsetDeleteRequestTopic,
)
from protocol.api.offset_fetch import OffsetFetchRequest, OffsetFetchRequestGroup
from protocol.errors import RequestError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from protocol.api import offset_fetch as wire
    from protocol.api.offset_commit import OffsetCommitResponse
    from protocol.api.offset_delete import OffsetDeleteResponse

_SEVERAL_GROUPS_SINCE: Final = 8

Committed = dict[TopicPartition, OffsetAndMetadata]
Outcomes = dict[TopicPartition, RequestError | None]


class GroupOffsetAdmin(GroupAdmin):
    """The admin's part for committed offsets."""

    async def list_consumer_group_offsets(
        self, group_ids: Iterable[str]
    ) -> dict[str, Committed | RequestError]:
        """List everything that groups have committed; or why not, by name.

        Raises: UnsupportedApi, WaitTimedOut.
        """
        return await self._group_rounds().ask(group_ids, self._fetch_offsets)

    async def alter_consumer_group_offsets(
        self, group_id: str, offsets: Mapping[TopicPartition, OffsetAndMetadata]
    ) -> Outcomes:
        """Commit offsets in the name of a group that has no members; or why not.

        Raises: RequestError, UnsupportedApi, WaitTimedOut.
        """
        topics: dict[str, list[OffsetCommitRequestPartition]] = {}
        for place, at in offsets.items():
            asked = OffsetCommitRequestPartition(
                place.partition, at.offset, at.leader_epoch, at.metadata
            )
            topics.setdefault(place.topic, []).append(asked)
        request = OffsetCommitRequest(
            group_id=group_id,
            topics=[OffsetCommitRequestTopic(*entry) for entry in topics.items()],
        )

        async def question(broker_id: int, _: list[str]) -> dict[str, Outcomes | RequestError]:
            response: OffsetCommitResponse = await self._cluster.call(broker_id, request)
            outcomes = {
                TopicPartition(topic.name, result.partition_index): refused(
                    result,
                    f"committing {topic.name}-{result.partition_index} for group {group_id!r}",
                )
                for topic in response.topics
                for result in topic.partitions
            }
            return {group_id: _moved(outcomes) or outcomes}

        return _or_raise((await self._group_rounds().ask([group_id], question))[group_id])

    async def delete_consumer_group_offsets(
        self, group_id: str, partitions: Iterable[TopicPartition]
    ) -> Outcomes:
        """Forget what a group has committed in partitions that no member reads; or why not.

        Raises: RequestError, UnsupportedApi, WaitTimedOut.
        """
        topics: dict[str, list[OffsetDeleteRequestPartition]] = {}
        for place in partitions:
            asked = OffsetDeleteRequestPartition(place.partition)
            topics.setdefault(place.topic, []).append(asked)
        request = OffsetDeleteRequest(
            group_id, [OffsetDeleteRequestTopic(*entry) for entry in topics.items()]
        )

        async def question(broker_id: int, _: list[str]) -> dict[str, Outcomes | RequestError]:
            response: OffsetDeleteResponse = await self._cluster.call(broker_id, request)
            outcomes = {
                TopicPartition(topic.name, result.partition_index): refused(
                    result,
                    f"deleting what {group_id!r} has in {topic.name}-{result.partition_index}",
                )
                for topic in response.topics
                for result in topic.partitions
            }
            error = refused(response, f"deleting offsets of group {group_id!r}")
            return {group_id: error or outcomes}

        return _or_raise((await self._group_rounds().ask([group_id], question))[group_id])

    async def _fetch_offsets(
        self, broker_id: int, group_ids: list[str]
    ) -> dict[str, Committed | RequestError]:
        """Ask one broker; an old one is asked for a group at a time."""
        connection = await self._cluster.connection_to(broker_id)
        timeout_s = self.config.timeout_s
        if connection.version_of(ApiKey.OFFSET_FETCH) >= _SEVERAL_GROUPS_SINCE:
            asked = [OffsetFetchRequestGroup(group_id, topics=None) for group_id in group_ids]
            several: wire.OffsetFetchResponse = await connection.call(
                OffsetFetchRequest(groups=asked), timeout_s=timeout_s
            )
            return {group.group_id: _committed(group.group_id, group) for group in several.groups}
        answers: dict[str, Committed | RequestError] = {}
        for group_id in group_ids:
            one: wire.OffsetFetchResponse = await connection.call(
                OffsetFetchRequest(group_id=group_id, topics=None), timeout_s=timeout_s
            )
            answers[group_id] = _committed(group_id, one)
        return answers


def _committed(
    group_id: str, answer: wire.OffsetFetchResponse | wire.OffsetFetchResponseGroup
) -> Committed | RequestError:
    """Take one group's offsets out of the answer to either form of the request."""
    what = f"reading what group {group_id!r} has committed"
    if answer.error_code:
        return refusal(answer.error_code, what)
    found: Committed = {}
    for topic in answer.topics:
        for at in topic.partitions:
            if at.error_code:
                return refusal(at.error_code, f"{what} in {topic.name}-{at.partition_index}")
            if at.committed_offset >= 0:  # some commit -2 and -1: the start and the end
                found[TopicPartition(topic.name, at.partition_index)] = OffsetAndMetadata(
                    at.committed_offset, at.committed_leader_epoch, at.metadata or ""
                )
    return found


def _moved(outcomes: Outcomes) -> RequestError | None:
    """Find a refusal that is about the group, though it comes with each partition."""
    for error in outcomes.values():
        if error is not None and error.code in MOVED_CODES:
            return error
    return None


def _or_raise(answer: Outcomes | RequestError) -> Outcomes:
    if isinstance(answer, RequestError):
        raise answer
    return answer
