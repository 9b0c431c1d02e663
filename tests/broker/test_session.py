"""A broker's session with the coordinator: what it reports of deleted topics, and when."""

from __future__ import annotations

from functools import partial

import pytest
import trio

from broker.lease import Lease
from broker.session import SIGN_OFFS_AT_ONCE_MAX, BrokerSession, Household
from broker.view import ClusterView
from coordinator import paths, records
from coordinator.bootstrap import prepare
from coordinator.cluster import Endpoint
from coordinator.membership import BrokerFacts
from coordinator.memory import MemoryCluster
from coordinator.records import Tombstone
from coordinator.store import ConnectionLost

US, OTHER = 1, 2
DELETED = [number.to_bytes(16, "big") for number in range(3 * SIGN_OFFS_AT_ONCE_MAX)]
TOMBSTONES = [paths.deleted(topic_id) for topic_id in DELETED]
FACTS = BrokerFacts(US, (Endpoint("h", 1),), None, "directory", clean=True)


class Partitions:
    """Holds nothing, once it was told so."""

    unlisted = ()

    def __init__(self) -> None:
        self.dropped: set[bytes] = set()

    async def delete_topics(self, topic_ids):
        await trio.lowlevel.checkpoint()
        self.dropped.update(topic_ids)

    async def obey(self, _state, *, broker_epoch):
        await trio.lowlevel.checkpoint()
        return True

    def offline_replicas(self):
        return frozenset()


class Idle:
    """Whatever else a session works on."""

    def __init__(self, *_) -> None: ...

    async def run(self):
        await trio.sleep_forever()

    async def serve(self, _store):
        await trio.sleep_forever()

    async def open_stream(self, _broker_id):
        await trio.sleep_forever()


class GatedStore:
    """A store whose writes to tombstones wait for a gate, and lose their first answers."""

    def __init__(self, store, gate: trio.Event, partitions: Partitions, *, losing: int = 0) -> None:
        self._store = store
        self._gate = gate
        self._partitions = partitions
        self._losing = losing
        self.waiting = 0

    def __getattr__(self, name: str):
        return getattr(self._store, name)

    async def set(self, path: str, value: bytes, **options):
        if path not in TOMBSTONES:
            return await self._store.set(path, value, **options)
        assert DELETED[TOMBSTONES.index(path)] in self._partitions.dropped
        self.waiting += 1
        await self._gate.wait()
        self.waiting -= 1
        if self._losing:
            self._losing -= 1
            raise ConnectionLost("the answer was lost")
        return await self._store.set(path, value, **options)


class Office:
    """A coordinator with one broker, in sessions whose reports can be held up."""

    def __init__(self, nursery: trio.Nursery, cluster: MemoryCluster, admin) -> None:
        self._nursery = nursery
        self._cluster = cluster
        self.admin = admin
        self.view = ClusterView()
        self.partitions = Partitions()
        self.gate = trio.Event()
        self.store: GatedStore

    async def begin(self, *, losing: int = 0) -> trio.CancelScope:
        """Begin a session; it ends when the scope is cancelled."""
        return await self._nursery.start(partial(self._run, losing=losing))

    async def _run(self, *, losing: int, task_status) -> None:
        household = Household(
            partitions=self.partitions,
            peers=Idle(),
            groups=Idle(),
            view=self.view,
            lease=Lease(),
            make_controller=Idle,
            new_cluster_id=lambda: "cluster",
            adopt_settings=lambda _: None,
            hang_up=lambda: None,
            adopt_cluster=lambda _: None,
        )
        with trio.CancelScope() as scope:
            async with self._cluster.connect() as store, trio.open_nursery() as nursery:
                self.store = GatedStore(store, self.gate, self.partitions, losing=losing)
                await nursery.start(BrokerSession(self.store, FACTS, household).run)
                task_status.started(scope)

    async def bury(self) -> None:
        """Leave the tombstones of many topics, and give the broker time to obey."""
        for number, path in enumerate(TOMBSTONES):
            tombstone = Tombstone(f"t{number}", (US, OTHER))
            await self.admin.create(path, records.encode_tombstone(tombstone))
        await trio.sleep(1)
        assert self.view.obeyed.deleted_topics.keys() == set(DELETED)

    async def unreported(self) -> list[str]:
        """List the tombstones that wait for the broker, after some time."""
        await trio.sleep(60)
        tombstones = [
            records.decode_tombstone(path, (await self.admin.get(path))[0]) for path in TOMBSTONES
        ]
        return [tombstone.name for tombstone in tombstones if US in tombstone.waiting_for]


@pytest.fixture
async def office(nursery):
    cluster = MemoryCluster()
    async with cluster.connect() as admin:
        await prepare(admin, new_cluster_id=lambda: "cluster")
        yield Office(nursery, cluster, admin)
        nursery.cancel_scope.cancel()


async def test_what_happens_while_many_deletions_are_reported_is_obeyed(office, autojump_clock):
    await office.begin()
    await office.bury()
    assert office.store.waiting == SIGN_OFFS_AT_ONCE_MAX

    config = {"num.partitions": "7"}
    await office.admin.set(paths.CONFIG, records.encode_config(config, {}))
    await trio.sleep(1)

    assert office.view.obeyed.config == config
    assert office.store.waiting == SIGN_OFFS_AT_ONCE_MAX
    office.gate.set()
    assert await office.unreported() == []


async def test_reports_without_an_answer_are_made_again(office, autojump_clock):
    office.gate.set()
    await office.begin(losing=len(DELETED))
    await office.bury()

    assert await office.unreported() == []


async def test_what_one_session_has_not_reported_the_next_one_does(office, autojump_clock):
    first = await office.begin()
    await office.bury()
    first.cancel()
    office.gate.set()

    await office.begin()

    assert await office.unreported() == []
