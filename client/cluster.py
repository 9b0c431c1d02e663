"""A client's view of the cluster: finding brokers, leaders and the controller, and asking them.

Any live broker serves for news; when none is left, the bootstrap servers are asked again.
Must never know: records, batches, what a producer or consumer wants.
"""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Final, TypeVar, cast

import trio

from client.answer import await_answer
from client.background import background_tasks
from client.backoff import Backoff
from client.errors import (
    BrokerGone,
    ConnectionBroken,
    NoBrokerReachable,
    NothingSent,
    RequestTimedOut,
    UnknownTopic,
    UnsupportedApi,
    WaitTimedOut,
    refusal,
)
from client.metadata import (
    Address,
    Metadata,
    PartitionInfo,
    TopicInfo,
    metadata_request,
    parse_bootstrap,
)
from client.pool import ConnectionPool, Lane
from client.race import Race
from client.wanted import WantedTopics
from protocol.errors import RETRIABLE_CODES, ErrorCode, OttlaError
from protocol.topic_names import NAME_RULE, is_topic_name

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable, Sequence

    from client.cluster_options import ClusterOptions
    from client.connection import Connection
    from protocol.api.metadata import MetadataRequest, MetadataResponse

T = TypeVar("T")

METADATA_TIMEOUT_S: Final = 5.0
STALLED_S: Final = 1.0
"""A broker that owes an answer for longer is asked last."""

REFRESH_BACKOFF_MAX_S: Final = 0.25
REFRESH_CALM_S: Final = 5.0
"""After so long without a refresh, the next one comes as quickly as the first did."""

REFUSALS: Final = {ErrorCode.INVALID_TOPIC_EXCEPTION: NAME_RULE}
"""What to tell of refusals to which brokers add no sentence."""

UNKNOWN_TOPIC_GRACE_S: Final = 2.0
"""How long a topic may be unknown before that is believed: news of a new one takes time."""


