"""What can be seen of groups: their members, what they committed, where the logs begin and end.

Must never know: tables, JSON's layout.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

from client.offsets import BEGINNING, END
from commands.group_lag import LogEnds, PartitionLag, lags_of
from protocol.errors import RequestError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from client.admin import Admin
    from client.group_descriptions import GroupDescription
    from client.records import OffsetAndTimestamp, TopicPartition


class GroupView(Struct, frozen=True):
    """A group at one moment."""

    description: GroupDescription
    partitions: tuple[PartitionLag, ...]


async def look_at_groups(
    admin: Admin, group_ids: Iterable[str]
) -> dict[str, GroupView | RequestError]:
    """Describe groups with their lags. Raises: OttlaError.

    What was committed is asked for first, the ends of the logs last: no lag is too small.
    """
    found: dict[str, GroupView | RequestError] = {}
    described: dict[str, GroupDescription] = {}
    for group_id, description in (await admin.describe_groups(group_ids)).items():
        if isinstance(description, RequestError):
            found[group_id] = description
        else:
            described[group_id] = description
    committed = await admin.list_consumer_group_offsets(described)
    places: set[TopicPartition] = set()
    for group_id, group in described.items():
        offsets = committed[group_id]
        if isinstance(offsets, RequestError):
            found[group_id] = offsets
        else:
            places.update(offsets, *(member.assignment for member in group.members))
    ends = await find_ends(admin, places)
    for group_id, group in described.items():
        offsets = committed[group_id]
        if not isinstance(offsets, RequestError):
            found[group_id] = GroupView(group, lags_of(offsets, group.members, ends))
    return found


async def find_ends(
    admin: Admin, places: Iterable[TopicPartition]
) -> dict[TopicPartition, LogEnds]:
    """Look up where logs begin and end; partitions without a leader are left out.

    Raises: OttlaError.
    """
    asked = await _led(admin, places)
    starts = await admin.list_offsets(dict.fromkeys(asked, BEGINNING))
    stable = await admin.list_offsets(dict.fromkeys(asked, END), stable_only=True)
    high = await admin.list_offsets(dict.fromkeys(asked, END))
    return {
        place: LogEnds(_offset(starts[place]), _offset(stable[place]), _offset(high[place]))
        for place in asked
    }


async def _led(admin: Admin, places: Iterable[TopicPartition]) -> list[TopicPartition]:
    """Leave out partitions that are gone or have no leader: nobody could answer for them."""
    wanted = sorted(places)
    if not wanted:
        return []
    topics = await admin.describe_topics()
    return [
        place
        for place in wanted
        if (topic := topics.get(place.topic)) is not None
        and (info := topic.partitions.get(place.partition)) is not None
        and info.leader_id >= 0
    ]


def _offset(found: OffsetAndTimestamp | None) -> int | None:
    return None if found is None else found.offset
