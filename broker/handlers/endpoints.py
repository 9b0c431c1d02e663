"""Which brokers a client is told of: the live ones, at the listener that the client came through.

Must never know: how brokers register.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from coordinator.cluster import BrokerRegistration, ClusterState, Endpoint


def endpoint_for(broker: BrokerRegistration, listener: str) -> Endpoint:
    """Choose the broker's listener of this name, or its first where it has none."""
    return next((e for e in broker.endpoints if e.listener == listener), broker.endpoints[0])


def controller_for_clients(cluster: ClusterState, broker_id: int) -> int:
    """Choose whom clients send what the controller decides: it, or us while none is there.

    Clients give up where there is no controller; we pass their request on once there is one.
    """
    return cluster.controller_id if cluster.controller_id in cluster.brokers else broker_id
