"""Registrations: own ghosts, foreign holders, deaths, and what survives between incarnations."""

from __future__ import annotations

import pytest
import trio
from msgspec.structs import replace

from coordinator import paths, records
from coordinator.bootstrap import new_cluster_id, prepare
from coordinator.campaign import campaign
from coordinator.cluster import Endpoint
from coordinator.errors import BrokerIdInUse
from coordinator.membership import (
    BrokerFacts,
    register,
    remove_dead,
    tell_offline,
    wait_deregistered,
)
from coordinator.memory import MemoryCluster
from coordinator.producer_ids import allocate_producer_ids

FACTS = BrokerFacts(
    broker_id=1,
    endpoints=(Endpoint("somewhere", 9092),),
    rack="r",
    directory_id="a" * 32,
    clean=True,
)


@pytest.fixture
async def memory():
    memory = MemoryCluster()
    async with memory.connect() as store:
        await prepare(store, new_cluster_id=lambda: "c")
    return memory


async def acknowledge(store, broker_id: int, epoch_version: int) -> None:
    value = records.encode_acknowledged({broker_id: epoch_version})
    await store.set(paths.ACKNOWLEDGED, value)


async def test_a_registration_says_what_the_store_holds(memory):
    async with memory.connect() as store:
        registration = await register(store, FACTS)

        value, stat = await store.get(paths.registration(1))
        assert records.decode_registration(1, value, stat) == registration
        assert registration.broker_epoch == stat.czxid
        assert stat.owner == store.session_id
        epoch_stat = (await store.get(paths.broker_epoch(1)))[1]
        assert registration.epoch_version == epoch_stat.version


async def test_registering_twice_in_a_session_is_registering_once(memory):
    async with memory.connect() as store:
        assert await register(store, FACTS) == await register(store, FACTS)


async def test_an_own_ghost_is_replaced_at_once_with_its_office(memory, autojump_clock):
    async with memory.connect() as ghost, memory.connect() as store:
        first = await register(ghost, FACTS)
        await campaign(ghost, 1)
        memory.disconnect(ghost.session_id)
        at = trio.current_time()

        second = await register(store, FACTS)

        assert trio.current_time() == at
        assert second.broker_epoch > first.broker_epoch
        assert second.epoch_version == first.epoch_version + 1
        assert await store.exists(paths.CONTROLLER) is None


async def test_the_office_of_another_is_left_alone(memory, autojump_clock):
    async with memory.connect() as ghost, memory.connect() as other, memory.connect() as store:
        first = await register(ghost, FACTS)
        await campaign(other, 2)

        assert await remove_dead(store, first)
        assert (await store.exists(paths.CONTROLLER)).owner == other.session_id


async def test_a_foreign_holder_that_lives_is_named(memory, autojump_clock):
    async with memory.connect() as holder, memory.connect() as store:
        await register(holder, FACTS)
        at = trio.current_time()

        match = "somewhere:9092.*stop that one.*session .* has to end first: start this one again"
        with pytest.raises(BrokerIdInUse, match=match):
            await register(store, replace(FACTS, directory_id="b" * 32))

        assert trio.current_time() - at >= store.session_timeout_s


async def test_a_foreign_holder_that_vanishes_is_followed(memory, autojump_clock):
    async with memory.connect() as holder, memory.connect() as store:
        await register(holder, FACTS)
        memory.disconnect(holder.session_id)

        registration = await register(store, replace(FACTS, directory_id="b" * 32))

        assert registration.directory_changed


async def test_a_foreign_holder_is_given_the_timeout_of_its_own_session(memory, autojump_clock):
    async with (
        memory.connect(session_timeout_s=40) as holder,
        memory.connect(session_timeout_s=6) as store,
    ):
        assert (await register(holder, FACTS)).session_timeout_ms == 40_000
        memory.disconnect(holder.session_id)

        registration = await register(store, replace(FACTS, directory_id="b" * 32))

        assert trio.current_time() >= 40
        assert registration.session_timeout_ms == 6_000


async def test_a_session_may_end_a_tick_of_zookeepers_late(memory, autojump_clock):
    async with (
        memory.connect(session_timeout_s=6 + 2) as holder,
        memory.connect(session_timeout_s=6) as store,
    ):
        told = replace(await register(holder, FACTS), session_timeout_ms=6_000)
        await holder.set(paths.registration(1), records.encode_registration(told))
        memory.disconnect(holder.session_id)

        assert await register(store, replace(FACTS, directory_id="b" * 32))


