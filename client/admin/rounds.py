"""Asking several brokers at once, in rounds, until everything asked for has a final answer.

What is asked for has keys: groups, partitions, brokers. A `Router` knows at which broker each key
is kept; where a broker denies that, or breaks off, the key is asked for again in the next round.
Must never know: what is asked, what the answers hold.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

import trio

from client.coordinators import MOVED_CODES, Coordinators
from client.errors import (
    BrokerGone,
    ConnectionBroken,
    NoBrokerReachable,
    NothingSent,
    WaitTimedOut,
)
from client.records import TopicPartition
from protocol.errors import RETRIABLE_CODES, ErrorCode, OttlaError, RequestError

if TYPE_CHECKING:
    from client.cluster import Cluster

K = TypeVar("K")
T = TypeVar("T")

Question = Callable[[int, list[K]], Awaitable[Mapping[K, T | RequestError]]]
"""Asks one broker about the keys that it keeps."""


class Router(Protocol[K]):
    """Knows at which broker keys are kept."""

    async def route(self, keys: Iterable[K], *, timeout_s: float) -> Mapping[K, int | RequestError]:
        """Give the broker of each key, or why there is none."""

    def is_misdirected(self, error: RequestError) -> bool:
        """Say whether an answer means that the key has to be asked for again."""

    def forget(self, key: K) -> None:
        """Have the key's broker looked for again."""


class GroupRouter:
    """Groups are kept by their coordinators."""

    def __init__(self, coordinators: Coordinators) -> None:
        self._coordinators = coordinators

    async def route(
        self, keys: Iterable[str], *, timeout_s: float
    ) -> Mapping[str, int | RequestError]:
        """Find coordinators. Raises: UnsupportedApi, WaitTimedOut."""
        return await self._coordinators.find(keys, timeout_s=timeout_s)

    def is_misdirected(self, error: RequestError) -> bool:
        """Say whether the group has moved, or is about to."""
        return error.code in MOVED_CODES

    def forget(self, key: str) -> None:
        """Look for the group's coordinator again."""
        self._coordinators.forget(key)


class LeaderRouter:
    """Partitions are kept by their leaders."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster

    async def route(
        self, keys: Iterable[TopicPartition], *, timeout_s: float
    ) -> Mapping[TopicPartition, int | RequestError]:
        """Find leaders. Raises: WaitTimedOut."""
        found: dict[TopicPartition, int | RequestError] = {}
        refused_topics: dict[str, RequestError] = {}
        places = tuple(keys)
        with trio.move_on_after(timeout_s):
            for place in places:
                if place.topic in refused_topics:
                    # To believe that there is no such topic takes seconds: not for each partition.
                    found[place] = refused_topics[place.topic]
                    continue
                try:
                    leader = await self._cluster.leader_of(*place, timeout_s=timeout_s)
                except RequestError as error:
                    found[place] = error
                    if place.topic not in self._cluster.metadata.topics:
                        refused_topics[place.topic] = error
                else:
                    found[place] = leader.leader_id
            return found
        missing = ", ".join(str(place) for place in places if place not in found)
        raise WaitTimedOut(f"leaders of {missing}", timeout_s, last_cause=self._cluster.last_error)

    def is_misdirected(self, error: RequestError) -> bool:
        """Say whether another broker leads, or the same question may succeed later."""
        return error.code in RETRIABLE_CODES

    def forget(self, key: TopicPartition) -> None:
        """The metadata are refreshed before each round anyway."""


class BrokerRouter:
    """Every broker is asked for itself; one that has gone is refused as BROKER_NOT_AVAILABLE."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster

    async def route(
        self, keys: Iterable[int], *, timeout_s: float
    ) -> Mapping[int, int | RequestError]:
        """Look which brokers live; who is not known may have come a moment ago."""
        keys = list(keys)
        if not self._cluster.metadata.brokers.keys() >= {*keys}:
            with trio.move_on_after(timeout_s), suppress(NoBrokerReachable):
                await self._cluster.refresh()
        return {
            broker_id: broker_id
            if broker_id in self._cluster.metadata.brokers
            else RequestError.of(ErrorCode.BROKER_NOT_AVAILABLE, str(BrokerGone(broker_id)))
            for broker_id in keys
        }

    def is_misdirected(self, error: RequestError) -> bool:
        """Say whether the broker is still getting ready."""
        return error.code in MOVED_CODES

    def forget(self, key: int) -> None:
        """The metadata are refreshed before each round anyway."""


