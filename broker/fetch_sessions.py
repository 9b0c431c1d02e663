"""Fetch sessions: what this broker remembers of a reader between its fetches, and for how long.

A request of a session names only what its reader changes, an answer only what has changed for the
reader; the work of both is in proportion to the changes. A partition is *due* as long as there may
be something to tell of it; one that is not due is watched, and becomes due with its next news.
Must never know: how a partition is read, who waits, how a reply looks.
Source: KIP-227; KIP-516 (sessions of topic ids and of names do not mix).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from msgspec import Struct

from broker.long_poll import Watch
from protocol.errors import ErrorCode, RequestError
from protocol.topic_names import NAME_CHARACTERS_MAX

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from broker.partition import Partition
    from protocol.api.fetch import FetchPartition, FetchTopic, ForgottenTopic, PartitionData

NO_SESSION: Final = 0
INITIAL_EPOCH: Final = 0
"""The request asks for a new session."""
FINAL_EPOCH: Final = -1
"""The request wants no session."""
ID_MAX: Final = 2**31 - 1
CONSUMER_ID: Final = -1

Key = tuple[str | bytes, int]


class FetchSessionIdNotFound(RequestError):
    """There is no such session here, or no longer; the reader must fetch in full."""

    code = ErrorCode.FETCH_SESSION_ID_NOT_FOUND


class InvalidFetchSessionEpoch(RequestError):
    """The request is not the one that follows in its session; the reader must fetch in full."""

    code = ErrorCode.INVALID_FETCH_SESSION_EPOCH


class FetchSessionTopicIdError(RequestError):
    """A session begun with topic ids goes on with names, or the other way round."""

    code = ErrorCode.FETCH_SESSION_TOPIC_ID_ERROR


class Reader(NamedTuple):
    """Who fetches: a consumer, or a follower in one of its registrations."""

    replica_id: int = CONSUMER_ID
    replica_epoch: int = -1

    @property
    def is_follower(self) -> bool:
        """Whether it reads to the log's end, and acknowledges by that."""
        return self.replica_id > CONSUMER_ID


class Watermarks(NamedTuple):
    """The offsets that a reader is told whenever one of them has moved."""

    high_watermark: int
    last_stable_offset: int
    log_start_offset: int
    replicated_end_offset: int


class CachedPartition(Struct, eq=False):
    """One partition of a session: what is asked of it, and what the reader was told last.

    `partition` and `found` are of the fetch under way: the replica, None where there is none to
    read from, and what it has for the reader, None before a look at it. `counted_bytes` is what
    that counts against the least that the reader waits for: whole batches seldom fill their bound.
    """

    topic: str
    topic_id: bytes
    asked: FetchPartition
    told: Watermarks | None = None
    partition: Partition | None = None
    found: PartitionData | None = None
    counted_bytes: int = 0

    @property
    def found_bytes(self) -> int:
        """Bytes of records found."""
        return len(self.found.records or b"") if self.found is not None else 0

    @property
    def is_refused(self) -> bool:
        """Whether there is an error to tell, or that the reader's log is not as ours."""
        found = self.found
        return found is not None and (found.error_code != 0 or found.diverging_epoch is not None)

    @property
    def starts_later(self) -> bool:
        """Whether the log starts later than the reader was told."""
        if self.told is None or self.found is None:
            return False
        return self.found.log_start_offset > self.told.log_start_offset

    def tell(self) -> bool:
        """Take what was found as told. Returns: whether the reader does not know it yet."""
        found = self.found
        assert found is not None, "only what was looked at is told"
        if self.is_refused:
            self.told = None  # what holds after the error is news again
            return True
        told, self.told = (
            self.told,
            Watermarks(
                found.high_watermark,
                found.last_stable_offset,
                found.log_start_offset,
                found.replicated_end_offset,
            ),
        )
        return self.told != told or self.found_bytes > 0


