"""Fetches ahead for a consumer: one request at a time to each leader, as far as memory allows.

One task per leader asks and waits; what hinders one partition (no leader, no offset, an election)
never holds up the others.
Must never know: the application, records (they stay in their batches here).
Source: KIP-74 (bounded responses), KIP-320 (truncation), KIP-516 (topic ids).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import trio

from client.answer import STALL_CHECK_S, await_answer
from client.assignment import Assignment, PartitionState
from client.cluster import UNKNOWN_TOPIC_GRACE_S
from client.errors import (
    ConnectionBroken,
    LogTruncated,
    OffsetOutOfRange,
    UnknownTopic,
    UnsupportedApi,
    error_code,
    refusal,
)
from client.fetched import split_fetched
from client.metadata import NO_TOPIC_ID
from client.offsets import READ_COMMITTED, find_offsets
from client.pool import Lane
from protocol.api import ApiKey
from protocol.api.fetch import FetchPartition, FetchRequest, FetchResponse, FetchTopic
from protocol.api.offset_for_leader_epoch import (
    OffsetForLeaderEpochRequest,
    OffsetForLeaderEpochResponse,
    OffsetForLeaderPartition,
    OffsetForLeaderTopic,
)
from protocol.errors import RETRIABLE_CODES, CorruptBatch, ErrorCode, OttlaError

if TYPE_CHECKING:
    from collections.abc import Callable

    from client.cluster import Cluster
    from client.connection import Connection
    from client.metadata import PartitionInfo
    from client.records import TopicPartition
    from protocol.api.fetch import PartitionData
    from protocol.api.offset_for_leader_epoch import EpochEndOffset

CROWDED_WAIT_MS: Final = 50
"""How long a leader may hold a fetch while partitions of it are left out because they are full."""

PREFETCH_FETCHES: Final = 4
"""A partition is fetched ahead until it has buffered so many times what one fetch may bring."""

_VERSION_WITHOUT_TOPIC_IDS: Final = 12
_CONSUMER: Final = -1


@dataclass(frozen=True, slots=True)
class FetcherOptions:
    """How to fetch. `reset_to` is END, BEGINNING or None (an error instead)."""

    min_bytes: int
    max_wait_ms: int
    fetch_bytes_max: int
    partition_bytes_max: int
    buffer_bytes_max: int
    isolation_level: int
    reset_to: int | None
    request_timeout_s: float
    metadata_timeout_s: float


class Fetcher:
    """Keeps the buffers of an assignment filled. `arrived` is called when there is something."""

    def __init__(
        self,
        cluster: Cluster,
        nursery: trio.Nursery,
        assignment: Assignment,
        options: FetcherOptions,
        *,
        arrived: Callable[[], None],
    ) -> None:
        self._cluster = cluster
        self._nursery = nursery
        self._assignment = assignment
        self._options = options
        self._arrived = arrived
        self._leaders: dict[int, Connection | None] = {}
        self._unknown_since: dict[str, float] = {}
        self._changed = trio.lowlevel.ParkingLot()
        cluster.on_news(self.wake)

    def wake(self) -> None:
        """Look again: records were taken, or partitions resumed, or leaders elected."""
        self._changed.unpark_all()

    def interrupt(self, state: PartitionState) -> None:
        """Have a partition that was moved or resumed fetched now, not after the long poll."""
        leader = self._cluster.leader_nowait(*state.place)
        connection = self._leaders.get(leader.leader_id) if leader is not None else None
        if connection is not None:
            connection.close(ConnectionBroken("given up for a new fetch"))
        self.wake()

    async def run(self) -> None:
        """Keep one task per leader running, and look for leaders where there are none."""
        while True:
            for state in self._assignment:
                leader = self._cluster.leader_nowait(*state.place)
                if leader is None:
                    self._note_leaderless(state)
                elif leader.leader_id not in self._leaders:
                    self._leaders[leader.leader_id] = None
                    self._nursery.start_soon(self._fetch_from, leader.leader_id)
            await self._changed.park()

    def _note_leaderless(self, state: PartitionState) -> None:
        self._cluster.refresh_soon()
        topic, now = state.place.topic, trio.current_time()
        if self._cluster.metadata.topic_errors.get(topic) != ErrorCode.UNKNOWN_TOPIC_OR_PARTITION:
            self._unknown_since.pop(topic, None)
        elif now - self._unknown_since.setdefault(topic, now) > UNKNOWN_TOPIC_GRACE_S:
            self._fail(state, UnknownTopic(topic))

    async def _fetch_from(self, broker_id: int) -> None:
        """Fetch from one leader for as long as it leads anything."""
        backoff = self._cluster.backoff()
        try:
            while states := self._led_by(broker_id):
                now = trio.current_time()
                self._settle_positions(broker_id, states)
                ready = [state for state in states if self._is_fetchable(state, now)]
                if not ready:
                    later = [state.retry_at for state in states if state.retry_at > now]
                    with trio.move_on_at(min(later, default=now + UNKNOWN_TOPIC_GRACE_S)):
                        await self._changed.park()
                    continue
                try:
                    await self._fetch(broker_id, ready, crowded=len(ready) < len(states))
                    backoff.reset()
                except (ConnectionBroken, UnsupportedApi) as error:
                    self._cluster.last_error = error
                    self._cluster.refresh_soon()
                    await trio.sleep(backoff.next_s())
        finally:
            del self._leaders[broker_id]
            self.wake()

    def _led_by(self, broker_id: int) -> list[PartitionState]:
        return [
            state
            for state in self._assignment
            if (leader := self._cluster.leader_nowait(*state.place)) is not None
            and leader.leader_id == broker_id
        ]

    def _is_fetchable(self, state: PartitionState, now: float) -> bool:
        full_at = PREFETCH_FETCHES * self._options.partition_bytes_max
        return (
            state.fetch_offset is not None
            and state.error is None
            and not state.paused
            and not state.busy
            and state.retry_at <= now
            and state.buffered_bytes < full_at
            and self._assignment.buffered_bytes < self._options.buffer_bytes_max
        )

    async def _fetch(self, broker_id: int, states: list[PartitionState], *, crowded: bool) -> None:
        """Ask once and wait for the answer. Raises: ConnectionBroken, UnsupportedApi."""
        options = self._options
        seeks = {state.place: state.seeks for state in states}
        epochs = {state.place: self._leader_epoch(state) for state in states}
        max_wait_ms = min(options.max_wait_ms, CROWDED_WAIT_MS) if crowded else options.max_wait_ms
        for state in states:
            state.busy = True
        try:
            connection = await self._cluster.connection_to(broker_id, lane=Lane.FETCH)
            request = self._request(states, max_wait_ms)
            version = connection.version_of(ApiKey.FETCH)
            if any(topic.topic_id == NO_TOPIC_ID for topic in request.topics):
                version = min(version, _VERSION_WITHOUT_TOPIC_IDS)
            exchange = connection.start(request, version=version)
            self._leaders[broker_id] = connection
            response = await await_answer(
                self._cluster,
                connection,
                exchange,
                expected_s=max_wait_ms / 1000 + STALL_CHECK_S,
                deadline=trio.current_time() + max_wait_ms / 1000 + options.request_timeout_s,
                moved=lambda: len(self._led_by(broker_id)) < len(states),
            )
        finally:
            self._leaders[broker_id] = None
            for state in states:
                state.busy = False
        by_place = {state.place: state for state in states}
        for place, answer in self._answers(response):
            state = by_place.get(place)
            if state is None or state not in self._assignment or state.seeks != seeks[place]:
                continue
            self._apply(state, answer, leader_epoch=epochs[place])
        self._arrived()
