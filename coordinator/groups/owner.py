"""Which broker is a group's: rendezvous hashing, the same answer everywhere.

When a broker comes or goes only its own share of the groups moves.
Must never know: the store, whether that broker has taken the group.
Source: Thaler and Ravishankar, "A name-based mapping scheme for rendezvous", 1996.
"""

from __future__ import annotations

from hashlib import blake2b
from typing import TYPE_CHECKING

from coordinator.cluster import NO_LEADER

if TYPE_CHECKING:
    from collections.abc import Iterable

    from coordinator.cluster import ClusterState

NOBODY = NO_LEADER


def owner_of(group_id: str, broker_ids: Iterable[int]) -> int:
    """Choose the group's broker among these; NOBODY where there is none."""
    key = group_id.encode()
    return max(broker_ids, key=lambda broker_id: _weight(key, broker_id), default=NOBODY)


def group_brokers(cluster: ClusterState) -> tuple[int, ...]:
    """List the brokers that may own groups: the live ones that are not about to leave."""
    steady = tuple(b.broker_id for b in cluster.brokers.values() if not b.shutting_down)
    return steady or tuple(cluster.brokers)


def _weight(key: bytes, broker_id: int) -> tuple[bytes, int]:
    salt = broker_id.to_bytes(8, signed=True)
    return blake2b(key, digest_size=8, salt=salt).digest(), broker_id
