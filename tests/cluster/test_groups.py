"""Groups while their brokers come and go: members carry on, and offsets never go back."""

from __future__ import annotations

import random
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING

import pytest
import trio

from client import Admin, NewTopic
from coordinator import paths
from coordinator.groups.owner import owner_of
from simulation.cluster import SimulatedBroker, SimulatedCluster, simulated_cluster
from tests.support.group_member import (
    BROKEN,
    NOTHING,
    GroupLink,
    GroupMember,
    Ledger,
    Refused,
    commit_request,
    fetch_offsets,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

TOPIC = "orders"
PARTITIONS = 4
BOUND_S = 300
PROPERTIES = {"group.initial.rebalance.delay.ms": "100"}


@asynccontextmanager
async def cluster_of_three() -> AsyncIterator[SimulatedCluster]:
    with trio.fail_after(BOUND_S):
        async with simulated_cluster(3, properties=PROPERTIES) as cluster:
            await create(cluster)
            yield cluster


async def create(cluster: SimulatedCluster) -> None:
    async with Admin(cluster.bootstrap, environment=cluster.environment("admin")) as admin:
        await admin.create_topic(NewTopic(TOPIC, partitions=PARTITIONS, replication_factor=3))


@asynccontextmanager
async def members_of(
    cluster: SimulatedCluster, count: int, *, ledger: Ledger, group_id: str = "g"
) -> AsyncIterator[list[GroupMember]]:
    """Have some members at work, all of them in one generation at first."""
    async with trio.open_nursery() as nursery:
        members = [
            GroupMember(
                cluster, group_id, number, ledger=ledger, rng=random.Random(number), topic=TOPIC,
                partitions=PARTITIONS,
            )
            for number in range(count)
        ]  # fmt: skip
        for member in members:
            nursery.start_soon(member.run)
        await until(lambda: is_shared_out(members))
        yield members
        nursery.cancel_scope.cancel()


def is_shared_out(members: list[GroupMember]) -> bool:
    owned = sorted(index for member in members for index in member.positions)
    return owned == list(range(PARTITIONS)) and len({m.generation_id for m in members}) == 1


async def until_all_commit(members: list[GroupMember], *, more: int = 5) -> None:
    wanted = {member: member.acknowledged + more for member in members}
    await until(lambda: all(member.acknowledged >= count for member, count in wanted.items()))


async def until(holds: Callable[[], bool]) -> None:
    while True:
        if holds():
            return
        await trio.sleep(0.05)


def owner_among(cluster: SimulatedCluster, group_id: str = "g") -> int:
    return owner_of(group_id, [i for i, machine in cluster.brokers.items() if machine.is_running])


def simple(cluster: SimulatedCluster, group_id: str = "g") -> GroupLink:
    return GroupLink(cluster, group_id, host="simple", rng=random.Random(1))


async def commit(link: GroupLink, offsets: dict[int, int]) -> None:
    """Commit without being a member, until it is acknowledged."""
    while True:
        with suppress(*BROKEN, Refused):
            answer = await link.ask(commit_request(link.group_id, TOPIC, offsets))
            if not any(partition.error_code for partition in answer.topics[0].partitions):
                return
        await link.forget()
        await trio.sleep(0.05)


async def fetch(link: GroupLink) -> dict[int, int]:
    """Ask for what is committed, until it is told."""
    while True:
        with suppress(*BROKEN, Refused):
            return await fetch_offsets(link, TOPIC, [0, 1])
        await link.forget()
        await trio.sleep(0.05)


async def test_members_go_on_in_their_generation_when_the_groups_broker_dies(autojump_clock):
    ledger = Ledger()
    async with cluster_of_three() as cluster, members_of(cluster, 3, ledger=ledger) as members:
        await until_all_commit(members)
        generations = [list(member.generations) for member in members]
        victim = owner_among(cluster)
        await cluster.brokers[victim].kill()
        killed_at = trio.current_time()

        await until_all_commit(members)

        assert trio.current_time() - killed_at < 5
        assert [member.generations for member in members] == generations
        assert {member.link.owner_id for member in members} == {owner_among(cluster)}
        assert owner_among(cluster) != victim

        await cluster.brokers[victim].start()  # and takes the group back
        await until(lambda: {member.link.owner_id for member in members} == {victim})
        await until_all_commit(members)
        assert [member.generations for member in members] == generations


async def test_members_go_on_in_their_generation_when_the_groups_broker_is_stopped(
    autojump_clock,
):
    ledger = Ledger()
    async with cluster_of_three() as cluster, members_of(cluster, 3, ledger=ledger) as members:
        await until_all_commit(members)
        generations = [list(member.generations) for member in members]
        async with trio.open_nursery() as nursery:
            nursery.start_soon(cluster.brokers[owner_among(cluster)].stop)
            await until_all_commit(members)

        await until_all_commit(members)

        assert [member.generations for member in members] == generations


async def test_members_go_on_in_their_generation_when_all_brokers_lose_power(autojump_clock):
    ledger = Ledger()
    async with cluster_of_three() as cluster, members_of(cluster, 3, ledger=ledger) as members:
        await until_all_commit(members)
        generations = [list(member.generations) for member in members]
        for machine in cluster.brokers.values():
            await machine.kill()
            machine.lose_power()
        for machine in cluster.brokers.values():
            await machine.start()

        await until_all_commit(members)

        assert [member.generations for member in members] == generations


@pytest.mark.slow
async def test_members_go_on_when_the_groups_broker_is_cut_off_from_the_store(autojump_clock):
    ledger = Ledger()
    async with cluster_of_three() as cluster, members_of(cluster, 3, ledger=ledger) as members:
        await until_all_commit(members)
        cluster.cut_from_store(owner_among(cluster))
        await trio.sleep(20)
        await until_all_commit(members)
        generations = [list(member.generations) for member in members]
        cluster.reconnect_to_store(owner_among(cluster))
        await trio.sleep(20)

        await until_all_commit(members)

        assert [member.generations for member in members] == generations


async def test_a_hundred_groups_survive_the_death_of_a_broker(autojump_clock):
    async with cluster_of_three() as cluster:
        links = {f"g{number}": simple(cluster, f"g{number}") for number in range(100)}
        for number, link in enumerate(links.values()):
            await commit(link, {0: number})

        await cluster.brokers[1].kill()

        for number, link in enumerate(links.values()):
            assert await fetch(link) == {0: number, 1: NOTHING}


async def test_offsets_go_with_their_topic_and_do_not_come_back_with_its_name(autojump_clock):
    async with cluster_of_three() as cluster:
        link = simple(cluster)
        await commit(link, {0: 5, 1: 6})
        async with Admin(cluster.bootstrap, environment=cluster.environment("admin")) as admin:
            await admin.delete_topic(TOPIC)
        await create(cluster)

        assert await fetch(link) == {0: NOTHING, 1: NOTHING}
        await commit(link, {0: 1})
        await cluster.brokers[link.owner_id].kill()
        assert await fetch(link) == {0: 1, 1: NOTHING}


async def test_a_commit_that_was_stuck_when_the_group_moved_on_does_not_come_through_late(
    autojump_clock,
):
    async with cluster_of_three() as cluster:
        link = simple(cluster)
        await commit(link, {0: 1})
        old = cluster.brokers[link.owner_id]
        other = cluster.brokers[old.broker_id % 3 + 1]
        cluster._store.disconnect(old.store.session_id)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(try_to, link.ask, commit_request("g", TOPIC, {0: 2}))
            # Others take it for dead, and the group has another owner, before it is back.
            async with cluster.connect_store() as hand:
                await hand.delete(paths.registration(old.broker_id))
            await until(lambda: old.broker_id not in other.broker.view.obeyed.brokers)
            now = GroupLink(cluster, "g", host="simple", rng=Choosing(other))
            assert await fetch(now) == {0: 1, 1: NOTHING}
            await commit(now, {0: 3})
            cluster._store.reconnect(old.store.session_id)

        await trio.sleep(30)
        assert await fetch(simple(cluster)) == {0: 3, 1: NOTHING}


class Choosing:
    """Chooses one and the same broker to ask where the group is."""

    def __init__(self, machine: SimulatedBroker) -> None:
        self._machine = machine

    def choice(self, _):
        return self._machine


async def try_to(ask, *facts) -> None:
    with suppress(*BROKEN, Refused):
        await ask(*facts)
