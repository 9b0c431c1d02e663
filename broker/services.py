"""What handlers may ask of the broker that they serve: a port, so that a table of them can be made.

Must never know: which handler needs what, how the broker comes by it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from broker.config import BrokerConfig
    from broker.confirmation import Confirmation
    from broker.dynamic_config import DynamicConfig
    from broker.fetch_sessions import FetchSessionCache
    from broker.groups.manager import Groups
    from broker.partitions import Partitions
    from broker.peers import Peers
    from broker.replication.isr import IsrKeeper
    from broker.schema_guard import SchemaGuard
    from broker.view import ClusterView
    from coordinator.cluster import ClusterState
    from coordinator.controller import Controller
    from coordinator.store import Store


class Services(Protocol):
    """What handlers need of the broker that they serve."""

    @property
    def broker_id(self) -> int:
        """The broker's id."""

    @property
    def config(self) -> BrokerConfig:
        """Its configuration as it was started."""

    @property
    def settings(self) -> DynamicConfig:
        """Its configuration as it is now."""

    @property
    def partitions(self) -> Partitions:
        """The replicas that it hosts."""

    @property
    def confirmation(self) -> Confirmation:
        """Whoever knows whether they are led here still."""

    @property
    def schemas(self) -> SchemaGuard:
        """What records are held against, in topics that ask for it."""

    @property
    def groups(self) -> Groups:
        """The consumer groups that it owns."""

    @property
    def fetch_sessions(self) -> FetchSessionCache:
        """What is remembered of readers between their fetches."""

    @property
    def isr_keeper(self) -> IsrKeeper:
        """Whoever is to hear of followers that fetch."""

    @property
    def peers(self) -> Peers:
        """The way to other brokers."""

    @property
    def view(self) -> ClusterView:
        """What it knows of the cluster."""

    @property
    def store(self) -> Store:
        """This session with the coordinator. Raises: SessionLost without one."""

    def controller(self) -> Controller:
        """Give its own controller, active or not. Raises: NotController without a session."""

    def wall_ms(self) -> int:
        """Give the wall clock's time."""

    def cluster_for_clients(self) -> ClusterState:
        """Give the cluster as clients are to see it."""
