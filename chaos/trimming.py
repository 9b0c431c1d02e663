"""A client that has the oldest records of partitions deleted, again and again.

Must never know: faults, what is judged, whether the cluster is real.
"""

from __future__ import annotations

import random  # noqa: TID251 - seeded here, with the seed that was handed in
from typing import TYPE_CHECKING, Final

import trio

from chaos.history import Outcome, Partition, Trimmed
from protocol.errors import RequestError

if TYPE_CHECKING:
    from chaos.workload import Workload
    from client import Admin, TopicPartition

PAUSES_S: Final = (0.05, 2.0)
"""Between two deletions, at least and at most."""

SHARE: Final = 3
"""One of so many records that are left is deleted at most."""


class Trimming:
    """The client; `seed` decides what it deletes, and when."""

    def __init__(self, work: Workload, *, seed: int) -> None:
        self._work = work
        self._rng = random.Random(f"{seed} trimming")  # noqa: S311 - to be repeatable

    async def run(self, name: str) -> None:
        """Delete for ever; begin anew after an error."""
        await self._work.ask_for_ever(name, self._trim_some)

    async def _trim_some(self, name: str, admin: Admin) -> None:
        await trio.sleep(self._rng.uniform(*PAUSES_S))
        place = self._rng.choice(self._work.partitions)
        starts = await admin.beginning_offsets(place.topic)
        ends = await admin.end_offsets(place.topic)
        start, end = starts[place.partition], ends[place.partition]
        if start < end:
            offset = self._rng.randint(start, start + (end - start) // SHARE)
            await self._trim(name, admin, place, offset)

    async def _trim(self, name: str, admin: Admin, place: TopicPartition, offset: int) -> None:
        number, began_at = place.partition, trio.current_time()
        self._work.trimmed[number] = max(self._work.trimmed.get(number, 0), offset)
        outcome, reached = Outcome.UNKNOWN, offset
        try:
            answer = (await admin.delete_records({place: offset}))[place]
            if not isinstance(answer, RequestError):
                outcome, reached = Outcome.OK, answer
                self._work.deleted[number] = max(self._work.deleted.get(number, 0), reached)
        finally:
            now = trio.current_time()
            trimmed = Trimmed(name, Partition(*place), offset, reached, began_at, now, outcome)
            self._work.note(trimmed)
