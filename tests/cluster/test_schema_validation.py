"""Brokers that hold records against the schemas of the registry, in topics that ask for it."""

from __future__ import annotations

import io
import json
import struct

import fastavro
import pytest
import trio

from client import Admin, DeliveryFailed, NewTopic, Producer, ResourceType, TopicPartition
from protocol.batch import split_batches
from protocol.errors import ErrorCode
from protocol.records import decode_batch
from registry.topic import KEEPS_ALL
from simulation.cluster import simulated_cluster
from tests.support.compacted import keep_only
from tests.support.registries import registries

BOUND_S = 300
USER = {
    "type": "record",
    "name": "User",
    "fields": [{"name": "id", "type": "int"}, {"name": "name", "type": "string"}],
}
USER_TEXT = (
    '{"type":"record","name":"User","fields":[{"name":"id","type":"int"},'
    '{"name":"name","type":"string"}]}'
)


def encoded(schema_id: int, value: dict) -> bytes:
    """Write a value as a serializer does."""
    written = io.BytesIO(struct.pack(">bI", 0, schema_id))
    written.seek(0, io.SEEK_END)
    fastavro.schemaless_writer(written, USER, value)
    return written.getvalue()


class Shop:
    """A cluster with a registry, and a topic for each way of validation."""

    def __init__(self, cluster, caller, producer, admin):
        self.cluster, self.registry, self.producer, self.admin = cluster, caller, producer, admin

    async def refusal(self, topic: str, value: bytes | None, key: bytes | None = None) -> str:
        """Write what has to be refused for itself. Returns: why."""
        with pytest.raises(DeliveryFailed) as failed:
            await self.producer.send(topic, value, key=key)
        assert failed.value.cause.code is ErrorCode.INVALID_RECORD
        return str(failed.value.cause)


@pytest.fixture
async def shop(autojump_clock):
    """Three brokers, a registry, topics `ids` and `payloads`. Returns: Shop."""
    with trio.fail_after(BOUND_S):
        async with (
            simulated_cluster(3) as cluster,
            registries(cluster, 1) as (_, (caller,), _nursery),
            Producer(cluster.bootstrap, environment=cluster.environment("p")) as producer,
            Admin(cluster.bootstrap, environment=cluster.environment("a")) as admin,
        ):
            for name, mode in (("ids", "id"), ("payloads", "payload")):
                configs = {"ottla.schema.validation": mode}
                await admin.create_topic(NewTopic(name, 1, 3, configs))
            yield Shop(cluster, caller, producer, admin)


@pytest.mark.parametrize("topic", ["ids", "payloads"])
async def test_what_was_written_with_a_registered_schema_is_taken(shop, topic):
    _, told = await shop.registry.register(f"{topic}-value", USER_TEXT)

    value = encoded(told["id"], {"id": 1, "name": "a"})
    assert (await shop.producer.send(topic, value)).offset == 0
    assert (await shop.producer.send(topic, None)).offset == 1, "a tombstone has no schema"


@pytest.mark.parametrize("topic", ["ids", "payloads"])
async def test_a_schema_that_is_not_registered_for_the_topic_is_refused(shop, topic):
    _, told = await shop.registry.register("another-value", USER_TEXT)
    value = encoded(told["id"], {"id": 1, "name": "a"})

    why = await shop.refusal(topic, value)

    assert f"schema {told['id']}" in why
    assert f"subject {topic}-value" in why
    await shop.registry.register(f"{topic}-value", USER_TEXT)
    assert (await shop.producer.send(topic, value)).offset == 0, "once it is, it is taken"


@pytest.mark.parametrize("value", [b"", b"plain text", b"\1\0\0\0\1", b"\0\0\0"])
async def test_what_no_serializer_wrote_is_refused(shop, value):
    await shop.registry.register("ids-value", USER_TEXT)

    assert "serializer" in await shop.refusal("ids", value)


async def test_a_payload_that_does_not_decode_is_refused_with_its_field(shop):
    _, told = await shop.registry.register("payloads-value", USER_TEXT)
    await shop.registry.register("ids-value", USER_TEXT)
    cut = encoded(told["id"], {"id": 1, "name": "a"})[:-1]

    why = await shop.refusal("payloads", cut)

    assert "name" in why
    assert (await shop.producer.send("ids", cut)).offset == 0, "ids alone are looked at there"


async def test_keys_are_held_against_their_own_subject_where_it_has_schemas(shop):
    _, told = await shop.registry.register("ids-value", USER_TEXT)
    value = encoded(told["id"], {"id": 1, "name": "a"})
    assert (await shop.producer.send("ids", value, key=b"plain")).offset == 0

    await shop.registry.register("ids-key", '"string"')
    await trio.sleep(1)

    assert "key" in await shop.refusal("ids", value, key=b"plain")


