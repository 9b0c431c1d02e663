"""Waiting: for what a group answers later, and for a group that is not at hand yet.

Must never know: what is answered, requests.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Generic, TypeVar

import trio

from protocol.errors import CoordinationError, ErrorCode, OttlaError, RequestError

if TYPE_CHECKING:
    from collections.abc import Callable

    from broker.groups.hosted import HostedGroup
    from broker.groups.member import Joined, Synced

STORE_TIMEOUT_S: Final = 5.0
"""How long a request waits for the store (Kafka's offsets.commit.timeout.ms)."""

GROUP_TIMEOUT_S: Final = 3.0
"""How long a request may wait for its group, and be carried out.

Our client looks elsewhere after so long without an answer, others after ten times as long or more,
by their defaults.
"""

T = TypeVar("T")


class WaitingReply:
    """Where one answer goes; `wait` gives it. Implements `member.Reply`."""

    __slots__ = ("_answered", "_outcome")

    def __init__(self) -> None:
        self._outcome: Joined | Synced | RequestError | None = None
        self._answered = trio.Event()

    def answer(self, outcome: Joined | Synced | RequestError) -> None:
        """Take the answer."""
        assert self._outcome is None, "one answer for one request"
        self._outcome = outcome
        self._answered.set()

    async def wait(self) -> Joined | Synced:
        """Give the answer once it has come. Raises: RequestError, where it is a refusal."""
        await self._answered.wait()
        assert self._outcome is not None, "that is what was waited for"
        if isinstance(self._outcome, RequestError):
            raise self._outcome
        return self._outcome


class Deferred(Generic[T]):
    """Something that is to be done with a group as soon as the group is at hand.

    It is not done once nobody waits for it any more, or only somebody who has waited for so long
    that another broker may have been asked since: a commit would undo those that came after it.
    """

    __slots__ = ("_act", "_asked_at", "_done", "_error", "_left", "_outcome")

    def __init__(self, act: Callable[[HostedGroup | None], T]) -> None:
        self._act = act
        self._asked_at = trio.current_time()
        self._left = False
        self._done = trio.Event()
        self._outcome: list[T] = []
        self._error: Exception | None = None

    def do(self, hosted: HostedGroup | None) -> None:
        """Do it; None says that there is no such group. Raises nothing: `wait` does."""
        if self._left:
            return
        if trio.current_time() > self._asked_at + GROUP_TIMEOUT_S:
            self.refuse(
                RequestError.of(
                    ErrorCode.COORDINATOR_NOT_AVAILABLE,
                    f"the group was not at hand after {GROUP_TIMEOUT_S:g} s: ask again",
                )
            )
            return
        try:
            self._outcome.append(self._act(hosted))
        except Exception as error:  # noqa: BLE001 - a bug is the request's that asked for it
            self._error = error
        self._done.set()

    def refuse(self, error: OttlaError) -> None:
        """Give up: it is not done."""
        self._error = error
        self._done.set()

    async def wait(self) -> T:
        """Give what came of it, once it has been done.

        Who is cancelled has left: it is not done then. Raises: what it raised; RequestError, where
        it was not done: COORDINATOR_NOT_AVAILABLE where the store is why, or it came too late.
        Clients look for the group again then, and take no other code for harmless: aiokafka's
        heartbeats end by COORDINATOR_LOAD_IN_PROGRESS, and sarama's sessions.
        """
        try:
            await self._done.wait()
        except trio.Cancelled:
            self._left = True
            raise
        if isinstance(self._error, CoordinationError):
            reason = str(self._error)
            raise RequestError.of(ErrorCode.COORDINATOR_NOT_AVAILABLE, reason) from self._error
        if self._error is not None:
            raise self._error
        return self._outcome[0]


async def settled(outcome: T | Deferred[T]) -> T:
    """Give what an act gave, at once or once its group is at hand. Raises: as `Deferred.wait`."""
    if isinstance(outcome, Deferred):
        return await outcome.wait()
    return outcome
