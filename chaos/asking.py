"""Clients that ask a cluster what it holds, again and again, and write down what they were told.

Must never know: faults, what is judged, whether the cluster is real.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import trio

from chaos.history import Dated, Partition, SeenEnd, Told
from protocol.errors import RequestError

if TYPE_CHECKING:
    from chaos.workload import Workload
    from client import Admin


async def ask_offsets(work: Workload, name: str) -> None:
    """Ask for the groups' committed offsets, for ever."""
    await work.ask_for_ever(name, partial(note_offsets, work))


async def ask_ends(work: Workload, name: str) -> None:
    """Ask where the partitions end, for ever."""
    await work.ask_for_ever(name, partial(_note_ends, work))


async def ask_times(work: Workload, name: str, *, back_s: float) -> None:
    """Ask for offsets by times of the last so many seconds, for ever: old records are looked at."""
    rng, wall_ms = work.random(name), work.environment(name).wall_ms

    async def ask(_: str, admin: Admin) -> None:
        asked_ms = wall_ms() - int(rng.random() * back_s * 1000)
        answers = await admin.list_offsets(dict.fromkeys(work.partitions, asked_ms))
        for place, found in answers.items():
            if found is not None:
                at = Partition(*place)
                work.note(Dated(name, at, asked_ms, found.offset, found.timestamp_ms))

    await work.ask_for_ever(name, ask)


async def note_offsets(work: Workload, name: str, admin: Admin) -> None:
    """Ask for the groups' committed offsets once. Raises: OttlaError."""
    began_at = trio.current_time()
    answers = await admin.list_consumer_group_offsets([*work.groups, *work.lonely_groups])
    now = trio.current_time()
    for group, found in answers.items():
        if isinstance(found, RequestError):
            raise found
        for place in work.partitions:
            told = found.get(place)
            offset = None if told is None else told.offset
            work.note(Told(name, group, Partition(*place), offset, began_at, now))


async def _note_ends(work: Workload, name: str, admin: Admin) -> None:
    began_at = trio.current_time()
    ends = await admin.end_offsets(work.topic)
    now = trio.current_time()
    for number, offset in ends.items():
        work.note(SeenEnd(name, Partition(work.topic, number), offset, began_at, now))
