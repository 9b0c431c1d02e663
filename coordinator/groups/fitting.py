"""What of a change fits where one request to the store cannot hold it: pure.

A topic's offsets are one value, which only one request can write. So topics are written in several
requests, and of a topic that outgrows one as many offsets are kept as find room.
Must never know: the store, who waits.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

from coordinator import paths
from coordinator.groups.change import OPERATION_BYTES, Change, TopicChange
from coordinator.groups.records import encode_offsets, offset_bytes
from coordinator.store import REQUEST_BYTES_MAX

if TYPE_CHECKING:
    from collections.abc import Mapping

    from coordinator.groups.image import CommittedOffset
    from coordinator.groups.znodes import OwnedGroup

Refused = frozenset[tuple[str, int]]
"""Offsets that find no room, by topic and partition."""

_COUNT_BYTES = 4
"""What the count of a topic's offsets may take more than that of none."""


class Fitted(Struct, frozen=True):
    """A change as far as it fits: in `parts`, of which each is a request, and without `refused`."""

    parts: tuple[Change, ...]
    refused: Refused = frozenset()


def fit(owned: OwnedGroup, change: Change, *, bytes_max: int = REQUEST_BYTES_MAX) -> Fitted:
    """Divide a change into parts that fit. What is more than offsets is left as it is.

    Where nothing finds room what is left asks whether the group is ours still.
    """
    if change.deleted or change.membership is not None:
        return Fitted((change,))
    bytes_max -= OPERATION_BYTES + len(owned.path)  # the fence
    parts: list[dict[str, TopicChange]] = [{}]
    room = bytes_max
    refused: set[tuple[str, int]] = set()
    for name, wanted in change.topics.items():
        kept, size_bytes = _fit_topic(owned, name, wanted, bytes_max)
        refused.update((name, index) for index in wanted.partitions.keys() - kept.keys())
        if not kept:
            continue
        if size_bytes > room and parts[-1]:
            parts.append({})
            room = bytes_max
        parts[-1][name] = TopicChange(wanted.topic_id, kept)
        room -= size_bytes
    return Fitted(tuple(Change(topics) for topics in parts), frozenset(refused))


def _fit_topic(
    owned: OwnedGroup, name: str, wanted: TopicChange, bytes_max: int
) -> tuple[dict[int, CommittedOffset | None], int]:
    """Give what finds room of a topic's offsets, and what their write then weighs at most.

    What adds least comes first, so that as many as possible find room.
    """
    before: Mapping[int, CommittedOffset] = {}
    if (known := owned.offsets.get(name)) is not None and known.topic_id == wanted.topic_id:
        before = known.partitions
    growth = {
        index: (0 if committed is None else offset_bytes(index, committed))
        - (offset_bytes(index, before[index]) if index in before else 0)
        for index, committed in wanted.partitions.items()
    }
    size_bytes = OPERATION_BYTES + len(paths.group_offsets(owned.path, name)) + _COUNT_BYTES
    size_bytes += len(encode_offsets(wanted.topic_id, before))
    kept: dict[int, CommittedOffset | None] = {}
    for index in sorted(growth, key=growth.__getitem__):
        if growth[index] <= 0 or size_bytes + growth[index] <= bytes_max:
            size_bytes += growth[index]
            kept[index] = wanted.partitions[index]
    return kept, size_bytes
