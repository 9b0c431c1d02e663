"""Committed offsets belong to one incarnation of a topic; which of them have outlived theirs.

A broker's view of the topics may be older than what another broker has committed. So of what does
not fit together the store is asked, by a session that has claimed the group: what it reads then is
no older than any of the group's offsets, and ids of topics are never used twice.
Must never know: groups, members, requests.
"""

from __future__ import annotations

from functools import partial
from operator import is_not
from typing import TYPE_CHECKING, Final

from coordinator import paths
from coordinator.groups.change import TopicChange
from coordinator.records import decode_topic
from coordinator.retry import until_answered
from coordinator.store import NoNode
from protocol.errors import CoordinationError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from broker.view import ClusterView
    from coordinator.cluster import ClusterState
    from coordinator.groups.image import TopicOffsets
    from coordinator.store import Store

VIEW_WAIT_S: Final = 5.0


class ViewBehind(CoordinationError):
    """This broker has not seen a topic in which the group has committed: ask again."""


def is_current(cluster: ClusterState, topic_name: str, kept: TopicOffsets) -> bool:
    """Say whether offsets are those of the topic that has this name now."""
    topic = cluster.topics.get(topic_name)
    return topic is not None and topic.topic_id == kept.topic_id


async def outlived_offsets(
    store: Store, view: ClusterView, offsets: Mapping[str, TopicOffsets]
) -> dict[str, TopicChange]:
    """Name what of a group's offsets is of topics that are gone, as changes that forget it.

    Returns once the view shows every topic of which there are other offsets.
    Raises: SessionLost, RecordUnreadable, ViewBehind (it takes too long).
    """
    changes = {}
    for name, kept in list(offsets.items()):
        while not is_current(seen := view.obeyed, name, kept):
            if await _topic_id(store, name) != kept.topic_id:
                changes[name] = TopicChange(kept.topic_id, dict.fromkeys(kept.partitions))
                break
            if not await view.wait_for(partial(is_not, seen), timeout_s=VIEW_WAIT_S):
                raise ViewBehind(f"topic {name!r} is newer than what this broker has seen")
    return changes


async def _topic_id(store: Store, name: str) -> bytes | None:
    try:
        value, stat = await until_answered(partial(store.get, paths.topic(name)))
    except NoNode:
        return None
    return decode_topic(name, value, version=stat.version).topic_id
