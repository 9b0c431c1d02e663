"""Registries whose leader, and the brokers' leader, die while schemas are registered."""

from __future__ import annotations

import random
from functools import partial

import httpx
import pytest
import trio

from client import DeliveryFailed, Producer, ProducerIdentity
from protocol.errors import ErrorCode
from registry import decide, records
from registry.decide import Registration
from registry.errors import StoreTimedOut
from registry.model import Body
from schemas.schema import SchemaType
from simulation.cluster import simulated_cluster
from tests.support.registries import Caller, Peers, SimulatedRegistry, registries

BOUND_S = 600


def schema_of(number: int) -> str:
    """Make a schema that differs from all with other numbers."""
    return f'{{"type":"fixed","name":"F{number}","size":{number + 1}}}'


async def leader_of(running):
    """Wait until one of the registries leads. Returns: it."""
    while True:
        for each in running:
            if each.registry is not None and each.registry.leads:
                return each
        await trio.sleep(0.01)


async def test_a_registry_that_does_not_lead_hands_changes_on_and_shows_them_at_once(
    autojump_clock,
):
    with trio.fail_after(BOUND_S):
        async with (
            simulated_cluster(3) as cluster,
            registries(cluster, 3) as (running, callers, _nursery),
        ):
            leader = await leader_of(running)
            for caller, each in zip(callers, running, strict=True):
                subject = each.url.removeprefix("http://")
                status, told = await caller.register(subject, schema_of(len(subject)))
                assert status == 200
                assert (await caller.get(f"/schemas/ids/{told['id']}"))[0] == 200
                assert (await caller.get(f"/subjects/{subject}/versions/latest"))[0] == 200

            assert [each for each in running if each.registry.leads] == [leader]


async def test_what_one_registry_acknowledged_every_other_finds(autojump_clock):
    with trio.fail_after(BOUND_S):
        async with (
            simulated_cluster(1) as cluster,
            registries(cluster, 2) as (running, callers, _nursery),
        ):
            await leader_of(running)
            for number in range(20):
                one, other = random.Random(number).sample(callers, 2)
                _, told = await one.register(f"s{number}", schema_of(number))
                status, found = await other.get(f"/schemas/ids/{told['id']}")
                assert (status, found["schema"]) == (200, schema_of(number))


async def test_another_registry_leads_once_the_leader_is_gone(autojump_clock):
    with trio.fail_after(BOUND_S):
        async with (
            simulated_cluster(3) as cluster,
            registries(cluster, 2) as (running, callers, nursery),
        ):
            first = await leader_of(running)
            second = next(each for each in running if each is not first)
            assert (await callers[0].register("a", schema_of(1)))[0] == 200
            await first.kill()

            assert await leader_of(running) is second
            caller = callers[running.index(second)]
            assert await caller.register_id("a2", schema_of(2)) == 2
            await first.start(nursery)
            assert not first.registry.leads
            assert (await callers[running.index(first)].get("/subjects"))[1] == ["a", "a2"]


async def test_a_change_waits_for_the_next_leader_rather_than_fail(autojump_clock):
    with trio.fail_after(BOUND_S):
        async with (
            simulated_cluster(1) as cluster,
            registries(cluster, 2) as (running, callers, _nursery),
        ):
            first = await leader_of(running)
            follower = callers[1 - running.index(first)]
            assert (await follower.register("a", schema_of(1)))[0] == 200
            await first.kill()

            assert (await follower.register("b", schema_of(2)))[0] == 200


async def test_a_change_waits_while_a_leader_that_came_back_finds_its_own_session_of_before(
    autojump_clock,
):
    """It is killed and started again before its session expires; alone, and asked by another."""
    for count in (1, 2):
        with trio.fail_after(BOUND_S):
            async with (
                simulated_cluster(1) as cluster,
                registries(cluster, count) as (running, callers, nursery),
            ):
                first = await leader_of(running)
                assert (await callers[0].register("a", schema_of(1)))[0] == 200
                await first.kill()
                await first.start(nursery)
                assert not first.registry.leads

                for number, caller in enumerate(callers, 2):
                    assert (await caller.register(f"s{number}", schema_of(number)))[0] == 200


async def test_another_registry_with_the_same_address_is_named_as_the_cause(autojump_clock):
    with trio.fail_after(BOUND_S):
        async with (
            simulated_cluster(1) as cluster,
            registries(cluster, 1) as (running, _callers, nursery),
        ):
            await leader_of(running)
            double, peers = SimulatedRegistry(cluster, "double", Peers()), Peers()
            double.url, double._peers = running[0].url, peers
            await double.start(nursery)
            await trio.sleep(1)  # until it has heard who leads

            status, told = await Caller(peers, double.url).register("a", schema_of(1))
            assert (status, told["error_code"]) == (500, 50004)
            assert "another one advertises it" in told["message"]


async def test_a_change_that_meets_the_end_of_a_term_waits_for_the_next_one(autojump_clock):
    with trio.fail_after(BOUND_S):
        async with (
            simulated_cluster(1) as cluster,
            registries(cluster, 1) as ((only,), (caller,), _nursery),
        ):
            leader = await leader_of([only])
            leader.registry._writer.over.set()

            assert (await caller.register("a", schema_of(1)))[0] == 200


