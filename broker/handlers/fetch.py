"""Fetch: whole batches as they lie in the file, for consumers and followers; a long poll waits.

Must never know: what a batch holds, how it is sent, which sessions are worth keeping.
Source: KIP-227 (sessions), KIP-320, KIP-516, KIP-595, KIP-903, KIP-951 (leaders' endpoints).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import trio

from broker.fetch_sessions import FINAL_EPOCH, INITIAL_EPOCH, NO_SESSION, FetchSession, Reader
from broker.handlers.endpoints import reach_leaders
from broker.partition_reader import PartitionReader
from protocol.api.fetch import FetchableTopicResponse, FetchResponse, NodeEndpoint
from protocol.errors import ErrorCode

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterable
    from typing import Any

    from broker.catching_up import CatchingUp
    from broker.confirmation import Confirmation
    from broker.dispatch import RequestContext
    from broker.fetch_sessions import CachedPartition, FetchSessionCache
    from broker.partition import Partition
    from broker.partitions import Partitions
    from coordinator.cluster import ClusterState
    from protocol.api.fetch import FetchRequest

TOPIC_IDS_SINCE = 13
FETCH_BYTES_MAX = 57_671_680
"""Kafka's fetch.max.bytes of the broker: what one response holds at most, but for one batch."""


class FetchHandler:
    """Reads for consumers and followers."""

    def __init__(
        self,
        partitions: Partitions,
        sessions: FetchSessionCache,
        *,
        cluster: Callable[[], ClusterState],
        on_follower_fetch: Callable[[Partition, int], None],
        confirmation: Confirmation,
        catching_up: CatchingUp,
    ) -> None:
        self._confirmation = confirmation
        self._catching_up = catching_up
        self._partitions = partitions
        self._sessions = sessions
        self._cluster = cluster
        self._on_follower_fetch = on_follower_fetch

    def __call__(
        self, request: FetchRequest, context: RequestContext
    ) -> FetchResponse | Coroutine[Any, Any, FetchResponse]:
        """Read what is there; wait for more where the client wants to.

        Raises: FetchSessionIdNotFound, InvalidFetchSessionEpoch, FetchSessionTopicIdError.
        """
        session = self._open(request, uses_topic_ids=context.api_version >= TOPIC_IDS_SINCE)
        if not len(session):
            self._sessions.remove(session.id)
            return FetchResponse()
        if not self._partitions.may_lead():
            # Of this no partition is told: it comes with time alone.
            session.make_all_due()
        reader = PartitionReader(
            self._partitions, session, request, on_follower_fetch=self._on_follower_fetch
        )
        fetch = _Fetch(session, reader, request, sessions=self._sessions)
        fetch.begin()
        ahead = reader.take_ahead()
        waiting = (
            self._catch_up(ahead, fetch, reader, request)
            if ahead
            else self._wait(fetch, reader, request)
        )
        if waiting is not None:
            return self._answer_after(waiting, fetch, context)
        response = fetch.answer()
        fetch.close()
        return self._with_endpoints(response, context)

    def _open(self, request: FetchRequest, *, uses_topic_ids: bool) -> FetchSession:
        """Find the session that the request goes on with, or begin one: it may be kept or not."""
        now = trio.current_time()
        state = request.replica_state
        reader = (
            Reader(request.replica_id)
            if state is None
            else Reader(state.replica_id, state.replica_epoch)
        )
        epoch = request.session_epoch
        if epoch in (INITIAL_EPOCH, FINAL_EPOCH):
            self._sessions.remove(request.session_id)
            session = FetchSession(reader, uses_topic_ids=uses_topic_ids, now=now)
            session.update(request.topics)
        else:
            session = self._sessions.find(
                request.session_id, epoch, reader=reader, uses_topic_ids=uses_topic_ids
            )
            session.update(request.topics, request.forgotten_topics_data)
            self._sessions.touch(session, epoch=epoch, now=now)
            session.begin(reader, now=now)
            if session not in self._sessions:  # it has grown too large, this is its last answer
                session.make_all_due()
        return session

    def _wait(
        self, fetch: _Fetch, reader: PartitionReader, request: FetchRequest
    ) -> Coroutine[Any, Any, None] | None:
        """Give what has to be waited for before the answer; None: nothing."""
        if reader.is_doubtful:
            return reader.confirm(self._confirmation)
        if request.max_wait_ms > 0 and not fetch.is_satisfied():
            fetch.watch()
            return fetch.wait(at_most_s=request.max_wait_ms / 1000)
        return None

    async def _catch_up(
        self,
        ahead: list[CachedPartition],
        fetch: _Fetch,
        reader: PartitionReader,
        request: FetchRequest,
    ) -> None:
        """Wait to have heard of the leaders that the client knows, then for what it asked for."""
        known = [(c.topic, c.asked.partition, c.asked.current_leader_epoch) for c in ahead]
        await self._catching_up.wait(known)
        fetch.begin_again(ahead)
        if (waiting := self._wait(fetch, reader, request)) is not None:
            await waiting

    async def _answer_after(
        self, waiting: Coroutine[Any, Any, None], fetch: _Fetch, context: RequestContext
    ) -> FetchResponse:
        """Answer with what there is then."""
        try:
            await waiting
            return self._with_endpoints(fetch.answer(), context)
        finally:
            fetch.close()

    def _with_endpoints(self, response: FetchResponse, context: RequestContext) -> FetchResponse:
        """Say where the leaders can be reached that the response names."""
        named = (data.current_leader for topic in response.responses for data in topic.partitions)
        reached = reach_leaders(named, self._cluster, context.listener)
        response.node_endpoints = [NodeEndpoint(*each) for each in reached]
        return response


