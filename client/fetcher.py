"""Fetches ahead for a consumer: one request at a time to each leader, as far as memory allows.

One task per leader asks and waits; what hinders one partition (no leader, no offset, an election)
never holds up the others.
Must never know: the application, records (they stay in their batches here).
Source: KIP-74 (bounded responses), KIP-227 (sessions), KIP-320 (truncation), KIP-516 (topic ids).
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

import trio
from msgspec import Struct

from client.answer import STALL_CHECK_S, await_answer
from client.assignment import Assignment, PartitionState
from client.cluster import UNKNOWN_TOPIC_GRACE_S
from client.epochs import UNKNOWN_END, ask_epoch_ends
from client.errors import (
    ConnectionBroken,
    LogTruncated,
    OffsetOutOfRange,
    UnknownTopic,
    UnsupportedApi,
    WaitTimedOut,
    error_code,
    refusal,
)
from client.fetch_request import AssignedFetch
from client.fetch_session import SESSION_ENDED
from client.fetch_sessions import FetchSessions
from client.fetched import split_fetched
from client.metadata import NO_LEADER
from client.offsets import READ_COMMITTED, find_start
from client.pool import Lane
from protocol.api import ApiKey
from protocol.api.fetch import FetchRequest, FetchResponse
from protocol.errors import RETRIABLE_CODES, CorruptBatch, ErrorCode, OttlaError, RequestError

if TYPE_CHECKING:
    from collections.abc import Callable

    from client.cluster import Cluster
    from client.connection import Connection
    from client.epochs import EpochEnd
    from client.metadata import PartitionInfo
    from protocol.api.fetch import PartitionData

CROWDED_WAIT_MS: Final = 50
"""How long a leader may hold a fetch while partitions of it are left out because they are full."""

PREFETCH_FETCHES: Final = 4
"""A partition is fetched ahead until it has buffered so many times what one fetch may bring."""

_RETRIED: Final = RETRIABLE_CODES - {ErrorCode.CORRUPT_MESSAGE} | {ErrorCode.UNKNOWN_SERVER_ERROR}
"""Refusals of a partition that may pass. What is damaged on a leader's disk stays so."""

_VERSION_WITHOUT_TOPIC_IDS: Final = 12


class FetcherOptions(Struct, frozen=True):
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


class FetchInterrupted(ConnectionBroken):
    """A long poll was ended by us, because something else is to be fetched."""


