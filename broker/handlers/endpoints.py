"""Which brokers a client is told of: the live ones, at the listener that the client came through.

Must never know: how brokers register.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from coordinator.cluster import BrokerRegistration, ClusterState, Endpoint


def endpoint_for(broker: BrokerRegistration, listener: str) -> Endpoint:
    """Choose the broker's listener of this name, or its first where it has none."""
    return next((e for e in broker.endpoints if e.listener == listener), broker.endpoints[0])


class NamedLeader(Protocol):
    """Whom an answer names as the leader of a partition."""

    leader_id: int


def reach_leaders(
    named: Iterable[NamedLeader | None], cluster: Callable[[], ClusterState], listener: str
) -> Iterator[tuple[int, str, int, str | None]]:
    """Give id, host, port and rack of each that lives: a client told of a leader needs no more.

    Most answers name none, and the cluster is not looked at for them. Source: KIP-951.
    """
    for leader_id in dict.fromkeys(each.leader_id for each in named if each is not None):
        broker = cluster().brokers.get(leader_id)
        if broker is not None:
            endpoint = endpoint_for(broker, listener)
            yield broker.broker_id, endpoint.host, endpoint.port, broker.rack


def controller_for_clients(cluster: ClusterState, broker_id: int) -> int:
    """Choose whom clients send what the controller decides: it, or us while none is there.

    Clients give up where there is no controller; we pass their request on once there is one.
    """
    return cluster.controller_id if cluster.controller_id in cluster.brokers else broker_id