class _Fetch:
    """One fetch under way: a request of a session, until it is answered."""

    def __init__(
        self,
        session: FetchSession,
        reader: PartitionReader,
        request: FetchRequest,
        *,
        sessions: FetchSessionCache,
    ) -> None:
        self._session = session
        self._reader = reader
        self._sessions = sessions
        self._epoch = session.epoch
        self._was_kept = session in sessions
        self._is_full = request.session_epoch in (INITIAL_EPOCH, FINAL_EPOCH)
        self._wants_session = request.session_epoch == INITIAL_EPOCH
        self._bytes_max = min(request.max_bytes, FETCH_BYTES_MAX)
        self._bytes_min = min(request.min_bytes, self._bytes_max)

    def begin(self) -> None:
        """Look at every partition that is due."""
        due = tuple(self._session.due)
        for cached in due:
            self._reader.begin(cached)
        self._read(due)

    def begin_again(self, partitions: Iterable[CachedPartition]) -> None:
        """Look once more at partitions that were refused at first, and for what has come since."""
        if not self._is_over:
            for cached in partitions:
                self._reader.begin(cached)
            self._read(self._session.due)

    def _read(self, again: Iterable[CachedPartition]) -> None:
        """Read `again` what is named, within the bytes that are left."""
        again = tuple(again)
        kept = sum(c.found_bytes for c in self._session.due) - sum(c.found_bytes for c in again)
        left = self._bytes_max - kept
        is_empty = kept == 0
        for cached in again:
            self._reader.read(cached, bytes_max=left, at_least_one=is_empty)
            left -= cached.found_bytes
            is_empty = is_empty and cached.found_bytes == 0

    def is_satisfied(self) -> bool:
        """Say whether the answer need not wait: enough bytes, or something to tell at once."""
        due, is_follower = self._session.due, self._session.reader.is_follower
        return (
            any(c.is_refused or (is_follower and c.starts_later) for c in due)
            or sum(cached.counted_bytes for cached in due) >= self._bytes_min
        )

    def watch(self) -> None:
        """Have what is due reported with its next news."""
        for cached in self._session.due:
            if cached.partition is not None:
                self._session.watch.add(cached.partition, cached)

    async def wait(self, *, at_most_s: float) -> None:
        """Return once satisfied, when there is no more to wait for, or when the time is over."""
        with trio.move_on_after(at_most_s):
            while not (self._is_over or self.is_satisfied()):
                await self._session.watch.wait()
                if not self._is_over:
                    self._take_news()
                    self.watch()

    @property
    def _is_superseded(self) -> bool:
        """Whether the session's next request has come before this one was answered."""
        return self._session.epoch != self._epoch

    @property
    def _is_over(self) -> bool:
        """Whether the session went on without this request, or was ended."""
        return self._is_superseded or self._was_kept is not (self._session in self._sessions)

    def _take_news(self) -> None:
        self._read(self._session.take_news())

    def answer(self) -> FetchResponse:
        """Put together what is news to the reader; all that it asked for where it asked in full."""
        session = self._session
        if self._is_superseded:
            return FetchResponse(
                error_code=ErrorCode.INVALID_FETCH_SESSION_EPOCH, session_id=session.id
            )
        self._take_news()
        if self._wants_session:
            self._sessions.admit(session, now=trio.current_time())
        topics: dict[str | bytes, FetchableTopicResponse] = {}
        for cached in tuple(session.due):
            self._reader.count(cached)
            is_news = session.settle(cached, at_end=self._reader.is_at_end(cached))
            if is_news or self._is_full:
                assert cached.found is not None, "all that is due was looked at"
                key = cached.topic_id if session.uses_topic_ids else cached.topic
                if key not in topics:
                    topics[key] = FetchableTopicResponse(cached.topic, cached.topic_id)
                topics[key].partitions.append(cached.found)
            cached.found = None
        kept_id = session.id if session in self._sessions else NO_SESSION
        return FetchResponse(session_id=kept_id, responses=list(topics.values()))

    def close(self) -> None:
        """Let go of what is held for this request alone."""
        if self._session not in self._sessions:
            self._session.watch.close()
        if not self._is_superseded:
            for cached in self._session.due:
                cached.found = None  # it may keep a file open


def refuse(_request: FetchRequest, code: ErrorCode, _message: str) -> FetchResponse:
    """Answer with an error for the whole fetch."""
    return FetchResponse(error_code=code)
