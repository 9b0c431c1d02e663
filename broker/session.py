"""A broker's life within one session with the coordinator: registered, watching, obeying.

When the session ends everything here ends with it and begins anew with the next one; partitions
live on, without the lease. So do connections of clients, until the next registration: what was sent
to the one before may come late, after others have taken over and given back. It must not be
carried out then: an offset that was committed meanwhile would fall.
Must never know: requests, logs, how a session is opened.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

import structlog
import trio
from msgspec import Struct

from broker.detector import FailureDetector
from coordinator.bootstrap import prepare
from coordinator.freshness import is_current
from coordinator.membership import register, remove_dead, tell_offline, wait_deregistered
from coordinator.store import ConnectionLost, SessionLost
from coordinator.tombstones import confirm_deleted
from coordinator.watcher import ClusterWatcher

if TYPE_CHECKING:
    from collections.abc import Callable, Set
    from typing import NoReturn

    from broker.groups.manager import Groups
    from broker.lease import Lease
    from broker.partitions import Partitions
    from broker.peers import Peers
    from broker.view import ClusterView
    from coordinator.cluster import BrokerRegistration, ClusterState
    from coordinator.controller import Controller
    from coordinator.membership import BrokerFacts
    from coordinator.store import Store

ROOM_PAUSE_S: Final = 5.0
"""Until a replica for which a disk has no room is tried again."""

SIGN_OFFS_AT_ONCE_MAX: Final = 16
"""Thousands of topics may be deleted at once, and their reports are not all there is to ask for."""

log_events = structlog.get_logger()


class Household(Struct, frozen=True):
    """What a session works on: it outlives every session."""

    partitions: Partitions
    peers: Peers
    groups: Groups
    view: ClusterView
    lease: Lease
    make_controller: Callable[[Store, ClusterWatcher], Controller]
    new_cluster_id: Callable[[], str]
    adopt_settings: Callable[[ClusterState], None]
    """Called with every state of the cluster, before the partitions obey it."""
    hang_up: Callable[[], None]
    """Called before anything is done under a new registration: ends what clients asked earlier."""
    adopt_cluster: Callable[[str], None]
    """Called with the id of the cluster found; raises where the data belongs to another one."""


class BrokerSession:
    """One registration of this broker, from first to last."""

    def __init__(self, store: Store, facts: BrokerFacts, household: Household) -> None:
        self.store = store
        self._facts = facts
        self._household = household
        self._offline_told = facts.offline
        self._telling_offline = trio.Lock()
        self._dropped: Set[bytes] = frozenset()
        self._to_sign_off, self._signing_off = trio.open_memory_channel[bytes](math.inf)
        self._watcher = ClusterWatcher(store)
        self.controller = household.make_controller(store, self._watcher)

    async def run(
        self, *, task_status: trio.TaskStatus[BrokerRegistration] = trio.TASK_STATUS_IGNORED
    ) -> NoReturn:
        """Register and take part until cancelled. Reports the registration once it obeys.

        Raises: CoordinationError when the session or the registration is lost.
        """
        household = self._household
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._end_with_session)
            household.adopt_cluster(
                await prepare(self.store, new_cluster_id=household.new_cluster_id)
            )
            await nursery.start(self._watcher.run)
            registration = await register(self.store, self._facts)
            household.hang_up()
            household.view.broker_epoch = registration.broker_epoch
            household.lease.take(self.store)
            log_events.info("registered", broker_epoch=registration.broker_epoch)
            nursery.start_soon(self._end_with_registration, registration)
            nursery.start_soon(self.controller.run)
            nursery.start_soon(self._watch_peers)
            for _ in range(SIGN_OFFS_AT_ONCE_MAX):
                nursery.start_soon(self._sign_off, registration)
            await nursery.start(self._obey, registration)
            nursery.start_soon(self._tell_of_damage, registration)
            nursery.start_soon(household.groups.serve, self.store)
            task_status.started(registration)
        raise AssertionError("the tasks of a session end by raising")

    async def _end_with_session(self) -> None:
        await self.store.wait_lost()
        raise SessionLost("the coordinator ended this broker's session")

    async def _end_with_registration(self, registration: BrokerRegistration) -> None:
        await wait_deregistered(self.store, registration)
        raise SessionLost("another broker took this one for dead and removed its registration")

    async def _obey(
        self,
        registration: BrokerRegistration,
        *,
        task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
    ) -> None:
        """Have the partitions follow every state of the cluster, then show it to clients.

        The first is one that has ourselves in it: what was before is none of our business.
        """
        household = self._household
        state = self._watcher.state
        while not _shows(state, registration):
            state = await self._watcher.wait_changed(state)
        while True:
            household.view.hear(state)
            if state.deleted_topics:
                await household.partitions.delete_topics(state.deleted_topics)
            household.adopt_settings(state)
            epoch = registration.broker_epoch
            is_done = await household.partitions.obey(state, broker_epoch=epoch)
            household.view.publish(state)
            task_status.started()
            task_status = trio.TASK_STATUS_IGNORED
            self._sign_off_soon(state)
            await self._drop_unlisted()
            await self._tell_offline(registration)
            with trio.move_on_after(math.inf if is_done else ROOM_PAUSE_S):
                state = await self._watcher.wait_changed(state)

    def _sign_off_soon(self, state: ClusterState) -> None:
        """Have it reported that we hold nothing of the deleted topics; others may take days to."""
        for topic_id in state.deleted_topics:
            if topic_id not in self._dropped:
                self._to_sign_off.send_nowait(topic_id)
        self._dropped = state.deleted_topics.keys()

    async def _sign_off(self, registration: BrokerRegistration) -> None:
        """Report one topic after the other; what a session has not reported the next one will."""
        async for topic_id in self._signing_off:
            await confirm_deleted(self.store, topic_id, registration.broker_id)

    async def _drop_unlisted(self) -> None:
        """Delete replicas that were reassigned to others, where that is certain.

        What we have read may be old: we may be listed again, and counted on. Once the store has
        confirmed it nobody counts on these replicas; and nobody will, before we have fetched anew
        what a later state gives us, which is obeyed after this.
        """
        for topic in self._household.partitions.unlisted:
            if await is_current(self.store, topic):
                await self._household.partitions.drop_unlisted(topic)

    async def _tell_of_damage(self, registration: BrokerRegistration) -> None:
        """Have it known of each replica that goes offline, so that others may lead."""
        partitions = self._household.partitions
        while True:
            partitions.offline_changed = trio.Event()
            await self._tell_offline(registration)
            await partitions.offline_changed.wait()

    async def _tell_offline(self, registration: BrokerRegistration) -> None:
        """Have it known which replicas are damaged now: others, or none where one was dropped."""
        async with self._telling_offline:
            offline = self._household.partitions.offline_replicas()
            if offline != self._offline_told:
                await tell_offline(self.store, registration, offline)
                self._offline_told = offline

    async def _watch_peers(self) -> None:
        detector = FailureDetector(
            self._facts.broker_id,
            open_stream=self._household.peers.open_stream,
            remove_dead=self._remove_dead,
        )
        await detector.run(self._watcher.state, self._watcher.wait_changed)

    async def _remove_dead(self, registration: BrokerRegistration) -> bool:
        try:
            return await remove_dead(self.store, registration)
        except ConnectionLost:
            # Whether it was removed is unknown; the view will tell, or it is tried again.
            return False


def _shows(state: ClusterState, registration: BrokerRegistration) -> bool:
    """Say whether a state is at least as new as a registration."""
    seen = state.brokers.get(registration.broker_id)
    return seen is not None and seen.broker_epoch >= registration.broker_epoch
