"""Records that failed without anybody having been told: what the next `flush` tells.

Must never know: why records failed, how they were sent.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final

from client.errors import DeliveryFailed, RecordsLost

if TYPE_CHECKING:
    from client.delivery import Batch

REMEMBERED_MAX: Final = 1000
"""Of so many failed batches each record may yet be waited for; older ones are only counted."""


class Losses:
    """The failed batches since `take`; whoever waits for one of their records is told of it."""

    def __init__(self) -> None:
        self._batches: deque[Batch] = deque()
        self._count = 0
        self._first: DeliveryFailed | None = None

    def note(self, batch: Batch) -> None:
        """Remember a batch that failed."""
        self._batches.append(batch)
        if len(self._batches) > REMEMBERED_MAX:
            self._count_in(self._batches.popleft())

    def take(self) -> RecordsLost | None:
        """Give what nobody was told of, None where there is nothing; it counts as told then."""
        while self._batches:
            self._count_in(self._batches.popleft())
        lost = RecordsLost(self._count, self._first) if self._first is not None else None
        self._count, self._first = 0, None
        return lost

    def _count_in(self, batch: Batch) -> None:
        if batch.untold:
            self._count += batch.untold
            self._first = self._first or batch.failure
