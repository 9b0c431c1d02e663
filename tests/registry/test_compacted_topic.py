"""Registries over a topic whose deleted schemas are gone, records and all."""

from __future__ import annotations

import random
from functools import partial

import httpx
import pytest
import trio

from client import Admin, Consumer, ConsumerConfig, NewTopic, Producer, TopicPartition
from registry import records
from registry.records import IdsUsed, Record, SchemaGone
from registry.topic import COMPACTED
from simulation.cluster import simulated_cluster
from tests.support.registries import registries

BOUND_S = 600
TOPIC = "_schemas"
PLACE = TopicPartition(TOPIC, 0)


def schema_of(number: int) -> str:
    """Make a schema that differs from all with other numbers."""
    return f'{{"type":"fixed","name":"F{number}","size":{number + 1}}}'


async def written(cluster) -> list[Record]:
    """Read all that the topic holds."""
    config = ConsumerConfig(auto_offset_reset="none")
    environment = cluster.environment("reader")
    async with Consumer(cluster.bootstrap, config, environment=environment) as consumer:
        await consumer.assign({PLACE: 0})
        end = (await consumer.end_offsets(PLACE))[PLACE]
        found: list[Record] = []
        while consumer.position(PLACE) < end:
            found += [Record(each.key, each.value) for each in await consumer.poll(timeout_s=1)]
        return found


async def end_of(cluster) -> int:
    """Look up where the topic ends."""
    environment = cluster.environment("reader")
    async with Consumer(cluster.bootstrap, environment=environment) as consumer:
        return (await consumer.end_offsets(PLACE))[PLACE]


async def write(cluster, *found: Record) -> None:
    """Make the topic where it is not there, and write records to it."""
    environment = cluster.environment("writer")
    async with (
        Admin(cluster.bootstrap, environment=environment) as admin,
        Producer(cluster.bootstrap, environment=environment) as producer,
    ):
        if TOPIC not in await admin.list_topics():
            await admin.create_topic(NewTopic(TOPIC, 1, -1, COMPACTED))
        for key, value in found:
            await producer.send(TOPIC, value, key=key)


def left_of(found: list[Record]) -> list[Record]:
    """Compact to the utmost: the newest record of each key, no tombstones."""
    newest = {record.key: index for index, record in enumerate(found)}
    return [
        record
        for index, record in enumerate(found)
        if newest[record.key] == index and record.value is not None
    ]


async def delete(caller, subject: str) -> None:
    """Delete a subject permanently."""
    for query in ("", "?permanent=true"):
        assert (await caller.call("DELETE", f"/subjects/{subject}{query}"))[0] == 200


async def test_an_id_is_not_given_again_once_all_records_of_it_are_gone(autojump_clock):
    with trio.fail_after(BOUND_S):
        async with (
            simulated_cluster(1) as cluster,
            registries(cluster, 1) as (_, (caller,), _nursery),
        ):
            for number, subject in enumerate(("a", "b", ":.c:d"), start=1):
                await caller.register(subject, schema_of(number))
            await delete(caller, "b")
            await delete(caller, ":.c:d")
            found = await written(cluster)

        changes = [records.decode(*each) for each in found]
        assert changes.index(IdsUsed({".": 2})) < changes.index(SchemaGone("b", 1))
        assert changes.index(IdsUsed({".": 2, ".c": 1})) < changes.index(SchemaGone(":.c:d", 1))

        async with simulated_cluster(1) as another:
            await write(another, *left_of(found))
            async with registries(another, 1) as (_, (caller,), _nursery):
                assert await caller.get("/subjects?deleted=true") == (200, ["a"])
                assert await caller.register_id("b", schema_of(2)) == 3
                assert await caller.register_id(":.c:d", schema_of(3)) == 2


