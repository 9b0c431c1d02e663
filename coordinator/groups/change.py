"""What is to be changed of a group, and the operations that do it: pure.

Several changes fold into one: what was asked last counts, partition by partition.
Must never know: the store, who waits.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from msgspec import Struct, field
from msgspec.structs import replace

from coordinator import paths
from coordinator.groups.image import TopicOffsets
from coordinator.groups.records import encode_header, encode_offsets
from coordinator.store import Check, Create, Delete, Set

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from coordinator.groups.image import CommittedOffset, GroupHeader
    from coordinator.groups.znodes import OwnedGroup
    from coordinator.store import Operation

OPERATION_BYTES: Final = 64
"""What an operation weighs besides its path and value."""


class TopicChange(Struct, frozen=True):
    """Offsets to keep (None: to forget) in the incarnation of a topic that has this id."""

    topic_id: bytes
    partitions: Mapping[int, CommittedOffset | None]


class Change(Struct, frozen=True):
    """What somebody wants of one group; nothing at all asks whether the group is ours still.

    `membership` None leaves it as it is; `deleted` takes the whole group away.
    """

    topics: Mapping[str, TopicChange] = field(default_factory=dict)
    membership: bytes | None = None
    deleted: bool = False


class Plan(Struct, frozen=True):
    """A group as it is to become, and how: the first of `operations` is the fence."""

    header: GroupHeader
    offsets: Mapping[str, TopicOffsets]
    operations: tuple[Operation, ...]
    sets_header: bool

    @property
    def size_bytes(self) -> int:
        """What the operations weigh in a multi."""
        return sum(
            OPERATION_BYTES + len(each.path) + len(getattr(each, "value", b""))
            for each in self.operations
        )


def plan(owned: OwnedGroup, changes: Iterable[Change]) -> Plan:
    """Fold changes into one, on top of what is durable of a group."""
    header = owned.header
    drafts: dict[str, _Draft] = {}
    for change in changes:
        if change.deleted:
            return _deletion(owned)
        if change.membership is not None:
            header = replace(header, membership=change.membership)
        for name, wanted in change.topics.items():
            if name not in drafts:
                drafts[name] = _Draft(owned.offsets.get(name))
            drafts[name].apply(wanted)
    sets_header = header is not owned.header
    operations: list[Operation] = [
        Set(owned.path, encode_header(header), version=owned.version)
        if sets_header
        else Check(owned.path, version=owned.version)
    ]
    offsets = dict(owned.offsets)
    for name, draft in drafts.items():
        operations += _topic_write(owned, name, draft)
        if draft.partitions:
            offsets[name] = TopicOffsets(draft.topic_id, draft.partitions)
        else:
            offsets.pop(name, None)
    return Plan(header, offsets, tuple(operations), sets_header)


class _Draft:
    """The offsets of one topic, as change after change makes them."""

    __slots__ = ("is_changed", "partitions", "topic_id")

    def __init__(self, before: TopicOffsets | None) -> None:
        self.topic_id = b"" if before is None else before.topic_id
        self.partitions = {} if before is None else dict(before.partitions)
        self.is_changed = False

    def apply(self, wanted: TopicChange) -> None:
        """Do one change; offsets to keep take the place of those of an earlier incarnation."""
        if wanted.topic_id != self.topic_id:
            if all(committed is None for committed in wanted.partitions.values()):
                return  # what is to be forgotten of the other incarnation is not here any more
            self.topic_id, self.partitions = wanted.topic_id, {}
        self.is_changed = True
        for index, committed in wanted.partitions.items():
            if committed is None:
                self.partitions.pop(index, None)
            else:
                self.partitions[index] = committed


def _topic_write(owned: OwnedGroup, name: str, draft: _Draft) -> tuple[Operation, ...]:
    path = paths.group_offsets(owned.path, name)
    known = name in owned.offsets
    if not draft.is_changed or not (known or draft.partitions):
        return ()
    if not draft.partitions:
        return (Delete(path),)
    value = encode_offsets(draft.topic_id, draft.partitions)
    return (Set(path, value) if known else Create(path, value),)


def _deletion(owned: OwnedGroup) -> Plan:
    """Take everything away, with the znode above that this incarnation alone was in."""
    topics = [Delete(paths.group_offsets(owned.path, name)) for name in owned.offsets]
    operations: tuple[Operation, ...] = (
        Check(owned.path, version=owned.version),
        *topics,
        Delete(owned.path, version=owned.version),
        Delete(paths.parent(owned.path)),
    )
    return Plan(owned.header, {}, operations, sets_header=False)
