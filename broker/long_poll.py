"""Being told which of many partitions have news, and waiting for the first.

A partition is reported once and then watched no longer, until it is added again: who does not
look, however often there is news, costs the partition nothing.
Must never know: requests, replies, what the news is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, TypeVar

import trio

if TYPE_CHECKING:
    from collections.abc import Callable

    from broker.partition import Partition

T = TypeVar("T")


class Watch(Generic[T]):
    """Watches partitions for one reader; `changed` is told what each was added as.

    A consumer waits for commits. A follower (`uncommitted`) waits for appends; a commit is news to
    it as well, but none to wake up for.
    """

    __slots__ = ("_changed", "_event", "_uncommitted", "_watched")

    def __init__(self, changed: Callable[[T], None], *, uncommitted: bool) -> None:
        self._changed = changed
        self._uncommitted = uncommitted
        self._watched: dict[Partition, T] = {}
        self._event = trio.Event()

    def add(self, partition: Partition, subject: T) -> None:
        """Report `subject` at the next news of the partition."""
        self._watched[partition] = subject
        partition.consumers_waiting[self._committed] = None
        if self._uncommitted:
            partition.fetchers_waiting[self._appended] = None

    def remove(self, partition: Partition) -> None:
        """Watch a partition no longer."""
        if self._watched.pop(partition, None) is not None:
            partition.consumers_waiting.pop(self._committed, None)
            partition.fetchers_waiting.pop(self._appended, None)

    def close(self) -> None:
        """Watch nothing any more, and end the waiting."""
        for partition in tuple(self._watched):
            self.remove(partition)
        self.wake()

    def wake(self) -> None:
        """End the waiting."""
        self._event.set()

    def rearm(self) -> None:
        """Wait, from now on, for what has not been reported yet."""
        self._event = trio.Event()

    async def wait(self) -> None:
        """Return once there is news since `rearm`."""
        await self._event.wait()

    def _appended(self, partition: Partition) -> None:
        subject = self._watched[partition]
        self.remove(partition)
        self._changed(subject)
        self.wake()

    def _committed(self, partition: Partition) -> None:
        if not self._uncommitted:
            self._appended(partition)
        else:
            del partition.consumers_waiting[self._committed]
            self._changed(self._watched[partition])
