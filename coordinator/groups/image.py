"""A group as the store holds it: frozen values.

The membership is bytes here: what they say is the business of whoever runs the group.
Must never know: the store, znodes, members.
"""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct

NO_LEADER_EPOCH = -1


class CommittedOffset(Struct, frozen=True):
    """The next offset to read, and what was said with it.

    `leader_epoch` is that of the record before it (-1: not told); `committed_ms` is wall time.
    """

    offset: int
    leader_epoch: int = NO_LEADER_EPOCH
    metadata: str = ""
    committed_ms: int = 0


class TopicOffsets(Struct, frozen=True):
    """A group's offsets in one topic: in the incarnation of it that has this id."""

    topic_id: bytes
    partitions: Mapping[int, CommittedOffset]


class GroupHeader(Struct, frozen=True):
    """The value of a group's znode; `owner_epoch` grows with every claim."""

    owner_id: int
    owner_epoch: int
    membership: bytes = b""