async def test_a_dead_incarnation_is_removed_and_a_later_one_is_not(memory):
    async with memory.connect() as broker, memory.connect() as peer:
        first = await register(broker, FACTS)
        assert await remove_dead(peer, first)
        assert not await remove_dead(peer, first)
        second = await register(broker, FACTS)

        assert not await remove_dead(peer, first)
        assert not await remove_dead(peer, replace(second, epoch_version=7))
        assert await peer.exists(paths.registration(1)) is not None


async def test_a_broker_learns_that_it_was_removed(memory, autojump_clock):
    async with memory.connect() as broker, memory.connect() as peer:
        registration = await register(broker, FACTS)
        with trio.move_on_after(60) as waiting:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(wait_deregistered, broker, registration)
                await trio.sleep(10)
                assert len(nursery.child_tasks) == 1
                await remove_dead(peer, registration)

        assert not waiting.cancelled_caught


async def test_a_replaced_incarnation_is_out_as_well(memory, autojump_clock):
    async with memory.connect() as ghost, memory.connect() as store:
        first = await register(ghost, FACTS)
        await register(store, FACTS)

        with trio.fail_after(1):
            await wait_deregistered(store, first)


async def test_an_unclean_stop_is_known_until_a_controller_has_acted_on_it(memory):
    async with memory.connect() as store:
        await register(store, FACTS)
        await remove_dead(store, await register(store, FACTS))
        await remove_dead(store, await register(store, replace(FACTS, clean=False)))

        unseen = await register(store, FACTS)
        assert not unseen.clean
        await remove_dead(store, unseen)
        await acknowledge(store, 1, unseen.epoch_version)

        assert (await register(store, FACTS)).clean


async def test_another_directory_is_known_until_a_controller_has_acted_on_it(memory):
    async with memory.connect() as store:
        await remove_dead(store, await register(store, FACTS))
        other = replace(FACTS, directory_id="b" * 32)
        await remove_dead(store, await register(store, other))

        unseen = await register(store, other)
        assert unseen.directory_changed
        await remove_dead(store, unseen)
        await acknowledge(store, 1, unseen.epoch_version)

        assert not (await register(store, other)).directory_changed


async def test_offices_are_taken_one_epoch_after_the_other(memory, autojump_clock):
    async with memory.connect() as one, memory.connect() as two:
        first = await campaign(one, 1)
        assert await campaign(one, 1) == first
        terms = []

        async def run() -> None:
            terms.append(await campaign(two, 2))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(run)
            await trio.sleep(1)
            assert terms == []
            memory.expire(one.session_id)

        assert terms[0].controller_epoch == first.controller_epoch + 1


async def test_the_first_cluster_id_stays(memory):
    async with memory.connect() as store:
        assert await prepare(store, new_cluster_id=lambda: "another") == "c"


def test_a_cluster_id_has_22_characters_and_no_dash_in_front():
    drawn = [bytes([0xFB, 0xE0]) + bytes(14), bytes(range(16))]

    cluster_id = new_cluster_id(lambda _: drawn.pop(0))

    assert len(cluster_id) == 22
    assert not cluster_id.startswith("-")
    assert drawn == []


async def test_producer_ids_are_never_given_twice(memory):
    blocks = []

    async def take() -> None:
        async with memory.connect() as store:
            blocks.append(await allocate_producer_ids(store, count=10))

    async with trio.open_nursery() as nursery:
        for _ in range(20):
            nursery.start_soon(take)

    taken = [producer_id for block in blocks for producer_id in block]
    assert sorted(taken) == list(range(200))


async def test_what_is_offline_is_told_anew_and_what_the_controller_wrote_stays(memory):
    replica = (bytes(range(16)), 3)
    async with memory.connect() as store:
        registration = await register(store, replace(FACTS, offline=frozenset({replica})))
        assert registration.offline == {replica}
        leaving = replace(registration, shutting_down=True)
        path = paths.registration(1)
        await store.set(path, records.encode_registration(leaving))

        await tell_offline(store, registration, frozenset())

        value, stat = await store.get(path)
        found = records.decode_registration(1, value, stat)
        assert found == replace(leaving, offline=frozenset())


async def test_an_incarnation_that_is_gone_tells_nothing(memory, autojump_clock):
    async with memory.connect() as ghost, memory.connect() as store:
        first = await register(ghost, FACTS)
        second = await register(store, FACTS)

        await tell_offline(ghost, first, frozenset({(bytes(16), 0)}))

        value, stat = await store.get(paths.registration(1))
        assert records.decode_registration(1, value, stat) == second