async def test_a_registry_outlives_its_coordinator_and_answers_reads_meanwhile(autojump_clock):
    with trio.fail_after(BOUND_S):
        async with (
            simulated_cluster(1) as cluster,
            registries(cluster, 1) as ((only,), (caller,), _nursery),
        ):
            await leader_of([only])
            await caller.register("a", schema_of(1))
            only.is_coordinator_away = True
            cluster.memory.expire(only.store.session_id)
            await trio.sleep(60)

            assert (await caller.get("/subjects"))[1] == ["a"]
            status, told = await caller.register("b", schema_of(2))
            assert (status, told["error_code"]) == (500, 50004)

            only.is_coordinator_away = False
            await leader_of([only])
            assert (await caller.register("b", schema_of(2)))[0] == 200


async def test_a_leader_of_the_past_can_write_nothing(autojump_clock):
    """Its term is over, though it does not know: the brokers refuse what it writes (KIP-98)."""
    with trio.fail_after(BOUND_S):
        async with (
            simulated_cluster(3) as cluster,
            registries(cluster, 1) as (running, callers, _nursery),
        ):
            leader = await leader_of(running)
            await callers[0].register("a", schema_of(1))
            successor = ProducerIdentity(
                leader.registry._writer._producer._identity.producer_id, epoch=1
            )
            async with Producer(
                cluster.bootstrap, environment=cluster.environment("next"), identity=successor
            ) as producer:
                await producer.send("_schemas", None, key=records.noop().key)

            asked = Registration("b", Body(SchemaType.AVRO, schema_of(2)))
            with pytest.raises(StoreTimedOut) as refused:
                await leader.registry._writer.change(
                    lambda state, parser: decide.register(state, parser, asked)
                )
            refusal = refused.value.__cause__.__cause__
            assert refusal.code is ErrorCode.INVALID_PRODUCER_EPOCH


FORGET_SOON = {
    "producer.id.expiration.ms": "2000",
    "log.retention.check.interval.ms": "1000",
}


async def test_an_idle_leader_keeps_those_of_the_past_shut_out(autojump_clock, monkeypatch):
    """Brokers forget the epoch of who has written nothing for long, and would take any again."""
    monkeypatch.setattr("registry.registry.RENEWAL_S", 0.5)
    with trio.fail_after(BOUND_S):
        async with (
            simulated_cluster(3, properties=FORGET_SOON) as cluster,
            registries(cluster, 2) as (running, callers, _nursery),
        ):
            past = await leader_of(running)
            identity = past.registry._writer._producer._identity
            await past.kill()
            leader = await leader_of(running)
            caller = callers[running.index(leader)]
            await caller.register("a", schema_of(1))
            await trio.sleep(20)

            assert leader.registry.leads
            ghost = cluster.environment("ghost")
            with pytest.raises(DeliveryFailed) as refused:
                async with Producer(
                    cluster.bootstrap, environment=ghost, identity=identity
                ) as producer:
                    await producer.send("_schemas", None, key=records.noop().key)
            assert refused.value.__cause__.code is ErrorCode.INVALID_PRODUCER_EPOCH
            assert (await caller.register("b", schema_of(2)))[0] == 200


async def work(callers, chance, acknowledged, *, client, over) -> None:
    """Register one schema after the other, through any registry, until it is over."""
    number = client
    while not over.is_set():
        await trio.sleep(chance.uniform(0, 0.2))
        number += 3
        try:
            status, told = await chance.choice(callers).register(f"s{number}", schema_of(number))
        except httpx.ConnectError:
            continue  # that one is dead at the moment
        if status == 200:
            acknowledged[f"s{number}"] = told["id"]
        else:
            assert status == 500, told


async def harm(cluster, running, nursery, chance) -> None:
    """Kill a registry, mostly the leader, often a broker as well, and start them again."""
    victim = chance.choice(running) if chance.random() < 0.3 else await leader_of(running)
    await victim.kill()
    if chance.random() < 0.6:
        broker = cluster.brokers[chance.randint(1, 3)]
        await broker.kill()
        await trio.sleep(chance.uniform(0, 4))
        await broker.start()
    await trio.sleep(chance.uniform(0, 8))
    await victim.start(nursery)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(8))
async def test_no_id_is_given_twice_and_no_acknowledged_schema_is_lost(seed, autojump_clock):
    """Leaders of registries, brokers, or both die while three clients register."""
    chance = random.Random(seed)
    acknowledged: dict[str, int] = {}
    over = trio.Event()
    with trio.fail_after(BOUND_S):
        async with (
            simulated_cluster(3, seed=seed) as cluster,
            registries(cluster, 3) as (running, callers, nursery),
        ):
            async with trio.open_nursery() as working:
                for client in range(3):
                    start = partial(work, callers, chance, acknowledged, client=client, over=over)
                    working.start_soon(start)
                for _ in range(4):
                    await trio.sleep(chance.uniform(0.2, 3))
                    await harm(cluster, running, nursery, chance)
                over.set()

            witness = SimulatedRegistry(cluster, "witness", Peers())
            await witness.start(nursery)  # it starts anew, and reads what there is
            found = {
                (each.subject, each.schema_id) for each in witness.registry.state.all_versions()
            }

    assert len(acknowledged) > 20
    assert {*acknowledged.items()} <= found
    assert len({*acknowledged.values()}) == len(acknowledged), "every schema differs"
