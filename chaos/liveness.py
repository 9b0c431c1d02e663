"""Whether clients get on once all is mended: what each of them wants must succeed before long.

An oracle judges what was done. Who is refused for ever does nothing, and breaks no promise by it.
Must never know: what was broken, how long is long.
"""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING, Final

import trio

from protocol.errors import OttlaError, RequestError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from chaos.workload import Workload
    from client import Admin

LOOK_EVERY_S: Final = 0.2


async def wait_written(work: Workload) -> None:
    """Return once something new is acknowledged in every partition."""
    before = dict(work.acknowledged)
    while any(  # noqa: ASYNC110 - a plain dict
        work.acknowledged.get(place.partition, -1) <= before.get(place.partition, -1)
        for place in work.partitions
    ):
        await trio.sleep(LOOK_EVERY_S)


async def wait_read(work: Workload, readers: Collection[str], ends: Mapping[int, int]) -> None:
    """Return once each of these readers has come to the ends of all partitions."""
    while any(  # noqa: ASYNC110 - consumers tell nobody
        work.read_up_to().get(name, {}).get(number, 0) < end
        for name, (number, end) in product(readers, ends.items())
    ):
        await trio.sleep(LOOK_EVERY_S)


async def wait_committed(work: Workload) -> None:
    """Return once each group without members has committed something new of each partition."""
    wanted = [
        (group, place.partition) for group, place in product(work.lonely_groups, work.partitions)
    ]
    before = dict(work.committed)
    while any(  # noqa: ASYNC110 - a plain dict
        work.committed.get(one, -1) <= before.get(one, -1) for one in wanted
    ):
        await trio.sleep(LOOK_EVERY_S)


async def wait_consumed(
    work: Workload, groups: Iterable[str], ends: Mapping[int, int], admin: Admin
) -> None:
    """Return once members of these groups have committed the ends of all partitions."""
    behind = sorted(set(groups))  # in the same order each time: a simulated run is to repeat
    while behind:
        behind = [group for group in behind if not await _has_consumed(work, group, ends, admin)]
        await trio.sleep(LOOK_EVERY_S)


async def _has_consumed(work: Workload, group: str, ends: Mapping[int, int], admin: Admin) -> bool:
    try:
        (found,) = (await admin.list_consumer_group_offsets([group])).values()
    except OttlaError:
        return False
    if isinstance(found, RequestError):
        return False
    told = {place: found.get(place) for place in work.partitions}
    return all(
        (0 if one is None else one.offset) >= ends.get(place.partition, 0)
        for place, one in told.items()
    )