class FetchSession:
    """The partitions that one reader fetches; also of a reader that wants nothing remembered."""

    def __init__(self, reader: Reader, *, uses_topic_ids: bool, now: float) -> None:
        self.id = NO_SESSION
        self.epoch = INITIAL_EPOCH
        """That of the request under way, or answered last."""
        self.reader = reader
        self.uses_topic_ids = uses_topic_ids
        self.created_at = now
        self.fetched_at = now
        self.used_at = now
        """When the cache last saw it: with each request, and with the answer to the first."""
        self.cached_size = 0
        """How many of its partitions the cache has counted."""
        self.is_keepable = True
        """Whether its names are short enough for topics: others may be of 32 kilobytes each."""
        self.due: dict[CachedPartition, None] = {}
        """To be looked at, in the order of their turns."""
        self.watch: Watch[CachedPartition] = Watch(self._note, uncommitted=reader.is_follower)
        self._partitions: dict[Key, CachedPartition] = {}
        self._news: dict[CachedPartition, None] = {}

    def __len__(self) -> int:
        return len(self._partitions)

    def __iter__(self) -> Iterator[CachedPartition]:
        return iter(self._partitions.values())

    def update(self, named: Iterable[FetchTopic], forgotten: Iterable[ForgottenTopic] = ()) -> None:
        """Take over what a request changes: what it names is due, what it forgets is gone."""
        for topic in named:
            if len(topic.topic) > NAME_CHARACTERS_MAX:
                self.is_keepable = False
            for asked in topic.partitions:
                key = self._key(topic, asked.partition)
                cached = self._partitions.get(key)
                if cached is None:
                    cached = CachedPartition(topic.topic, topic.topic_id, asked)
                    self._partitions[key] = cached
                cached.asked = asked
                self.due[cached] = None
        for gone in forgotten:
            for index in gone.partitions:
                cached = self._partitions.pop(self._key(gone, index), None)
                if cached is not None:
                    self._forget(cached)

    def _key(self, topic: FetchTopic | ForgottenTopic, index: int) -> Key:
        return (topic.topic_id if self.uses_topic_ids else topic.topic, index)

    def _forget(self, cached: CachedPartition) -> None:
        self.due.pop(cached, None)
        self._news.pop(cached, None)
        if cached.partition is not None:
            self.watch.remove(cached.partition)

    def find_again(self, cached: CachedPartition, partition: Partition | None) -> None:
        """Take note of the replica that stands for a partition now, None where none may be read."""
        if cached.partition is not None and cached.partition is not partition:
            self.watch.remove(cached.partition)
        cached.partition = partition

    def begin(self, reader: Reader, *, now: float) -> None:
        """Begin to answer the next request: whatever has news is due."""
        self.take_news()
        self.fetched_at = now
        if reader != self.reader:  # the same follower, registered anew: all is acknowledged anew
            self.reader = reader
            self.make_all_due()

    def make_all_due(self) -> None:
        """Look at every partition in the next answer."""
        self.due.update(dict.fromkeys(self))

    def take_news(self) -> list[CachedPartition]:
        """Make due what has news since the last call. Returns: these partitions."""
        news, self._news = self._news, {}
        self.due.update(news)
        self.watch.rearm()
        return list(news)

    def settle(self, cached: CachedPartition, *, at_end: bool) -> bool:
        """Take what was found of a partition as told; `at_end`: there is no more until its news.

        Returns: whether the reader does not know it yet.
        """
        is_news = cached.tell()
        if at_end and not cached.is_refused:
            del self.due[cached]
            assert cached.partition is not None, "only a replica that leads has an end"
            if self.id != NO_SESSION:
                self.watch.add(cached.partition, cached)
        elif cached.found_bytes:
            # To the back of the line: what had no room in the answer comes first next time.
            self.due[cached] = self.due.pop(cached)
        return is_news

    def _note(self, cached: CachedPartition) -> None:
        if self.reader.is_follower and cached not in self.due:
            assert cached.partition is not None, "only a replica is watched"
            # Every request of the session fetched it, though none named it: until this news.
            cached.partition.follower_was_caught_up(
                self.reader.replica_id,
                cached.asked.fetch_offset,
                broker_epoch=self.reader.replica_epoch,
                at=self.fetched_at,
            )
        self._news[cached] = None


