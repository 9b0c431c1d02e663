"""A group's znodes: taken by a new owner, read, made.

`/ottla/groups/<id>/<incarnation>` is the header. Whoever writes anything of the group must know its
version, and a claim changes it: so a deposed owner's writes are refused. Below it is one znode for
each topic in which the group has committed. A claim comes before the offsets are read: none can be
missed. A group that is deleted and made again gets another incarnation, never used before: its
versions begin anew, and must not be taken for those that an owner from before still knows.
Must never know: members, who should own what.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import trio
from msgspec import Struct
from msgspec.structs import replace

from coordinator import paths
from coordinator.groups.image import GroupHeader
from coordinator.groups.records import decode_header, decode_offsets, encode_header
from coordinator.records import RecordUnreadable
from coordinator.store import BadVersion, Create, MultiFailed, NodeExists, NoNode
from protocol.errors import CoordinationError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from coordinator.groups.image import TopicOffsets
    from coordinator.store import Store

READS_IN_FLIGHT_MAX: Final = 32
FIRST_OWNER_EPOCH: Final = 1
FIRST_VERSION: Final = 0


class OwnedGroup(Struct, eq=False):
    """What its owner knows to be durable of a group; `version` fences all that it writes.

    `path` is that of the header.
    """

    group_id: str
    path: str
    header: GroupHeader
    version: int
    offsets: Mapping[str, TopicOffsets]


async def claim(store: Store, group_id: str, *, owner_id: int) -> OwnedGroup | None:
    """Take a group over, from whomever. Returns: None where there is no such group.

    Raises: ConnectionLost (perhaps taken: claim again), SessionLost, RecordUnreadable.
    """
    while True:
        try:
            path = await _find_header(store, group_id)
        except NoNode:
            return None
        try:
            value, stat = await store.get(path)
            last = decode_header(path, value)
            header = replace(last, owner_id=owner_id, owner_epoch=last.owner_epoch + 1)
            stat = await store.set(path, encode_header(header), version=stat.version)
        except (NoNode, BadVersion):
            # Somebody was quicker. What the store has refused it has shown us: this read is newer.
            continue
        return OwnedGroup(group_id, path, header, stat.version, await read_offsets(store, path))


async def _find_header(store: Store, group_id: str) -> str:
    above = paths.group(group_id)
    names = await store.children(above)
    if len(names) != 1:
        raise RecordUnreadable(
            f"{above} holds {len(names)} incarnations of the group, 1 wanted: delete those that"
            " are not the group's"
        )
    return paths.group_header(group_id, names[0])


async def create(
    store: Store, group_id: str, *, owner_id: int, incarnation: str
) -> OwnedGroup | None:
    """Make a new group. Returns: None where there is one already: claim it.

    No two attempts may name the same incarnation: the first may still be on its way.
    Raises: ConnectionLost (perhaps made: claim it), SessionLost.
    """
    header = GroupHeader(owner_id, FIRST_OWNER_EPOCH)
    path = paths.group_header(group_id, incarnation)
    try:
        await store.multi([Create(paths.group(group_id)), Create(path, encode_header(header))])
    except MultiFailed as error:
        if isinstance(error.cause, NodeExists):
            return None
        raise
    return OwnedGroup(group_id, path, header, FIRST_VERSION, {})


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
        owned.offsets = await read_offsets(store, owned.path)
        return True


async def read_offsets(store: Store, header_path: str) -> dict[str, TopicOffsets]:
    """Read a group's offsets by topic, after it was claimed.

    What vanishes meanwhile the next owner has removed, by whom ours is fenced already.
    Raises: ConnectionLost, SessionLost, RecordUnreadable.
    """
    try:
        names = await store.children(header_path)
    except NoNode:
        return {}
    found: dict[str, TopicOffsets] = {}
    limit = trio.CapacityLimiter(READS_IN_FLIGHT_MAX)
    failures: list[CoordinationError] = []

    async def read(topic_name: str) -> None:
        path = paths.group_offsets(header_path, topic_name)
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
