"""Answers that only have to be waited for: nothing is left to do for them.

A connection keeps many of them at the price of one task: it waits for the oldest alone, and once
that one is done looks at those behind it. Work that goes on after a handler has returned is a
coroutine instead. Must never know: connections, what is waited for.
"""

from __future__ import annotations

import inspect
from abc import ABC, abstractmethod
from typing import Any


class Delayed(ABC):
    """An answer that comes when something has happened elsewhere, or when time is up."""

    __slots__ = ()

    @abstractmethod
    def is_done(self) -> bool:
        """Say whether `response` can be given now; once it is so, it stays so.

        It may be asked while a task waits, and decide before that one has been woken.
        """

    @abstractmethod
    async def wait(self) -> None:
        """Return once it is done, with or without a checkpoint. One task at a time waits."""

    @abstractmethod
    def response(self) -> Any:
        """Give the answer; called once it is done."""


async def answer_of(outcome: Any) -> Any:
    """Wait for whatever a handler has returned. Returns: the response. Raises: as the handler."""
    if isinstance(outcome, Delayed):
        await outcome.wait()
        return outcome.response()
    return await outcome if inspect.iscoroutine(outcome) else outcome
