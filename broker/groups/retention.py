"""Which committed offsets are kept no longer: pure decisions.

Must never know: the store, clocks.
Source: KIP-211 (offsets of a group expire after it became empty, or after its topic was left).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from broker.groups.state import State
from coordinator.groups.change import TopicChange

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from broker.groups.group import Group
    from coordinator.groups.image import CommittedOffset, TopicOffsets


def expired_offsets(
    group: Group,
    offsets: Mapping[str, TopicOffsets],
    *,
    subscribed: Collection[str] | None,
    retention_ms: int,
    now_ms: int,
) -> dict[str, TopicChange]:
    """Name the offsets that have outlived their use, as changes that forget them.

    While a group has members the offsets of what they read are kept, however old; `subscribed` None
    says that this is not known, and keeps all. So does a rebalance: who reads what shows after it.
    """
    changes: dict[str, TopicChange] = {}
    if group.state not in (State.EMPTY, State.STABLE):
        return changes
    for topic, kept in offsets.items():
        if group.state is State.STABLE and (subscribed is None or topic in subscribed):
            continue
        old = [
            index
            for index, committed in kept.partitions.items()
            if now_ms - _unused_since_ms(group, committed) >= retention_ms
        ]
        if old:
            changes[topic] = TopicChange(kept.topic_id, dict.fromkeys(old))
    return changes


def offsets_of_deleted_topics(
    offsets: Mapping[str, TopicOffsets], deleted_ids: Collection[bytes]
) -> dict[str, TopicChange]:
    """Name the offsets in topics that are known to be deleted.

    That a topic is not known here says nothing: this broker may be the last to hear of a new one.
    """
    return {
        topic: TopicChange(kept.topic_id, dict.fromkeys(kept.partitions))
        for topic, kept in offsets.items()
        if kept.topic_id in deleted_ids
    }


def _unused_since_ms(group: Group, committed: CommittedOffset) -> int:
    if group.state is State.EMPTY and group.protocol_type:
        return max(group.empty_since_ms, committed.committed_ms)
    return committed.committed_ms
