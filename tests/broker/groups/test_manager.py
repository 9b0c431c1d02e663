"""Groups as handlers see them: whose a group is, and the way into those that are ours."""

from __future__ import annotations

import random
from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING

import pytest
import trio
from msgspec.structs import replace

from broker.groups.config import GroupConfig
from broker.groups.manager import CLAIMS_WAIT_S, Groups
from broker.groups.waiting import settled
from broker.lease import Lease
from broker.view import ClusterView
from client.environment import Environment
from coordinator.bootstrap import prepare
from coordinator.cluster import BrokerRegistration
from coordinator.errors import NotGroupOwner
from coordinator.groups import znodes
from coordinator.groups.owner import owner_of
from coordinator.memory import MemoryCluster
from protocol.errors import ErrorCode, RequestError
from simulation.network import MemoryNetwork

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from coordinator.memory import MemoryStore


def registration(broker_id: int) -> BrokerRegistration:
    return BrokerRegistration(broker_id, 1, (), None, "d", clean=True, epoch_version=0)


class Node:
    """What of broker 1 takes part here."""

    def __init__(self) -> None:
        self.memory = MemoryCluster()
        self.view, self.lease = ClusterView(), Lease()
        self.show_brokers(1, 2, 3)
        environment = Environment(
            network=MemoryNetwork().host("h"), wall_ms=lambda: 0, random=random.Random(1)
        )
        self.groups = Groups(
            1, GroupConfig(), view=self.view, lease=self.lease, environment=environment
        )

    def show_brokers(self, *broker_ids: int) -> None:
        brokers = {broker_id: registration(broker_id) for broker_id in broker_ids}
        self.view.latest = replace(self.view.latest, brokers=brokers)
        self.view.publish(self.view.latest)

    @asynccontextmanager
    async def session(self) -> AsyncIterator[MemoryStore]:
        async with self.memory.connect() as store, trio.open_nursery() as nursery:
            await prepare(store, new_cluster_id=lambda: "c")
            self.lease.take(store)
            nursery.start_soon(self.groups.serve, store)
            await trio.testing.wait_all_tasks_blocked()
            yield store
            nursery.cancel_scope.cancel()
        self.lease.give_up()


MINE = next(f"g{n}" for n in range(99) if owner_of(f"g{n}", (1, 2, 3)) == 1)
THEIRS = next(f"g{n}" for n in range(99) if owner_of(f"g{n}", (1, 2, 3)) == 2)


async def test_a_broker_without_the_lease_names_another_owner(autojump_clock):
    node = Node()
    async with node.session() as store:
        assert (node.groups.owner(MINE), node.groups.owner(THEIRS)) == (1, 2)
        node.memory.disconnect(store.session_id)
        assert node.groups.owner(MINE) == 1
        await trio.sleep(7)

        assert node.groups.owner(MINE) in (2, 3)
        with pytest.raises(NotGroupOwner):
            node.groups.enter(MINE, lambda hosted: hosted)


async def test_nothing_is_served_between_two_sessions(autojump_clock):
    node = Node()
    for _ in range(2):
        with pytest.raises(NotGroupOwner):
            node.groups.enter(MINE, lambda hosted: hosted, create=True)
        async with node.session():
            assert await settled(
                node.groups.enter(MINE, lambda hosted: hosted is not None, create=True)
            )
            with pytest.raises(NotGroupOwner):
                node.groups.enter(THEIRS, lambda hosted: hosted, create=True)


@pytest.mark.parametrize("group_id", ["", "g" * 1_025])
async def test_what_cannot_be_a_group_id_is_refused(group_id, autojump_clock):
    node = Node()
    async with node.session():
        with pytest.raises(RequestError) as caught:
            node.groups.enter(group_id, lambda hosted: hosted, create=True)
    assert caught.value.code is ErrorCode.INVALID_GROUP_ID


async def test_groups_are_listed_once_all_that_have_become_ours_are_claimed(autojump_clock):
    node = Node()
    async with node.session() as store:
        for number in range(30):
            await znodes.create(store, f"g{number}", owner_id=2, incarnation="1")
        node.memory.latency = partial(trio.sleep, 0.05)
        node.show_brokers(1)

        assert len(tuple(await node.groups.hosted())) == 30


async def test_a_list_that_is_not_complete_in_time_is_refused(autojump_clock):
    node = Node()
    async with node.session():
        node.memory.latency = partial(trio.sleep, 4)
        node.show_brokers(1)
        await trio.testing.wait_all_tasks_blocked()
        began = trio.current_time()
        with pytest.raises(RequestError) as caught:
            await node.groups.hosted()
        assert caught.value.code is ErrorCode.COORDINATOR_LOAD_IN_PROGRESS
        assert trio.current_time() - began == pytest.approx(CLAIMS_WAIT_S)

        node.lease.give_up()
        with pytest.raises(RequestError) as caught:
            await node.groups.hosted()
        assert caught.value.code is ErrorCode.COORDINATOR_NOT_AVAILABLE
