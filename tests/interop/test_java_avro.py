"""Avro in Java: Apache's Avro and Kafka's client, with Spring's client of the schema registry."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.support.needs import need_packages

need_packages("confluent_kafka", "authlib")

from confluent_kafka.schema_registry import SchemaRegistryClient

from client import Consumer, Producer, TopicPartition
from client.avro import AvroDeserializer, AvroSerializer
from client.schema_registry import SchemaRegistry
from tests.interop.clients import create

pytestmark = [pytest.mark.interop, pytest.mark.filterwarnings("default")]

AVRO_CLIENT = str(Path(__file__).parent / "java" / "AvroClient.java")

POST = {
    "type": "record",
    "name": "Post",
    "namespace": "social",
    "fields": [
        {"name": "id", "type": "long"},
        {"name": "text", "type": "string"},
        {"name": "tags", "type": {"type": "array", "items": "string"}, "default": []},
        {
            "name": "by",
            "type": {"type": "record", "name": "User", "fields": [{"name": "id", "type": "int"}]},
        },
        {"name": "mood", "type": {"type": "enum", "name": "Mood", "symbols": ["GOOD", "BAD"]}},
    ],
}
POSTS = [
    {"id": 1 << 40, "text": "gruezi \u2603", "tags": ["a", "b"], "by": {"id": 7}, "mood": "GOOD"},
    {"id": -1, "text": "", "tags": [], "by": {"id": -7}, "mood": "BAD"},
]


async def test_java_reads_what_we_wrote(java, shop, topic):
    create(shop.bootstrap, topic)
    async with SchemaRegistry(shop.registry) as registry, Producer(shop.bootstrap) as producer:
        serialize = AvroSerializer(registry, json.dumps(POST))
        for post in POSTS:
            await producer.send(topic, await serialize(topic, post))

    read = java.run(AVRO_CLIENT, shop.bootstrap, shop.registry, topic, "read", str(len(POSTS)))

    assert [json.loads(line) for line in read.splitlines()] == POSTS


async def test_we_read_what_java_wrote(java, shop, topic, tmp_path):
    create(shop.bootstrap, topic)
    schema = tmp_path / "post.avsc"
    schema.write_text(json.dumps(POST))
    lines = "".join(f"{json.dumps(post)}\n" for post in POSTS)

    told = java.run(
        AVRO_CLIENT,
        *(shop.bootstrap, shop.registry, topic, "write", str(schema)),
        stdin=lines,
    )

    with SchemaRegistryClient({"url": shop.registry}) as client:
        latest = client.get_latest_version(f"{topic}-value")
    assert told.split() == [str(latest.schema_id), "1"]
    place = TopicPartition(topic, 0)
    async with SchemaRegistry(shop.registry) as registry, Consumer(shop.bootstrap) as consumer:
        deserialize = AvroDeserializer(registry)
        await consumer.assign({place: 0})
        found = []
        while len(found) < len(POSTS):
            found += [
                await deserialize(topic, each.value) for each in await consumer.poll(timeout_s=5)
            ]
    assert found == POSTS


def test_a_schema_that_would_break_readers_is_refused_to_java(java, shop, topic, tmp_path):
    create(shop.bootstrap, topic)
    schema = tmp_path / "post.avsc"
    schema.write_text(json.dumps(POST))
    java.run(AVRO_CLIENT, shop.bootstrap, shop.registry, topic, "write", str(schema))
    broken = {**POST, "fields": [*POST["fields"], {"name": "place", "type": "string"}]}
    schema.write_text(json.dumps(broken))

    said = java.run(
        AVRO_CLIENT, shop.bootstrap, shop.registry, topic, "write", str(schema), fails=True
    )

    assert "409" in said
    assert "READER_FIELD_MISSING_DEFAULT_VALUE" in said
