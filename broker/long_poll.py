"""Waiting until one of several partitions has changed: has more to read, as a rule.

Must never know: requests, replies.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import trio

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from broker.partition import Partition


class LongPoll:
    """Collects which partitions have changed since the last look."""

    __slots__ = ("_changed", "_event")

    def __init__(self) -> None:
        self._changed: dict[Partition, None] = {}
        self._event = trio.Event()

    def notice(self, partition: Partition) -> None:
        """Note that a partition may have changed (called by the partition)."""
        self._changed[partition] = None
        self._event.set()

    async def wait_changed(self) -> Iterable[Partition]:
        """Return the partitions that changed since the last call, at least one, in that order."""
        await self._event.wait()
        changed, self._changed = self._changed, {}
        self._event = trio.Event()
        return changed


@contextmanager
def watching(partitions: Iterable[Partition], *, uncommitted: bool) -> Iterator[LongPoll]:
    """Be told of every append (`uncommitted`, a follower's view) or of every commit."""
    watched = [p.fetchers_waiting if uncommitted else p.consumers_waiting for p in partitions]
    with _noticed_by(watched) as poll:
        yield poll


@contextmanager
def watching_log_starts(partition: Partition) -> Iterator[LongPoll]:
    """Be told whenever the low watermark of a partition may have moved."""
    with _noticed_by([partition.deleters_waiting]) as poll:
        yield poll


@contextmanager
def _noticed_by(watched: list[dict[Callable[[Partition], None], None]]) -> Iterator[LongPoll]:
    poll = LongPoll()
    notice = poll.notice
    for waiting in watched:
        waiting[notice] = None
    try:
        yield poll
    finally:
        for waiting in watched:
            waiting.pop(notice, None)