class Cluster:
    """Metadata, connections and retries, shared by all parts of one client."""

    def __init__(
        self, bootstrap: Sequence[Address], pool: ConnectionPool, options: ClusterOptions
    ) -> None:
        self.metadata = Metadata()
        self.pool = pool
        self.options = options
        self.random = options.environment.random
        self.last_error: OttlaError | None = None
        self._bootstrap = bootstrap
        self._last_answered: Address | None = None
        self._patience_s = METADATA_TIMEOUT_S
        self._wanted = WantedTopics()
        self._refreshing = trio.Lock()
        self._refreshes_begun = 0
        self._refresh_wanted = trio.Event()
        self._listeners: list[Callable[[], object]] = []

    def on_news(self, listener: Callable[[], object]) -> None:
        """Call `listener` after each refresh of the metadata, successful or not."""
        self._listeners.append(listener)

    def follow(self, topics: Iterable[str] | None) -> None:
        """Have these topics in each refresh from the next one on, in place of those before.

        None stands for all topics that there are.
        """
        self._wanted.follow(topics)

    def backoff(self) -> Backoff:
        """Make a backoff of this client's randomness."""
        return Backoff(self.random)

    def refresh_soon(self, *, needed: str | None = None) -> None:
        """Have the metadata refreshed in the background, soon but not too often.

        A topic that is `needed` is created where it is unknown, as far as `create_topics` allows.
        """
        if needed is not None:
            self._wanted.need(needed)
        self._refresh_wanted.set()

    async def refresh(self) -> None:
        """Fetch metadata of all topics in use from the first broker that answers.

        Callers at the same time share one request that began after they asked.
        Raises: NoBrokerReachable.
        """
        begun = self._refreshes_begun
        async with self._refreshing:
            if self._refreshes_begun == begun:
                self._refreshes_begun += 1
                await self._refresh()
            if isinstance(self.last_error, NoBrokerReachable):
                raise NoBrokerReachable(self.last_error.causes)

    async def fetch_metadata(self, topics: Iterable[str] | None) -> MetadataResponse:
        """Fetch metadata of the named topics, or of all, past what is known.

        Raises: NoBrokerReachable.
        """
        return await self._ask_metadata(metadata_request(topics))

    async def first_answer(
        self,
        make_request: Callable[[Connection], object],
        fault_of: Callable[[Any, Address], OttlaError | None],
    ) -> Any:
        """Ask brokers until one answers (see `Race`). Raises: NoBrokerReachable, EncodeError."""
        answer, _ = await self._race(make_request, fault_of)
        return answer

    async def newest_metadata(self, topics: Iterable[str] | None) -> MetadataResponse:
        """Fetch metadata from the controller, which knows of changes first, if it answers.

        Raises: NoBrokerReachable.
        """
        request = metadata_request(topics)
        response: MetadataResponse = await self.call_any(request, controller_first=True)
        return response

    async def topic(self, name: str, *, timeout_s: float) -> TopicInfo:
        """Return a topic once it is known, and remember it for each refresh.

        Raises: UnknownTopic, WaitTimedOut, RequestError.
        """
        if not is_topic_name(name):
            code = ErrorCode.INVALID_TOPIC_EXCEPTION
            raise refusal(code, f"topic {name!r} is refused", detail=REFUSALS[code])
        was_in_use = name in self._wanted.in_use
        self._wanted.in_use[name] = None
        try:
            return await self.retry(
                lambda: self.metadata.topics.get(name),
                what=f"topic {name!r}",
                topic=name,
                timeout_s=timeout_s,
            )
        except UnknownTopic:
            if not was_in_use:  # else somebody waits for it to come back
                self._wanted.in_use.pop(name, None)
            raise

    async def leader_of(self, topic: str, partition: int, *, timeout_s: float) -> PartitionInfo:
        """Return a partition once its leader is known and live.

        Raises: UnknownTopic, WaitTimedOut, RequestError.
        """
        info = await self.topic(topic, timeout_s=timeout_s)
        if partition not in info.partitions:
            raise UnknownTopic(topic, partition)
        return await self.retry(
            lambda: self.leader_nowait(topic, partition),
            what=f"a leader of {topic}-{partition}",
            topic=topic,
            timeout_s=timeout_s,
        )

    def leader_nowait(self, topic: str, partition: int) -> PartitionInfo | None:
        """Return a partition where its leader is known and live, None otherwise."""
        info = self.metadata.partition(topic, partition)
        return info if info is not None and info.leader_id in self.metadata.brokers else None

    async def retry(
        self, find: Callable[[], T | None], *, what: str, topic: str, timeout_s: float
    ) -> T:
        """Refresh the metadata until `find` finds something in it.

        Raises: WaitTimedOut naming `what`; UnknownTopic, RequestError where `topic` is refused.
        """
        backoff = self.backoff()
        grace_ends = trio.current_time() + UNKNOWN_TOPIC_GRACE_S
        with trio.move_on_after(timeout_s):
            while (found := find()) is None:
                self._wanted.need(topic)
                try:
                    await self.refresh()
                except NoBrokerReachable:
                    grace_ends = trio.current_time() + UNKNOWN_TOPIC_GRACE_S
                # Where it had to be created, what was told before says nothing.
                created_at = self._wanted.created_at(topic)
                grace_ends = max(grace_ends, created_at + UNKNOWN_TOPIC_GRACE_S)
                self._check_refused(topic, believe_unknown=trio.current_time() >= grace_ends)
                if find() is None:
                    await trio.sleep(backoff.next_s())
            return found
        raise WaitTimedOut(what, timeout_s, last_cause=self.last_error)

    async def connection_to(self, broker_id: int, *, lane: Lane = Lane.CONTROL) -> Connection:
        """Return a connection to a broker by its id. Raises: ConnectionBroken."""
        broker = self.metadata.brokers.get(broker_id)
        if broker is None:
            raise BrokerGone(broker_id)
        return await self.pool.get(broker.address, lane)

    async def call(
        self, broker_id: int, request: object, *, moved: Callable[[], bool] | None = None
    ) -> Any:
        """Ask one broker; one that is silent is given up once it is no member, or `moved()`.

        Raises: ConnectionBroken, RequestTimedOut, UnsupportedApi.
        """
        connection = await self.connection_to(broker_id)
        return await await_answer(
            self,
            connection,
            connection.start(request),
            expected_s=STALLED_S,
            deadline=trio.current_time() + self.options.request_timeout_s,
            moved=moved or (lambda: broker_id not in self.metadata.brokers),
        )

    async def call_any(
        self, request: object, *, controller_first: bool = False, repeatable: bool = True
    ) -> Any:
        """Ask the first broker that answers.

        What is `repeatable` each broker has its share of the time for, anything else all of it.
        Raises: NoBrokerReachable; ConnectionBroken where what is not repeatable may have been done.
        """
        causes: list[OttlaError] = []
        candidates = self._candidates()
        controller = self.metadata.brokers.get(self.metadata.controller_id)
        if controller_first and controller is not None:
            candidates.sort(key=lambda a: (self._is_stalled(a), a != controller.address))
        deadline = trio.current_time() + self.options.request_timeout_s
        for number, address in enumerate(candidates):
            try:
                connection = await self.pool.get(address, Lane.CONTROL)
                left_s = max(deadline - trio.current_time(), 0.0)
                sharers = len(candidates) - number if repeatable else 1
                return await connection.call(request, timeout_s=left_s / sharers)
            except (ConnectionBroken, UnsupportedApi) as error:
                if not (repeatable or isinstance(error, NothingSent | UnsupportedApi)):
                    raise
                causes.append(error)
        raise NoBrokerReachable(causes)

    async def call_controller(self, request: object) -> Any:
        """Ask the controller, or any broker where none is known.

        Raises: ConnectionBroken, NoBrokerReachable, RequestTimedOut, UnsupportedApi.
        """
        controller_id = self.metadata.controller_id
        if controller_id in self.metadata.brokers:
            return await self.call(
                controller_id, request, moved=lambda: self.metadata.controller_id != controller_id
            )
        return await self.call_any(request, repeatable=False)

    async def run(self) -> None:
        """Keep the metadata fresh: when it has aged, and when `refresh_soon` asks."""
        backoff = Backoff(self.random, max_s=REFRESH_BACKOFF_MAX_S)
        refreshed_at = trio.current_time()
        while True:
            with trio.move_on_after(self.options.metadata_max_age_s):
                await self._refresh_wanted.wait()
            if trio.current_time() - refreshed_at > REFRESH_CALM_S:
                backoff.reset()
            self._refresh_wanted = trio.Event()
            try:
                await self.refresh()
            except NoBrokerReachable:
                self._refresh_wanted.set()
            refreshed_at = trio.current_time()
            await trio.sleep(backoff.next_s())

    async def _ask_metadata(self, request: MetadataRequest) -> MetadataResponse:
        answer, self._last_answered = await self._race(lambda _: request, _knows_brokers)
        return cast("MetadataResponse", answer)

    async def _race(
        self,
        make_request: Callable[[Connection], object],
        fault_of: Callable[[Any, Address], OttlaError | None],
    ) -> tuple[Any, Address | None]:
        """Ask brokers until one answers. Where none did in time, the next ones have longer."""
        race = Race(self.pool, make_request, fault_of=fault_of, timeout_s=self._patience_s)
        began_at = trio.current_time()
        try:
            answer = await race.run(self._candidates())
        except NoBrokerReachable as error:
            if any(isinstance(cause, RequestTimedOut) for cause in error.causes):
                longest_s = max(METADATA_TIMEOUT_S, self.options.request_timeout_s)
                self._patience_s = min(2 * self._patience_s, longest_s)
            raise
        self._patience_s = max(METADATA_TIMEOUT_S, 2 * (trio.current_time() - began_at))
        return answer, race.answered_by

    async def _refresh(self) -> None:
        needed, wanted = self._wanted.take_needed(), self._wanted.names()
        try:
            response = await self.fetch_metadata(wanted)
            self.metadata.update(response)
            self._wanted.forget_created(self.metadata.topics.__contains__)
            if wanted is None:
                listed = {topic.name for topic in response.topics}
                self.metadata.note_unknown({*self.metadata.topics, *self._wanted.in_use} - listed)
            if self.options.create_topics:
                await self._create(needed)
        except NoBrokerReachable as error:
            self.last_error = error
        else:
            self.last_error = None
        for listener in self._listeners:
            listener()

    async def _create(self, needed: Iterable[str]) -> None:
        """Have brokers create what is needed and unknown; the next refresh tells what came of it.

        Raises: NoBrokerReachable.
        """
        unknown = [
            name
            for name in needed
            if self.metadata.topic_errors.get(name) is ErrorCode.UNKNOWN_TOPIC_OR_PARTITION
        ]
        if unknown:
            await self._ask_metadata(metadata_request(unknown, create=True))
            self._wanted.note_created(unknown, now=trio.current_time())

    def _check_refused(self, topic: str, *, believe_unknown: bool) -> None:
        """Raise what a refusal of the topic means, unless it may pass."""
        code = self.metadata.topic_errors.get(topic)
        if code is None:
            return
        if code is ErrorCode.UNKNOWN_TOPIC_OR_PARTITION and believe_unknown:
            self._wanted.forget_created(lambda name: name == topic)
            raise UnknownTopic(topic)
        error = refusal(code, f"topic {topic!r} is refused", detail=REFUSALS.get(code))
        if code not in RETRIABLE_CODES:
            raise error
        self.last_error = error

    def _candidates(self) -> list[Address]:
        """All addresses to ask, the most promising first; bootstrap servers come last."""
        known = [broker.address for broker in self.metadata.brokers.values()]
        self.random.shuffle(known)
        known.sort(key=self._reluctance)
        return known + [address for address in self._bootstrap if address not in known]

    def _is_stalled(self, address: Address) -> bool:
        return self.pool.is_stalled(address, longer_than_s=STALLED_S)

    def _reluctance(self, address: Address) -> int:
        if self._is_stalled(address):
            return 3
        if address == self._last_answered:
            # Its view may be the very one that did not help: one cut off from the others is old.
            return 2
        return 0 if self.pool.get_nowait(address, Lane.CONTROL) is not None else 1


def _knows_brokers(answer: MetadataResponse, address: Address) -> OttlaError | None:
    return None if answer.brokers else OttlaError(f"{address} knows no live broker yet")


@asynccontextmanager
async def open_cluster(
    bootstrap: str | Sequence[str], options: ClusterOptions
) -> AsyncIterator[Cluster]:
    """Reach a cluster and keep in touch for the time of a `with`. Raises: NoBrokerReachable."""
    async with background_tasks() as nursery:
        pool = ConnectionPool(
            options.environment.network,
            nursery,
            client_id=options.client_id,
            frame_bytes_max=options.frame_bytes_max,
        )
        cluster = Cluster(parse_bootstrap(bootstrap), pool, options)
        await cluster.refresh()
        nursery.start_soon(cluster.run)
        yield cluster
