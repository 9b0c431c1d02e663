"""Looking up offsets: the ends of logs, and the first record at or after a timestamp.

Must never know: who wants them, fetching.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import trio

from client.errors import (
    ConnectionBroken,
    WaitTimedOut,
    error_code,
    refusal,
)
from client.records import OffsetAndTimestamp, TopicPartition
from protocol.api.list_offsets import (
    ListOffsetsPartition,
    ListOffsetsRequest,
    ListOffsetsResponse,
    ListOffsetsTopic,
)
from protocol.errors import RETRIABLE_CODES, ErrorCode, OttlaError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from client.cluster import Cluster
    from protocol.api.list_offsets import ListOffsetsPartitionResponse

END: Final = -1
"""Asks for the offset after the last record (read_committed: the last stable offset)."""

BEGINNING: Final = -2
"""Asks for the first offset that is still there."""

READ_UNCOMMITTED: Final = 0
READ_COMMITTED: Final = 1

_CONSUMER: Final = -1
_NO_OFFSET: Final = -1


async def find_offsets(
    cluster: Cluster,
    timestamps: Mapping[TopicPartition, int],
    *,
    isolation_level: int = READ_UNCOMMITTED,
    timeout_s: float,
) -> dict[TopicPartition, OffsetAndTimestamp | None]:
    """Look up an offset for each partition: at a timestamp in ms, or END, or BEGINNING.

    None stands for "no record that late". Retries across elections.
    Raises: UnknownTopic, RequestError, UnsupportedApi, WaitTimedOut.
    """
    search = _Search(cluster, timestamps, isolation_level)
    backoff = cluster.backoff()
    with trio.move_on_after(timeout_s):
        while True:
            await search.ask_leaders(timeout_s)
            if not search.missing:
                return search.found
            cluster.refresh_soon()
            await trio.sleep(backoff.next_s())
    places = ", ".join(map(str, search.missing))
    raise WaitTimedOut(f"offsets of {places}", timeout_s, last_cause=search.last_error)


async def find_start(
    cluster: Cluster,
    place: TopicPartition,
    *,
    reset_to: int,
    lost: OffsetAndTimestamp | None,
    isolation_level: int,
    timeout_s: float,
) -> OffsetAndTimestamp | None:
    """Find where to go on: BEGINNING or END; but not before what was `lost`, if it is there again.

    A leader may have had records deleted, told so, and been replaced by one that has not heard of
    it yet: the log begins earlier than it did, and would be read twice. Raises: as `find_offsets`.
    """

    async def find(where: int) -> OffsetAndTimestamp | None:
        found = await find_offsets(
            cluster, {place: where}, isolation_level=isolation_level, timeout_s=timeout_s
        )
        return found[place]

    start = await find(reset_to)
    if lost is None or start is None or start.offset >= lost.offset:
        return start
    end = await find(END)
    return start if end is None or end.offset < lost.offset else lost


class _Search:
    def __init__(
        self, cluster: Cluster, timestamps: Mapping[TopicPartition, int], isolation_level: int
    ) -> None:
        self.missing = dict(timestamps)
        self.found: dict[TopicPartition, OffsetAndTimestamp | None] = {}
        self.last_error: OttlaError | None = None
        self._final_error: OttlaError | None = None
        self._cluster = cluster
        self._isolation_level = isolation_level

    async def ask_leaders(self, timeout_s: float) -> None:
        """Ask every leader once, all at the same time, for what is missing."""
        by_leader: dict[int, dict[TopicPartition, ListOffsetsPartition]] = {}
        for place, timestamp in self.missing.items():
            leader = await self._cluster.leader_of(*place, timeout_s=timeout_s)
            asked = ListOffsetsPartition(place.partition, leader.leader_epoch, timestamp)
            by_leader.setdefault(leader.leader_id, {})[place] = asked
        async with trio.open_nursery() as nursery:
            for leader_id, partitions in by_leader.items():
                nursery.start_soon(self._ask, leader_id, partitions)
        if self._final_error is not None:
            raise self._final_error

    async def _ask(
        self, leader_id: int, partitions: Mapping[TopicPartition, ListOffsetsPartition]
    ) -> None:
        by_topic: dict[str, list[ListOffsetsPartition]] = {}
        for place, asked in partitions.items():
            by_topic.setdefault(place.topic, []).append(asked)
        request = ListOffsetsRequest(
            replica_id=_CONSUMER,
            isolation_level=self._isolation_level,
            topics=[ListOffsetsTopic(*entry) for entry in by_topic.items()],
            timeout_ms=int(self._cluster.options.request_timeout_s * 1000),
        )
        try:
            response: ListOffsetsResponse = await self._cluster.call(leader_id, request)
        except ConnectionBroken as error:
            self.last_error = error
        except OttlaError as error:
            self._final_error = error
        else:
            for topic in response.topics:
                for answer in topic.partitions:
                    self._take(TopicPartition(topic.name, answer.partition_index), answer)

    def _take(self, place: TopicPartition, answer: ListOffsetsPartitionResponse) -> None:
        code = error_code(answer.error_code)
        if code is ErrorCode.NONE:
            self.missing.pop(place, None)
            self.found[place] = (
                OffsetAndTimestamp(answer.offset, answer.timestamp, answer.leader_epoch)
                if answer.offset != _NO_OFFSET
                else None
            )
            return
        error = refusal(code, f"ListOffsets of {place}")
        if code in RETRIABLE_CODES or code is ErrorCode.UNKNOWN_SERVER_ERROR:
            self.last_error = error
        else:
            self._final_error = error