async def test_a_leader_notes_ids_that_an_earlier_one_left_to_the_records(autojump_clock):
    with trio.fail_after(BOUND_S):
        async with (
            simulated_cluster(1) as cluster,
            registries(cluster, 1) as (_, (caller,), _nursery),
        ):
            await caller.register("a", schema_of(1))
            await caller.register("b", schema_of(2))
            found = await written(cluster)

        async with simulated_cluster(1) as another:
            await write(another, *found, records.encode(SchemaGone("b", 1)))
            async with registries(another, 1) as ((only,), _callers, _nursery):
                assert await only.registry.wait_leader(trio.current_time() + 10) is None, (
                    "it leads itself"
                )
                found = await written(another)

    changes = [records.decode(*each) for each in found]
    assert changes.count(IdsUsed({".": 2})) == 1


async def test_what_another_registry_wrote_stays_deleted(autojump_clock):
    """Its spelling of a key is another key to brokers, and takes a tombstone of its own."""
    theirs = b'{"subject":"a","version":1,"magic":1,"keytype":"SCHEMA"}'
    value = b'{"subject":"a","version":1,"id":1,"schema":"\\"int\\"","deleted":false}'
    with trio.fail_after(BOUND_S):
        async with simulated_cluster(1) as cluster:
            await write(cluster, Record(theirs, value))
            async with registries(cluster, 1) as (_, (caller,), _nursery):
                assert await caller.get("/subjects") == (200, ["a"])
                for query in ("", "?permanent=true"):
                    status, _ = await caller.call("DELETE", f"/subjects/a/versions/1{query}")
                    assert status == 200
                found = await written(cluster)

        async with simulated_cluster(1) as another:
            await write(another, *left_of(found))
            async with registries(another, 1) as (_, (caller,), _nursery):
                assert await caller.get("/subjects?deleted=true") == (200, [])


async def work(callers, chance, acknowledged, *, client, over) -> None:
    """Register one schema after the other, and delete nearly all of them at once."""
    number = client
    while not over.is_set():
        await trio.sleep(chance.uniform(0.1, 0.6))
        number += 3
        caller = chance.choice(callers)
        try:
            status, told = await caller.register(f"s{number}", schema_of(number))
            if status == 200:
                acknowledged[number] = told["id"]
            if chance.random() < 0.9:
                for query in ("", "?permanent=true"):
                    await caller.call("DELETE", f"/subjects/s{number}/versions/1{query}")
        except httpx.ConnectError:
            continue  # that one is dead at the moment


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(6))
async def test_no_id_is_given_twice_while_brokers_compact(seed, autojump_clock):
    """Schemas are deleted as soon as they are registered; one registry dies, or all who know."""
    chance = random.Random(seed)
    acknowledged: dict[int, int] = {}
    over = trio.Event()
    configs = {
        **COMPACTED,
        "segment.ms": "300",
        "max.compaction.lag.ms": "300",
        "min.cleanable.dirty.ratio": "0",
        "delete.retention.ms": "0",
    }
    with trio.fail_after(BOUND_S):
        async with (
            simulated_cluster(
                3, seed=seed, properties={"log.cleaner.backoff.ms": "100"}
            ) as cluster,
            Admin(cluster.bootstrap, environment=cluster.environment("admin")) as admin,
        ):
            await admin.create_topic(NewTopic(TOPIC, 1, 3, configs))
            async with (
                registries(cluster, 3) as (running, callers, nursery),
                trio.open_nursery() as working,
            ):
                for client in range(3):
                    start = partial(work, callers, chance, acknowledged, client=client, over=over)
                    working.start_soon(start)
                for _ in range(2):
                    await trio.sleep(chance.uniform(6, 9))
                    victims = chance.sample(running, chance.choice((1, 3, 3)))
                    for victim in victims:
                        await victim.kill()
                    await trio.sleep(chance.uniform(1, 4))
                    for victim in victims:
                        await victim.start(nursery)
                over.set()
            left = await written(cluster)
            end = await end_of(cluster)

    assert len(acknowledged) > 10
    assert len({*acknowledged.values()}) == len(acknowledged), "every schema differs"
    assert end > 3 * len(left), "most of what was written is compacted away"
