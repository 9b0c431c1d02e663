"""A broker, assembled from ports: nothing here knows whether they are real or simulated.

Must never know: real disks, sockets, clocks, stores (see runtime.py).
"""

from __future__ import annotations

from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

import structlog
import trio
from msgspec.structs import replace

from broker.confirmation import Confirmation
from broker.damage import is_borne
from broker.dispatch import Dispatch
from broker.dynamic_config import DynamicConfig, check_broker_config
from broker.faults import parse_faults
from broker.fetch_sessions import ID_MAX as SESSION_ID_MAX
from broker.fetch_sessions import FetchSessionCache
from broker.groups.manager import Groups
from broker.housekeeper import Housekeeper
from broker.identity import adopt_cluster, take_directory
from broker.lease import Lease
from broker.log.directory import DataDirectory
from broker.log.errors import LogDamaged
from broker.log.flush import Flusher
from broker.partition_context import PartitionContext
from broker.partitions import Partitions
from broker.peers import Peers
from broker.replication.fetcher import LeaderFetcher
from broker.replication.fetchers import Fetchers
from broker.replication.isr import IsrKeeper
from broker.replication.throttle import Throttle, Throttles
from broker.routes import routes
from broker.schema_guard import SchemaGuard
from broker.server import Server
from broker.session import BrokerSession, Household
from broker.settings import INT32_MAX
from broker.shutdown import hand_over
from broker.topic_config import check_topic_config
from broker.view import ClusterView
from coordinator.bootstrap import new_cluster_id
from coordinator.cluster import Endpoint
from coordinator.controller import Controller
from coordinator.errors import BrokerIdInUse, NotController
from coordinator.events import ConfigChecks
from coordinator.membership import BrokerFacts
from coordinator.store import SessionLost
from protocol.errors import CoordinationError, StorageError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from broker.config import BrokerConfig
    from broker.log.directory import DirectoryId
    from broker.log.disk import Disk
    from broker.partition import Partition
    from client.environment import Environment, NetworkListener
    from coordinator.cluster import ClusterState
    from coordinator.store import Store, StoreFactory
    from coordinator.watcher import ClusterWatcher

log_events = structlog.get_logger()

NEXT_SESSION_PAUSE_S = 0.2
STOP_GRACE_S = 2.0
FAULTS_HINT = "start this broker with ottla.fault.injection=true, for tests only"
ALTER_PARTITION_VERSION = 3


