"""Keeps a ClusterState current by the watches of one session: nothing is polled.

Each znode has at most one read under way, so what is read of it never goes back. Many changes at
once are read side by side and published together: a cluster of thousands of topics is copied a
few times, not once for each topic.
Must never know: decisions, what a broker does with the state.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import trio

from coordinator import paths, records
from coordinator.cluster import ClusterState
from coordinator.draft import Draft
from coordinator.store import ConnectionLost, NoNode, SessionLost
from protocol.errors import CoordinationError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Mapping

    from coordinator.cluster import TopicState
    from coordinator.store import Store

READS_IN_FLIGHT_MAX: Final = 64
PUBLISH_DELAY_MAX_S: Final = 0.02
"""How long a change that has been read waits for others that are being read."""
RETRY_PAUSE_S: Final = 0.05

_NEVER: Final = float("inf")
_URGENT: Final = frozenset({paths.CONTROLLER, paths.BROKER_IDS, paths.ACKNOWLEDGED})


class ClusterWatcher:
    """What this broker believes of the cluster, read again whenever a watch says so."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._draft = Draft()
        self._state = ClusterState()
        self._changed = trio.Event()
        self._publish_at = _NEVER
        # Reads: what is to be read (urgent first), is being read, changed while being read.
        self._urgent: dict[str, None] = {}
        self._ordinary: dict[str, None] = {}
        self._in_flight: set[str] = set()
        self._again: set[str] = set()
        self._watches: dict[str, Callable[[], None]] = {}
        self._rereads: dict[str, list[trio.Event]] = {}
        self._read_unpublished: list[trio.Event] = []
        self._woken = trio.Event()
        self._quiet = trio.lowlevel.ParkingLot()
        self._failure: CoordinationError | None = None
        self._readers: Mapping[str, Callable[[], Awaitable[None]]] = {
            paths.CLUSTER: self._read_cluster,
            paths.CONFIG: self._read_config,
            paths.CONTROLLER: self._read_controller,
            paths.ACKNOWLEDGED: self._read_acknowledged,
            paths.BROKER_IDS: self._list_brokers,
            paths.TOPICS: self._list_topics,
            paths.DELETED: self._list_deleted,
        }
        self._child_readers: Mapping[str, Callable[[str], Awaitable[None]]] = {
            paths.BROKER_IDS: self._read_broker,
            paths.TOPICS: self._read_topic,
            paths.DELETED: self._read_deleted,
        }

    @property
    def state(self) -> ClusterState:
        """The cluster as last published; empty until `run` has started."""
        return self._state

    async def wait_changed(self, previous: ClusterState) -> ClusterState:
        """Wait until the state is another than `previous`, and return it."""
        while self._state is previous:
            await self._changed.wait()
        return self._state

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Read everything, report started, then follow every change.

        Raises: SessionLost; RecordUnreadable where a znode cannot be decoded.
        """
        for path in self._readers:
            self._mark(path)
        started = False
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._fail_with_session)
            while self._failure is None:
                self._start_reads(nursery)
                complete = not self._in_flight
                if complete or (started and trio.current_time() >= self._publish_at):
                    self._publish()
                if complete:
                    self._quiet.unpark_all()
                if complete and not started:
                    started = True
                    task_status.started()
                with trio.move_on_at(self._publish_at if started else _NEVER):
                    await self._woken.wait()
                self._woken = trio.Event()
            nursery.cancel_scope.cancel()
        if self._failure is not None:
            raise self._failure

    # For the controller, which knows first what it wrote.

    def adopt(
        self,
        *,
        changed: Iterable[tuple[TopicState, int]] = (),
        created: Iterable[TopicState] = (),
        deleted: Iterable[TopicState] = (),
    ) -> None:
        """Publish what was just written by this session, without reading it back.

        `changed` topics come with the transaction (mzxid) that changed them.
        """
        for topic in deleted:
            self._draft.remove_topic(topic)
        for topic in created:
            self._draft.add_topic(topic)
            self._mark(paths.topic(topic.name))
        for topic, zxid in changed:
            self._draft.set_topic(topic, zxid=zxid)
        self._publish()

    async def reread(self, wanted: Iterable[str]) -> None:
        """Read these znodes again, and wait until what they hold now is published."""
        events = []
        for path in wanted:
            event = trio.Event()
            self._rereads.setdefault(path, []).append(event)
            self._mark(path)
            events.append(event)
        for event in events:
            await event.wait()

    async def wait_complete(self) -> None:
        """Wait until all that has changed before the last read was answered is published.

        Watches are called before a later answer comes: what they named is queued by then.
        """
        self._woken.set()
        await self._quiet.park()

    # Scheduling.

    def _mark(self, path: str) -> None:
        """Have a znode read; one that is being read is read once more."""
        if path in self._in_flight:
            self._again.add(path)
            return
        urgent = path in _URGENT or paths.parent(path) == paths.BROKER_IDS
        (self._urgent if urgent else self._ordinary)[path] = None
        self._woken.set()

    def _start_reads(self, nursery: trio.Nursery) -> None:
        while len(self._in_flight) < READS_IN_FLIGHT_MAX and (self._urgent or self._ordinary):
            queue = self._urgent or self._ordinary
            path = next(iter(queue))
            del queue[path]
            self._in_flight.add(path)
            nursery.start_soon(self._read, path)

    async def _read(self, path: str) -> None:
        events = self._rereads.pop(path, [])
        try:
            reader = self._readers.get(path)
            if reader is not None:
                await reader()
            else:
                await self._child_readers[paths.parent(path)](path)
        except ConnectionLost:
            await trio.sleep(RETRY_PAUSE_S)
            self._rereads.setdefault(path, []).extend(events)
            self._again.add(path)
        except CoordinationError as error:
            self._failure = self._failure or error
        else:
            self._read_unpublished.extend(events)
            self._publish_at = min(self._publish_at, trio.current_time() + PUBLISH_DELAY_MAX_S)
        self._in_flight.remove(path)
        if path in self._again:
            self._again.remove(path)
            self._mark(path)
        self._woken.set()

    def _publish(self) -> None:
        self._publish_at = _NEVER
        state = self._draft.freeze()
        if state is not self._state:
            self._state = state
            changed, self._changed = self._changed, trio.Event()
            changed.set()
        events, self._read_unpublished = self._read_unpublished, []
        for event in events:
            event.set()

    async def _fail_with_session(self) -> None:
        await self._store.wait_lost()
        self._failure = self._failure or SessionLost("the session has ended while it was watched")
        self._woken.set()

    def _watch(self, path: str) -> Callable[[], None]:
        """Give the one callback of a znode: a store that keeps sets of them holds it once."""
        if path not in self._watches:
            self._watches[path] = lambda: self._mark(path)
        return self._watches[path]

    # Reading one znode each.

    async def _get(self, path: str) -> bytes:
        value, _ = await self._store.get(path, watch=self._watch(path))
        return value

    async def _read_cluster(self) -> None:
        facts = records.decode_texts(paths.CLUSTER, await self._get(paths.CLUSTER))
        self._draft.set_cluster_id(facts.get("cluster_id", ""))

    async def _read_config(self) -> None:
        self._draft.set_config(*records.decode_config(await self._get(paths.CONFIG)))

    async def _read_acknowledged(self) -> None:
        self._draft.set_acknowledged(
            records.decode_acknowledged(await self._get(paths.ACKNOWLEDGED))
        )

    async def _read_controller(self) -> None:
        try:
            record = records.decode_controller(await self._get(paths.CONTROLLER))
        except NoNode:
            self._draft.set_controller(None)
            watch = self._watch(paths.CONTROLLER)
            if await self._store.exists(paths.CONTROLLER, watch=watch) is not None:
                self._again.add(paths.CONTROLLER)
        else:
            self._draft.set_controller(record)

    async def _list_brokers(self) -> None:
        names = await self._store.children(paths.BROKER_IDS, watch=self._watch(paths.BROKER_IDS))
        for broker_id in self._draft.list_brokers(int(name) for name in names):
            self._mark(paths.registration(broker_id))

    async def _read_broker(self, path: str) -> None:
        broker_id = int(paths.name(path))
        try:
            value, stat = await self._store.get(path, watch=self._watch(path))
        except NoNode:
            self._draft.drop_broker(broker_id)
            self._mark(paths.BROKER_IDS)
        else:
            self._draft.set_broker(records.decode_registration(broker_id, value, stat))

    async def _list_topics(self) -> None:
        self._draft.begin_listing_topics()
        names = await self._store.children(paths.TOPICS, watch=self._watch(paths.TOPICS))
        for name in self._draft.list_topics(names):
            self._mark(paths.topic(name))

    async def _read_topic(self, path: str) -> None:
        name = paths.name(path)
        try:
            value, stat = await self._store.get(path, watch=self._watch(path))
        except NoNode:
            self._draft.drop_topic(name)
            self._watches.pop(path, None)
            self._mark(paths.TOPICS)
        else:
            topic = records.decode_topic(name, value, version=stat.version)
            self._draft.set_topic(topic, zxid=stat.mzxid)

    async def _list_deleted(self) -> None:
        names = await self._store.children(paths.DELETED, watch=self._watch(paths.DELETED))
        for topic_id in self._draft.list_deleted(bytes.fromhex(name) for name in names):
            self._mark(paths.deleted(topic_id))

    async def _read_deleted(self, path: str) -> None:
        """Read a tombstone, unwatched: its name stays, and only its end is of interest."""
        try:
            value, _ = await self._store.get(path)
        except NoNode:
            return
        tombstone = records.decode_tombstone(path, value)
        self._draft.set_deleted(bytes.fromhex(paths.name(path)), tombstone.name)
