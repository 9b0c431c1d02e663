"""Waiting to have heard of what a client knows already.

Brokers hear of a new leader one after the other, within milliseconds. A client that was told by
the first of them is at the new leader before that knows: refused, it would stay away for as long
as it pauses between two looks at the cluster, which may be seconds.
Must never know: requests, what is done once it is known.
Source: KIP-320 (UNKNOWN_LEADER_EPOCH), KIP-951 (clients follow a leader without asking anew).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Collection

    from broker.view import ClusterView
    from coordinator.cluster import ClusterState

    LeaderKnown = tuple[str, int, int]
    """A partition by topic and number, and the leader epoch under which a client believes it."""

WITHIN_S: Final = 0.5
"""Who is behind for longer has lost the coordinator, or the client knows of another cluster."""


class CatchingUp:
    """Compares what clients know of leaders with what this broker acts on."""

    def __init__(self, view: ClusterView) -> None:
        self._view = view

    def is_behind(self, known: Collection[LeaderKnown]) -> bool:
        """Say whether a client knows of a newer leader epoch than this broker."""
        return not _has_all(self._view.obeyed, known)

    async def wait(self, known: Collection[LeaderKnown]) -> None:
        """Return once this broker acts on all that is known, or the time is over."""
        await self._view.wait_for(lambda cluster: _has_all(cluster, known), timeout_s=WITHIN_S)


def _has_all(cluster: ClusterState, known: Collection[LeaderKnown]) -> bool:
    for topic, index, leader_epoch in known:
        state = cluster.partition(topic, index)
        if state is not None and state.leader_epoch < leader_epoch:
            return False
    return True