class FetchSessionCache:
    """The sessions of a broker, bounded in number and in partitions."""

    def __init__(
        self,
        *,
        slots: int,
        partitions_max: int,
        eviction_s: float,
        random_id: Callable[[], int],
    ) -> None:
        """Keep `slots` sessions at most; `random_id` draws from [1, ID_MAX]."""
        self._slots = slots
        self._partitions_max = partitions_max
        self._eviction_s = eviction_s
        self._random_id = random_id
        self._sessions: dict[int, FetchSession] = {}
        """Those unused for the longest time come first."""
        self.partition_count = 0

    def __len__(self) -> int:
        return len(self._sessions)

    def __contains__(self, session: FetchSession) -> bool:
        return self._sessions.get(session.id) is session

    def find(
        self, session_id: int, epoch: int, *, reader: Reader, uses_topic_ids: bool
    ) -> FetchSession:
        """Find the session that a request goes on with.

        Raises: FetchSessionIdNotFound, InvalidFetchSessionEpoch, FetchSessionTopicIdError.
        """
        session = self._sessions.get(session_id)
        if session is None or session.reader.replica_id != reader.replica_id:
            raise FetchSessionIdNotFound(f"there is no fetch session {session_id}; fetch in full")
        if epoch != next_epoch(session.epoch):
            raise InvalidFetchSessionEpoch(
                f"epoch {next_epoch(session.epoch)} of fetch session {session_id} comes next,"
                f" not {epoch}; fetch in full"
            )
        if session.uses_topic_ids != uses_topic_ids:
            kind = "topic ids" if session.uses_topic_ids else "topic names"
            raise FetchSessionTopicIdError(
                f"fetch session {session_id} was begun with {kind}; begin another one"
            )
        return session

    def touch(self, session: FetchSession, *, epoch: int, now: float) -> None:
        """Count a session as used by the request of that epoch; the wait of another one ends."""
        session.watch.wake()
        session.epoch = epoch
        self._keep(session, now=now)

    def admit(self, session: FetchSession, *, now: float) -> bool:
        """Keep a new session, if need be in the place of one that is worth less."""
        size = len(session)
        if size > self._partitions_max or not session.is_keepable:
            return False
        while len(self._sessions) >= self._slots or (
            self.partition_count + size > self._partitions_max
        ):
            victim = self._victim(session, now=now)
            if victim is None:
                return False
            self.remove(victim.id)
        while session.id == NO_SESSION or session.id in self._sessions:
            session.id = self._random_id()
        self._keep(session, now=now)
        return True

    def _keep(self, session: FetchSession, *, now: float) -> None:
        session.used_at = now
        self._sessions.pop(session.id, None)
        self._sessions[session.id] = session
        self.partition_count += len(session) - session.cached_size
        session.cached_size = len(session)
        if self.partition_count > self._partitions_max or not session.is_keepable:
            self.remove(session.id)  # this request it still answers

    def _victim(self, newcomer: FetchSession, *, now: float) -> FetchSession | None:
        """Choose what a new session may replace: the stale, then what is worth least.

        A follower's session is worth more than a consumer's, then a larger one more than a
        smaller one. One that is young is left alone, but that a follower may replace a consumer's.
        """
        oldest = next(iter(self._sessions.values()), None)
        if oldest is None or now - oldest.used_at > self._eviction_s:
            return oldest
        least = min(
            (
                session
                for session in self._sessions.values()
                if now - session.created_at > self._eviction_s
                or (newcomer.reader.is_follower and not session.reader.is_follower)
            ),
            key=_worth,
            default=None,
        )
        return least if least is not None and _worth(least) < _worth(newcomer) else None

    def remove(self, session_id: int) -> None:
        """Forget a session, if there is such a one."""
        session = self._sessions.pop(session_id, None)
        if session is not None:
            self.partition_count -= session.cached_size
            session.cached_size = 0
            session.watch.close()


def next_epoch(epoch: int) -> int:
    """Give the epoch of the request that follows in a session."""
    return epoch + 1 if epoch < ID_MAX else 1


def _worth(session: FetchSession) -> tuple[bool, int]:
    return session.reader.is_follower, len(session)