class Rounds(Generic[K]):
    """Asks in rounds; `timeout_s` bounds all rounds of its one question, from its making on."""

    def __init__(self, cluster: Cluster, router: Router[K], *, timeout_s: float) -> None:
        self._cluster = cluster
        self._router = router
        self._timeout_s = timeout_s
        self._deadline = trio.current_time() + timeout_s

    async def ask(
        self,
        keys: Iterable[K],
        question: Question[K, T],
        *,
        repeatable: bool = True,
    ) -> dict[K, T | RequestError]:
        """Have `question(broker_id, keys)` ask each broker for its keys, all brokers at once.

        Where a question is not `repeatable`, a broker that breaks off ends it: what was asked may
        have been done. Raises: ConnectionBroken, UnsupportedApi, WaitTimedOut.
        """
        asking = _Asking(keys, question, repeatable=repeatable)
        backoff = self._cluster.backoff()
        while True:
            left_s = max(self._deadline - trio.current_time(), 0)
            routes = await self._router.route(tuple(asking.missing), timeout_s=left_s)
            with trio.move_on_at(self._deadline):
                for key in await asking.run_round(routes, self._router.is_misdirected):
                    self._router.forget(key)
                if asking.missing:
                    self._cluster.refresh_soon()
                    await trio.sleep(backoff.next_s())
            if not asking.missing:
                return asking.answers
            if trio.current_time() >= self._deadline:
                named = f"answers about {', '.join(map(str, asking.missing))}"
                raise WaitTimedOut(named, self._timeout_s, last_cause=asking.last_error)


class _Asking(Generic[K, T]):
    """One question; `missing` has no final answer yet."""

    def __init__(self, keys: Iterable[K], question: Question[K, T], *, repeatable: bool) -> None:
        self.missing = dict.fromkeys(keys)
        self.answers: dict[K, T | RequestError] = {}
        self.last_error: OttlaError | None = None
        self._final_error: OttlaError | None = None
        self._question = question
        self._repeatable = repeatable

    async def run_round(
        self, routes: Mapping[K, int | RequestError], is_misdirected: Callable[[RequestError], bool]
    ) -> tuple[K, ...]:
        """Ask every broker once. Returns: what has to be asked for again."""
        by_broker: dict[int, list[K]] = {}
        for key, route in routes.items():
            if isinstance(route, RequestError):
                self._settle(key, route)
            else:
                by_broker.setdefault(route, []).append(key)
        async with trio.open_nursery() as nursery:
            for broker_id, keys in by_broker.items():
                nursery.start_soon(self._ask, broker_id, keys, is_misdirected)
        if self._final_error is not None:
            raise self._final_error
        return tuple(self.missing)

    async def _ask(
        self, broker_id: int, keys: list[K], is_misdirected: Callable[[RequestError], bool]
    ) -> None:
        try:
            answers = await self._question(broker_id, keys)
        except ConnectionBroken as error:
            self.last_error = error
            if not (self._repeatable or isinstance(error, NothingSent)):
                self._final_error = error
        except OttlaError as error:
            self._final_error = error
        else:
            for key in keys:
                self._take(key, answers.get(key), is_misdirected)

    def _take(
        self,
        key: K,
        answer: T | RequestError | None,
        is_misdirected: Callable[[RequestError], bool],
    ) -> None:
        if answer is None:
            self.last_error = OttlaError(f"a broker was asked about {key} and did not answer that")
        elif isinstance(answer, RequestError) and is_misdirected(answer):
            self.last_error = answer
        else:
            self._settle(key, answer)

    def _settle(self, key: K, answer: T | RequestError) -> None:
        self.answers[key] = answer
        self.missing.pop(key, None)