class Broker:
    """One broker of a cluster. `run` serves until `stop` is called or the disk fails."""

    def __init__(
        self,
        config: BrokerConfig,
        *,
        environment: Environment,
        disk: Disk,
        connect_store: StoreFactory,
        connections_possible: int = INT32_MAX,
        run_in_thread: Callable[[Callable[[], None]], Awaitable[None]] | None = None,
    ) -> None:
        self.config = config
        self.broker_id = config.node.node_id
        self.view = ClusterView()
        self.settings = DynamicConfig(config, cluster=lambda: self.view.latest)
        self._environment = environment
        self._disk = disk
        self._connect_store = connect_store
        self._directory = DataDirectory(disk, config.node.log_dirs)
        self._lease = Lease()
        self._stopping = trio.Event()
        self._cluster_seen = trio.Event()
        self._storage_error: StorageError | None = None
        self._session: BrokerSession | None = None
        self._flusher = Flusher(disk)
        self.peers = Peers(
            network=environment.network,
            view=self.view,
            client_id=f"ottla-broker-{self.broker_id}",
        )
        self.throttles = Throttles(
            leader=Throttle(self.settings.leader_throttle_rate),
            follower=Throttle(self.settings.follower_throttle_rate),
        )
        self._fetchers = Fetchers(self._make_fetcher)
        self.partitions = self._make_partitions()
        self.confirmation = Confirmation(self.broker_id, self.view, lambda: self.store)
        self.isr_keeper = self._make_isr_keeper()
        self._housekeeper = Housekeeper(
            self.partitions, config, losses_told=self._cluster_seen, storage_failed=self._fail
        )
        self.schemas = SchemaGuard(self.peers.bootstrap, environment, run_in_thread)
        self.groups = self._make_groups()
        self.fetch_sessions = self._make_fetch_sessions()
        self._dispatch = Dispatch(routes(self))
        self._server = Server(
            self._dispatch, config.network, connections_possible=connections_possible
        )
        self._planted = ""

    @property
    def is_stopping(self) -> bool:
        """Whether it has been told to stop, or stops because its disk has failed."""
        return self._stopping.is_set()

    def stop(self) -> None:
        """Have `run` hand over what is led here and return."""
        self._stopping.set()

    def controller(self) -> Controller:
        """Give our candidate for deciding. Raises: NotController without a session."""
        if self._session is None:
            raise NotController(controller_id=self.view.latest.controller_id)
        return self._session.controller

    def wall_ms(self) -> int:
        """Give the wall clock's time in milliseconds since 1970."""
        return self._environment.wall_ms()

    def cluster_for_clients(self) -> ClusterState:
        """Give the cluster as clients are to see it: without us, while others may have taken over.

        A broker cut off from the coordinator would else send clients back to itself for ever.
        """
        state = self.view.obeyed
        return state if self._lease.held() else state.without_broker(self.broker_id)

    @property
    def store(self) -> Store:
        """The coordination store, for this session. Raises: SessionLost without one."""
        if self._session is None:
            raise SessionLost("this broker has no session with the coordinator")
        return self._session.store

    async def run(
        self, *, task_status: trio.TaskStatus[Mapping[str, int]] = trio.TASK_STATUS_IGNORED
    ) -> None:
        """Serve. Reports the ports of the listeners by name, once registered and obeying.

        Raises: StorageError (no data directory, or it failed), ConfigError, OSError (port taken).
        """
        async with AsyncExitStack() as stack:
            identity = take_directory(
                self._directory,
                broker_id=self.broker_id,
                random_bytes=self._environment.random.randbytes,
                stack=stack,
            )
            clean = self._directory.take_clean_marker()
            self.partitions.load(clean=clean)
            listeners = await self._listen(stack)
            async with trio.open_nursery() as nursery:
                for task in (
                    self._flusher.run,
                    self._fetchers.run,
                    self.isr_keeper.run,
                    self._housekeeper.run,
                    self.schemas.run,
                ):
                    nursery.start_soon(task)
                nursery.start_soon(self._serve, listeners)
                ports = {name: listener.port for name, listener in listeners.items()}
                facts = self._facts(identity, ports, clean=clean)
                await self._serve_until_stopped(facts, ports, task_status)
                if self._cluster_seen.is_set():
                    await self._server.stop(grace_s=STOP_GRACE_S)
                nursery.cancel_scope.cancel()
            if self._storage_error is not None:
                raise self._storage_error
            if self._cluster_seen.is_set() or (facts.clean and not facts.lossy):
                await self.partitions.close()
            # Else we found losses that nobody knows of: the next start has to find them again.

    async def _serve(self, listeners: Mapping[str, NetworkListener]) -> None:
        """Accept connections once we have seen the cluster; until then they wait.

        A client that is told of no brokers may forget all those it knows (librdkafka does).
        """
        await self._cluster_seen.wait()
        await self._server.run(listeners, peers_listener=self.config.node.peers_listener)

    # Sessions with the coordinator.

    async def _serve_until_stopped(
        self,
        facts: BrokerFacts,
        ports: Mapping[str, int],
        task_status: trio.TaskStatus[Mapping[str, int]],
    ) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._live_sessions, facts, ports, task_status)
            await self._stopping.wait()
            if self._storage_error is None and self._lease.held():
                await hand_over(self.partitions, self.peers, self.view, broker_id=self.broker_id)
            nursery.cancel_scope.cancel()

    async def _live_sessions(
        self,
        facts: BrokerFacts,
        ports: Mapping[str, int],
        task_status: trio.TaskStatus[Mapping[str, int]],
    ) -> None:
        """Live one session after another, for ever."""
        while True:
            try:
                async with self._connect_store() as store, trio.open_nursery() as nursery:
                    self._session = BrokerSession(store, facts, self._household())
                    await nursery.start(self._session.run)
                    self._cluster_seen.set()
                    task_status.started(ports)
                    task_status = trio.TASK_STATUS_IGNORED
            except* BrokerIdInUse:
                raise
            except* CoordinationError as group:
                log_events.warning("session_ended", reason=str(group.exceptions[0]))
            finally:
                self._lease.give_up()
                self._session = None
            if self._cluster_seen.is_set():
                # The loss of an unclean stop is told, and this process has lost nothing since.
                facts = replace(facts, clean=True, lossy=frozenset())
            facts = replace(facts, offline=self.partitions.offline_replicas())
            await trio.sleep(NEXT_SESSION_PAUSE_S)

    def _household(self) -> Household:
        return Household(
            partitions=self.partitions,
            peers=self.peers,
            groups=self.groups,
            view=self.view,
            lease=self._lease,
            make_controller=self._make_controller,
            new_cluster_id=lambda: new_cluster_id(self._environment.random.randbytes),
            adopt_settings=self._adopt_settings,
            hang_up=self._server.hang_up,
            adopt_cluster=lambda cluster_id: adopt_cluster(self._directory, cluster_id),
        )

    def _adopt_settings(self, cluster: ClusterState) -> None:
        """Have what does not look for itself follow what we are given at run time."""
        self.partitions.set_topic_defaults(self.settings.topic_defaults(cluster))
        network = self.settings.as_of(cluster).network
        self._server.limit_connections(network.max_connections)
        self._plant(network.faults)

    def _plant(self, faults: str) -> None:
        """Have requests meet other faults than until now, if any may be planted here."""
        if faults == self._planted:
            return
        self._planted = faults
        if not self.config.network.fault_injection:
            log_events.warning("faults_not_planted", faults=faults, hint=FAULTS_HINT)
            return
        log_events.warning("faults_planted", faults=faults or "none")
        self._dispatch.plant(parse_faults(faults))

    def _make_controller(self, store: Store, watcher: ClusterWatcher) -> Controller:
        return Controller(
            store,
            self.broker_id,
            watcher,
            random_bytes=self._environment.random.randbytes,
            checks=ConfigChecks(topic=check_topic_config, broker=check_broker_config),
            rebalances=lambda: self.settings.current.replication.auto_leader_rebalance_enable,
        )

    # Parts.

    def _make_fetcher(self, leader_id: int) -> LeaderFetcher:
        return LeaderFetcher(
            leader_id,
            broker_id=self.broker_id,
            broker_epoch=lambda: self.view.broker_epoch,
            connect=self.peers.connect,
            config=self.config.replication,
        )

    def _make_fetch_sessions(self) -> FetchSessionCache:
        config = self.config.fetch_sessions
        return FetchSessionCache(
            slots=config.max_incremental_fetch_session_cache_slots,
            partitions_max=config.fetch_session_partitions_max,
            eviction_s=config.min_incremental_fetch_session_eviction_ms / 1000,
            random_id=lambda: self._environment.random.randint(1, SESSION_ID_MAX),
        )

    def _make_partitions(self) -> Partitions:
        context = PartitionContext(
            broker_id=self.broker_id,
            flusher=self._flusher,
            lease_held=self._lease.held,
            storage_failed=self._fail_replica,
            is_borne=lambda one, error: is_borne(one, error, self.view.latest.brokers),
            checkpoint_due=lambda: self.partitions.checkpoints.write_soon(),  # noqa: PLW0108 - not yet
            throttles=self.throttles,
            isr_due=lambda one: self.isr_keeper.look_at(one),  # noqa: PLW0108 - not yet
            leaving=self._stopping.is_set,
        )
        return Partitions(
            disk=self._disk,
            directory=self._directory,
            context=context,
            fetchers=self._fetchers,
            topic_defaults=self.settings.topic_defaults(self.view.latest),
            wall_ms=self._environment.wall_ms,
        )

    def _make_isr_keeper(self) -> IsrKeeper:
        return IsrKeeper(
            broker_id=self.broker_id,
            broker_epoch=lambda: self.view.broker_epoch,
            eligible=self.view.may_join_isr,
            led=self.partitions.led,
            call_controller=lambda request: self.peers.call_controller(
                request, version=ALTER_PARTITION_VERSION
            ),
            lag_time_max_s=self.config.replication.replica_lag_time_max_ms / 1000,
        )

    def _make_groups(self) -> Groups:
        return Groups(
            self.broker_id,
            self.config.groups,
            view=self.view,
            lease=self._lease,
            environment=self._environment,
        )

    def _fail_replica(self, partition: Partition, error: StorageError) -> None:
        """Give up one replica whose log is damaged, or all where it is the disk that refuses."""
        if isinstance(error, LogDamaged):
            self.partitions.take_offline(partition, error)
        else:
            self._fail(error)

    def _fail(self, error: StorageError) -> None:
        # One data directory: when it fails the broker has nothing left to serve with, and leaves
        # leadership to those who have (Kafka stops as well when its last log directory fails).
        if self._storage_error is None:
            self._storage_error = error
            log_events.error("data_directory_failed", error=str(error))
            self._distrust_syncs()
            self.stop()

    def _distrust_syncs(self) -> None:
        """Have the next start write again what a failed sync may have left in memory alone."""
        try:
            self._directory.distrust_syncs()
        except StorageError as error:
            log_events.exception("failure_not_noted", error=str(error))

    # What we are, and where we listen.

    def _facts(
        self, identity: DirectoryId, ports: Mapping[str, int], *, clean: bool
    ) -> BrokerFacts:
        endpoints = self.config.node.advertised_listeners or tuple(
            Endpoint(e.host, ports[e.listener], e.listener) for e in self.config.node.listeners
        )
        return BrokerFacts(
            broker_id=self.broker_id,
            endpoints=endpoints,
            rack=self.config.node.broker_rack,
            directory_id=identity.directory_id.hex(),
            clean=clean,
            lossy=self.partitions.lossy_replicas(),
            offline=self.partitions.offline_replicas(),
        )

    async def _listen(self, stack: AsyncExitStack) -> dict[str, NetworkListener]:
        listeners = {}
        for endpoint in self.config.node.listeners:
            listener = await self._environment.network.listen(endpoint.host, endpoint.port)
            stack.push_async_callback(listener.aclose)
            listeners[endpoint.listener] = listener
        return listeners