async def test_the_setting_can_be_changed_while_records_are_written(shop):
    await shop.refusal("ids", b"plain")

    changes = {"ottla.schema.validation": None}
    await shop.admin.alter_configs(ResourceType.TOPIC, "ids", changes)

    assert (await shop.producer.send("ids", b"plain")).offset == 0


async def test_where_all_topics_ask_for_it_schemas_can_be_registered_all_the_same(autojump_clock):
    with trio.fail_after(BOUND_S):
        async with (
            simulated_cluster(1, properties={"ottla.schema.validation": "payload"}) as cluster,
            registries(cluster, 1) as (_, (caller,), _nursery),
        ):
            assert (await caller.register("a-value", USER_TEXT))[0] == 200


async def test_schemas_are_known_though_nothing_is_left_at_the_end_of_their_log(autojump_clock):
    """Compaction keeps the last batch, without records, so that the log ends where it ended."""
    log_file = "/data/_schemas-0/00000000000000000000.log"
    with trio.fail_after(BOUND_S):
        async with simulated_cluster(1) as cluster:
            async with registries(cluster, 1) as (_, (caller,), _nursery):
                _, told = await caller.register("ids-value", USER_TEXT)
                await caller.register("last-value", '"int"')
                for query in ("", "?permanent=true"):
                    await caller.call("DELETE", f"/subjects/last-value/versions/1{query}")
            broker = cluster.brokers[1]
            await broker.stop()
            batches = split_batches(broker.disk.read_file(log_file))
            newest = {
                record.key: record.offset for _, each in batches for record in decode_batch(each)
            }
            keep = {*newest.values()} - {batches[-1][0].last_offset}
            left = b"".join(keep_only(bytes(each), keep) for _, each in batches)
            broker.disk.write_file(log_file, left)
            await broker.start()

            async with (
                Producer(cluster.bootstrap, environment=cluster.environment("p")) as producer,
                Admin(cluster.bootstrap, environment=cluster.environment("a")) as admin,
            ):
                configs = {"ottla.schema.validation": "id"}
                await admin.create_topic(NewTopic("ids", 1, 1, configs))
                value = encoded(told["id"], {"id": 1, "name": "a"})
                assert (await producer.send("ids", value)).offset == 0


async def test_schemas_are_read_from_where_their_log_begins(autojump_clock):
    with trio.fail_after(BOUND_S):
        async with (
            simulated_cluster(1) as cluster,
            Producer(cluster.bootstrap, environment=cluster.environment("p")) as producer,
            Admin(cluster.bootstrap, environment=cluster.environment("a")) as admin,
        ):
            await admin.create_topic(NewTopic("_schemas", 1, 1, KEEPS_ALL))
            async with registries(cluster, 1) as (_, (caller,), _nursery):
                _, told = await caller.register("ids-value", USER_TEXT)
            await admin.delete_records({TopicPartition("_schemas", 0): 1})
            configs = {"ottla.schema.validation": "id"}
            await admin.create_topic(NewTopic("ids", 1, 1, configs))

            value = encoded(told["id"], {"id": 1, "name": "a"})
            assert (await producer.send("ids", value)).offset == 0
            async with registries(cluster, 1) as (_, (caller,), _nursery):
                assert await caller.get("/subjects") == (200, ["ids-value"])


async def test_without_a_registry_every_record_is_refused_and_nothing_hangs(autojump_clock):
    with trio.fail_after(BOUND_S):
        async with (
            simulated_cluster(1) as cluster,
            Producer(cluster.bootstrap, environment=cluster.environment("p")) as producer,
            Admin(cluster.bootstrap, environment=cluster.environment("a")) as admin,
        ):
            configs = {"ottla.schema.validation": "id"}
            await admin.create_topic(NewTopic("ids", 1, 1, configs))
            alone = Shop(cluster, None, producer, admin)

            assert "not registered" in await alone.refusal("ids", encoded(1, {"id": 1, "name": ""}))


async def test_a_schema_that_nobody_can_parse_is_told_as_the_cause(shop):
    """Another program's registry may know what ours does not."""
    await shop.registry.register("other", USER_TEXT)  # now there is a topic of schemas
    key = {"keytype": "SCHEMA", "subject": "payloads-value", "version": 1, "magic": 1}
    text = '{"type": "unheard-of"}'
    value = {"subject": "payloads-value", "version": 1, "id": 77, "schema": text, "deleted": False}
    record = (json.dumps(value).encode(), json.dumps(key).encode())
    await shop.producer.send("_schemas", record[0], key=record[1])

    refusal = await shop.refusal("payloads", struct.pack(">bI", 0, 77) + b"data")

    assert "has schema 77, which cannot be used" in refusal
    assert "unheard-of" in refusal
