"""A group's znodes: taken by a new owner, read, made.

`/ottla/groups/<id>` is the header. Whoever writes anything of the group must know its version, and
a claim changes it: so a deposed owner's writes are refused. Below it is one znode for each topic in
which the group has committed. A claim comes before the offsets are read: none can be missed.
Must never know: members, who should own what.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

import trio

from coordinator import paths
from coordinator.groups.image import GroupHeader
from coordinator.groups.records import decode_header, decode_offsets, encode_header
from coordinator.store import BadVersion, NodeExists, NoNode
from protocol.errors import CoordinationError

if TYPE_CHECKING:
    from coordinator.groups.image import TopicOffsets
    from coordinator.store import Store

READS_IN_FLIGHT_MAX: Final = 32
FIRST_OWNER_EPOCH: Final = 1


@dataclass(slots=True, eq=False)
class OwnedGroup:
    """What its owner knows to be durable of a group; `version` fences all that it writes."""

    group_id: str
    header: GroupHeader
    version: int
    offsets: dict[str, TopicOffsets]

    @property
    def path(self) -> str:
        """The path of the header."""
        return paths.group(self.group_id)


async def claim(store: Store, group_id: str, *, owner_id: int) -> OwnedGroup | None:
    """Take a group over, from whomever. Returns: None where there is no such group.

    Raises: ConnectionLost (perhaps taken: claim again), SessionLost, RecordUnreadable.
    """
    path = paths.group(group_id)
    while True:
        try:
            value, stat = await store.get(path)
            last = decode_header(path, value)
            header = replace(last, owner_id=owner_id, owner_epoch=last.owner_epoch + 1)
            stat = await store.set(path, encode_header(header), version=stat.version)
        except NoNode:
            return None
        except BadVersion:
            continue
        return OwnedGroup(group_id, header, stat.version, await read_offsets(store, group_id))


async def create(store: Store, group_id: str, *, owner_id: int) -> OwnedGroup | None:
    """Make a new group. Returns: None where there is one already: claim it.

    Raises: ConnectionLost (perhaps made: claim it), SessionLost.
    """
    header = GroupHeader(owner_id, FIRST_OWNER_EPOCH)
    try:
        _, stat = await store.create(paths.group(group_id), encode_header(header))
    except NodeExists:
        return None
    return OwnedGroup(group_id, header, stat.version, {})


async def renew(store: Store, owned: OwnedGroup) -> bool:
    """Find out what became of writes without an answer, and fence those still on their way.

    Returns: False where somebody else has taken the group, or it is gone.
    Raises: ConnectionLost, SessionLost, RecordUnreadable.
    """
    while True:
        try:
            value, stat = await store.get(owned.path)
            header = decode_header(owned.path, value)
            if header.owner_epoch != owned.header.owner_epoch:
                return False
            stat = await store.set(owned.path, value, version=stat.version)
        except NoNode:
            return False
        except BadVersion:
            continue
        owned.header, owned.version = header, stat.version
        owned.offsets = await read_offsets(store, owned.group_id)
        return True


async def read_offsets(store: Store, group_id: str) -> dict[str, TopicOffsets]:
    """Read a group's offsets by topic, after it was claimed.

    What vanishes meanwhile the next owner has removed, by whom ours is fenced already.
    Raises: ConnectionLost, SessionLost, RecordUnreadable.
    """
    try:
        names = await store.children(paths.group(group_id))
    except NoNode:
        return {}
    found: dict[str, TopicOffsets] = {}
    limit = trio.CapacityLimiter(READS_IN_FLIGHT_MAX)
    failures: list[CoordinationError] = []

    async def read(topic_name: str) -> None:
        path = paths.group_offsets(group_id, topic_name)
        try:
            async with limit:
                value, _ = await store.get(path)
            found[topic_name] = decode_offsets(path, value)
        except NoNode:
            return
        except CoordinationError as error:
            failures.append(error)

    async with trio.open_nursery() as nursery:
        for name in names:
            nursery.start_soon(read, name)
    if failures:
        raise failures[0]
    return found


async def list_groups(store: Store) -> list[str]:
    """List the ids of all groups. Raises: ConnectionLost, SessionLost."""
    return [paths.group_id(name) for name in await store.children(paths.GROUPS)]