class Fetcher:
    """Keeps the buffers of an assignment filled. `arrived` is called when there is something."""

    def __init__(
        self,
        cluster: Cluster,
        nursery: trio.Nursery,
        assignment: Assignment,
        options: FetcherOptions,
        *,
        arrived: Callable[[], object],
    ) -> None:
        self._cluster = cluster
        self._nursery = nursery
        self._assignment = assignment
        self._options = options
        self._arrived = arrived
        self._leaders: dict[int, Connection | None] = {}
        self._sessions = FetchSessions(cluster)
        self._closed = False
        self._unknown_since: dict[str, float] = {}
        self._changed = trio.lowlevel.ParkingLot()
        cluster.on_news(self.wake)

    def wake(self) -> None:
        """Look again: records were taken, or partitions resumed, or leaders elected."""
        self._changed.unpark_all()

    def interrupt(self, state: PartitionState) -> None:
        """Have a partition that was moved fetched now, not after the long poll."""
        leader = self._cluster.leader_nowait(*state.place)
        connection = self._leaders.get(leader.leader_id) if leader is not None else None
        if connection is not None:
            connection.close(FetchInterrupted("a fetch was given up for a new one"))
        self.wake()

    async def run(self) -> None:
        """Keep one task per leader running, and look for leaders where there are none."""
        while not self._closed:
            for state in self._assignment:
                leader = self._cluster.leader_nowait(*state.place)
                if leader is None:
                    self._note_leaderless(state)
                    continue
                self._note_led(state)
                if leader.leader_id not in self._leaders:
                    self._leaders[leader.leader_id] = None
                    self._nursery.start_soon(self._fetch_from, leader.leader_id)
            await self._changed.park()

    async def close(self) -> None:
        """Begin no fetch any more, and end the sessions; waits a moment at most."""
        self._closed = True
        await self._sessions.end_all()

    def _note_leaderless(self, state: PartitionState) -> None:
        self._cluster.refresh_soon()
        if state.of_group:
            return  # the group's leader notices as well, and the group gives the partition up
        topic, now = state.place.topic, trio.current_time()
        if self._cluster.metadata.topic_errors.get(topic) != ErrorCode.UNKNOWN_TOPIC_OR_PARTITION:
            self._unknown_since.pop(topic, None)
            return
        since = self._unknown_since.setdefault(topic, now)
        if now - since > UNKNOWN_TOPIC_GRACE_S and state.error is None:
            self._fail(state, UnknownTopic(topic))

    def _note_led(self, state: PartitionState) -> None:
        """Forget that the topic was unknown, also where that was the partition's error."""
        self._unknown_since.pop(state.place.topic, None)
        if isinstance(state.error, UnknownTopic):
            state.error = None

    async def _fetch_from(self, broker_id: int) -> None:
        """Fetch from one leader for as long as it leads anything."""
        backoff = self._cluster.backoff()
        session = self._sessions.begin(broker_id)
        try:
            while not self._closed and (states := self._led_by(broker_id)):
                now = trio.current_time()
                self._settle_positions(broker_id, states)
                self._assignment.make_room(self._options.buffer_bytes_max)
                ready = self._fetchable(states, now)
                if not ready:
                    later = [state.retry_at for state in states if state.retry_at > now]
                    with trio.move_on_at(min(later, default=math.inf)):
                        await self._changed.park()
                    continue
                try:
                    fetch = AssignedFetch(ready, self._cluster.metadata, session)
                    await self._fetch(broker_id, fetch, crowded=len(ready) < len(states))
                    backoff.reset()
                except FetchInterrupted:
                    session.lost()
                except (ConnectionBroken, UnsupportedApi, RequestError) as error:
                    session.lost()
                    self._cluster.last_error = error
                    self._cluster.refresh_soon()
                    await trio.sleep(backoff.next_s())
            await self._sessions.end(broker_id)
        finally:
            del self._leaders[broker_id]
            self.wake()

    def _led_by(self, broker_id: int) -> list[PartitionState]:
        return [state for state in self._assignment if self._leader_id(state) == broker_id]

    def _leader_id(self, state: PartitionState) -> int:
        leader = self._cluster.leader_nowait(*state.place)
        return leader.leader_id if leader is not None else NO_LEADER

    def _fetchable(self, states: list[PartitionState], now: float) -> list[PartitionState]:
        """Choose those to fetch now: none at all while the buffers together are full."""
        if self._assignment.buffered_bytes >= self._options.buffer_bytes_max:
            return []
        full_at = PREFETCH_FETCHES * self._options.partition_bytes_max
        return [
            state
            for state in states
            if state.fetch_offset is not None
            and state.error is None
            and not state.paused
            and not state.busy
            and state.retry_at <= now
            and state.buffered_bytes < full_at
        ]

    async def _fetch(self, broker_id: int, fetch: AssignedFetch, *, crowded: bool) -> None:
        """Ask once and take in the answer.

        Raises: ConnectionBroken, UnsupportedApi, RequestError where the whole fetch is refused.
        """
        max_wait_ms = self._options.max_wait_ms
        request = FetchRequest(
            max_wait_ms=min(max_wait_ms, CROWDED_WAIT_MS) if crowded else max_wait_ms,
            min_bytes=self._options.min_bytes,
            max_bytes=self._share_of_buffer(),
            isolation_level=self._options.isolation_level,
        )
        for state in fetch.states:
            state.busy = True
        try:
            response = await self._ask(broker_id, request, fetch)
        finally:
            self._leaders[broker_id] = None
            for state in fetch.states:
                state.busy = False
        for state, answer in fetch.answers(response):
            if state in self._assignment:
                self._apply(state, answer, leader_epoch=fetch.leader_epochs[state])
        self._arrived()

    async def _ask(
        self, broker_id: int, request: FetchRequest, fetch: AssignedFetch
    ) -> FetchResponse:
        connection = await self._cluster.connection_to(broker_id, lane=Lane.FETCH)
        version = connection.version_of(ApiKey.FETCH)
        if not fetch.knows_topic_ids:
            version = min(version, _VERSION_WITHOUT_TOPIC_IDS)
        fetch.name_in(
            request,
            by_id=version > _VERSION_WITHOUT_TOPIC_IDS,
            partition_bytes_max=self._options.partition_bytes_max,
        )
        exchange = connection.start(request, version=version)
        self._leaders[broker_id] = connection
        wait_s = request.max_wait_ms / 1000
        response: FetchResponse = await await_answer(
            self._cluster,
            connection,
            exchange,
            expected_s=wait_s + STALL_CHECK_S,
            deadline=trio.current_time() + wait_s + self._options.request_timeout_s,
            moved=lambda: any(self._leader_id(state) != broker_id for state in fetch.states),
        )
        fetch.session.answered(response)
        code = error_code(response.error_code)
        if code not in SESSION_ENDED and code is not ErrorCode.NONE:
            raise refusal(code, f"Fetch from broker {broker_id}")
        return response

    def _share_of_buffer(self) -> int:
        """Return what one fetch may bring, so that all leaders' together fit in the buffer."""
        left = self._options.buffer_bytes_max - self._assignment.buffered_bytes
        return max(1, min(self._options.fetch_bytes_max, left // len(self._leaders)))

    def _apply(self, state: PartitionState, answer: PartitionData, *, leader_epoch: int) -> None:
        code = error_code(answer.error_code)
        if code is ErrorCode.NONE:
            self._take_records(state, answer, leader_epoch=leader_epoch)
        elif code is ErrorCode.OFFSET_OUT_OF_RANGE:
            if state.position != state.fetch_offset:
                state.back_off(trio.current_time())  # what is buffered comes first
            elif self._options.reset_to is None:
                self._fail(state, OffsetOutOfRange(*state.place, offset=state.fetch_offset or 0))
            else:
                state.lose_position(log_start_offset=answer.log_start_offset)
        elif code in _RETRIED:
            if answer.current_leader is not None:
                self._cluster.metadata.learn_leader(
                    *state.place,
                    leader_id=answer.current_leader.leader_id,
                    leader_epoch=answer.current_leader.leader_epoch,
                )
            state.back_off(trio.current_time())
            self._cluster.refresh_soon()
        else:
            self._fail(state, refusal(code, f"Fetch of {state.place}"))

    def _take_records(
        self, state: PartitionState, answer: PartitionData, *, leader_epoch: int
    ) -> None:
        committed_only = self._options.isolation_level == READ_COMMITTED
        try:
            batches = split_fetched(
                answer.records or b"",
                from_offset=state.fetch_offset or 0,
                aborted=answer.aborted_transactions if committed_only else None,
            )
        except CorruptBatch as error:
            self._fail(state, error)
            return
        if answer.records and not batches:
            what = f"a batch of {state.place} at {state.fetch_offset} is over partition_bytes_max"
            self._fail(state, refusal(ErrorCode.MESSAGE_TOO_LARGE, what))
            return
        state.add(batches, leader_epoch=leader_epoch)

    def _fail(self, state: PartitionState, error: OttlaError) -> None:
        state.error = error
        self._arrived()

    def _settle_positions(self, broker_id: int, states: list[PartitionState]) -> None:
        """Find a place to start for partitions that lost theirs; check those of a new leader."""
        to_validate: dict[PartitionState, PartitionInfo] = {}
        now = trio.current_time()
        for state in states:
            if state.busy or state.awaits_committed or state.error or state.retry_at > now:
                continue
            leader = self._cluster.leader_nowait(*state.place)
            if state.fetch_offset is None:
                state.busy = True
                self._nursery.start_soon(self._reset, state, state.seeks)
            elif leader is not None and state.needs_validation(leader):
                state.busy = True
                to_validate[state] = leader
        if to_validate:
            seeks = {state: state.seeks for state in to_validate}
            self._nursery.start_soon(self._validate, broker_id, to_validate, seeks)

    async def _reset(self, state: PartitionState, seeks: int) -> None:
        assert self._options.reset_to is not None, "positions are lost only to be reset"
        try:
            start = await find_start(
                self._cluster,
                state.place,
                reset_to=self._options.reset_to,
                lost=state.lost,
                isolation_level=self._options.isolation_level,
                timeout_s=self._options.metadata_timeout_s,
            )
        except WaitTimedOut as error:
            self._cluster.last_error = error
        except OttlaError as error:
            if state.of_group and isinstance(error, UnknownTopic):
                state.back_off(trio.current_time())  # it is the group's to give it up
            elif state.seeks == seeks:
                self._fail(state, error)
        else:
            if start is not None and state.seeks == seeks:
                state.seek(start.offset, leader_epoch=start.leader_epoch)
        finally:
            state.busy = False
            self.wake()

    async def _validate(
        self,
        broker_id: int,
        states: dict[PartitionState, PartitionInfo],
        seeks: dict[PartitionState, int],
    ) -> None:
        try:
            ends = await ask_epoch_ends(
                self._cluster,
                broker_id,
                {
                    state.place: (leader.leader_epoch, state.fetch_epoch)
                    for state, leader in states.items()
                },
            )
        except (ConnectionBroken, UnsupportedApi) as error:
            self._cluster.last_error = error
            ends = {}
        finally:
            for state in states:
                state.busy = False
        for state, leader in states.items():
            if state.seeks == seeks[state]:
                self._apply_validation(state, leader, ends.get(state.place))
        self.wake()

    def _apply_validation(
        self, state: PartitionState, leader: PartitionInfo, end: EpochEnd | None
    ) -> None:
        if end is None:
            state.back_off(trio.current_time())
            self._cluster.refresh_soon()
            return
        position, fetch_offset = state.position, state.fetch_offset
        assert position is not None, "only a known position is validated"
        assert fetch_offset is not None, "only a known position is validated"
        if end.end_offset == UNKNOWN_END or end.end_offset >= fetch_offset:
            # Where the leader remembers no such epoch the fetch itself tells what is left.
            state.mark_validated(leader.leader_epoch)
        elif end.end_offset >= position:
            state.refetch()
        else:
            error = LogTruncated(*state.place, position=position, divergent_offset=end.end_offset)
            state.refetch()  # what was fetched ahead is gone
            self._fail(state, error)
