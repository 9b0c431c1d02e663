"""What is to be changed of a group, and the operations that do it: pure.

Several changes fold into one: what was asked last counts, partition by partition.
Must never know: the store, who waits.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final

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


@dataclass(frozen=True, slots=True)
class TopicChange:
    """Offsets to keep (None: to forget) in the incarnation of a topic that has this id."""

    topic_id: bytes
    partitions: Mapping[int, CommittedOffset | None]


@dataclass(frozen=True, slots=True)
class Change:
    """What somebody wants of one group; nothing at all asks whether the group is ours still.

    `membership` None leaves it as it is; `deleted` takes the whole group away.
    """

    topics: Mapping[str, TopicChange] = field(default_factory=dict)
    membership: bytes | None = None
    deleted: bool = False


@dataclass(frozen=True, slots=True)
class Plan:
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
    offsets = dict(owned.offsets)
    header = owned.header
    touched: dict[str, None] = {}
    for change in changes:
        if change.deleted:
            return _deletion(owned)
        if change.membership is not None:
            header = replace(header, membership=change.membership)
        for name, wanted in change.topics.items():
            touched[name] = None
            after = _applied(offsets.get(name), wanted)
            if after.partitions:
                offsets[name] = after
            else:
                offsets.pop(name, None)
    sets_header = header is not owned.header
    fence: Operation = (
        Set(owned.path, encode_header(header), version=owned.version)
        if sets_header
        else Check(owned.path, version=owned.version)
    )
    writes = (_topic_write(owned, name, offsets.get(name)) for name in touched)
    operations: list[Operation] = [fence]
    operations += [each for each in writes if each is not None]
    return Plan(header, offsets, tuple(operations), sets_header)


def _applied(before: TopicOffsets | None, wanted: TopicChange) -> TopicOffsets:
    known = before.partitions if before is not None and before.topic_id == wanted.topic_id else {}
    merged = {**known, **wanted.partitions}
    kept = {index: each for index, each in merged.items() if each is not None}
    return TopicOffsets(wanted.topic_id, kept)


def _topic_write(owned: OwnedGroup, name: str, after: TopicOffsets | None) -> Operation | None:
    path = paths.group_offsets(owned.group_id, name)
    known = name in owned.offsets
    if after is None:
        return Delete(path) if known else None
    value = encode_offsets(after.topic_id, after.partitions)
    return Set(path, value) if known else Create(path, value)


def _deletion(owned: OwnedGroup) -> Plan:
    topics = [Delete(paths.group_offsets(owned.group_id, name)) for name in owned.offsets]
    fence: Operation = Check(owned.path, version=owned.version)
    operations = (fence, *topics, Delete(owned.path, version=owned.version))
    return Plan(owned.header, {}, operations, sets_header=False)
