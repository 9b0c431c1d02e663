"""confluent-kafka's registry client and serializers, unchanged, against our registry."""

from __future__ import annotations

import json

import pytest

from tests.support.needs import need_packages

need_packages("confluent_kafka", "authlib")

from confluent_kafka import Consumer, Producer
from confluent_kafka.schema_registry import (
    Schema,
    SchemaReference,
    SchemaRegistryClient,
    dual_schema_id_deserializer,
    header_schema_id_serializer,
)
from confluent_kafka.schema_registry.avro import AvroDeserializer, AvroSerializer
from confluent_kafka.schema_registry.error import SchemaRegistryError
from confluent_kafka.schema_registry.json_schema import JSONDeserializer, JSONSerializer
from confluent_kafka.schema_registry.protobuf import ProtobufDeserializer, ProtobufSerializer
from confluent_kafka.serialization import MessageField, SerializationContext
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, timestamp_pb2

from tests.interop.clients import create

pytestmark = [pytest.mark.interop, pytest.mark.filterwarnings("default")]

USER = {
    "type": "record",
    "name": "User",
    "namespace": "shop",
    "fields": [{"name": "id", "type": "long"}, {"name": "name", "type": "string"}],
}
USER_AGED = USER | {
    "fields": [*USER["fields"], {"name": "age", "type": ["null", "int"], "default": None}]
}
USER_BROKEN = USER | {"fields": [*USER["fields"], {"name": "age", "type": "int"}]}
ORDER = {
    "$schema": "http://json-schema.org/draft-07/schema#",
    "title": "Order",
    "type": "object",
    "properties": {"id": {"type": "integer"}, "note": {"type": "string"}},
    "required": ["id"],
}


@pytest.fixture(scope="module")
def registry(shop):
    """confluent-kafka's client of the registry. Returns: SchemaRegistryClient."""
    with SchemaRegistryClient({"url": shop.registry}) as client:
        yield client


def round_trip(shop, topic, serialize, deserialize, value):
    """Write one value and read it back through the brokers."""
    context = SerializationContext(topic, MessageField.VALUE)
    create(shop.bootstrap, topic)
    producer = Producer({"bootstrap.servers": shop.bootstrap})
    producer.produce(topic, serialize(value, context))
    assert producer.flush(30) == 0
    return deserialize(read_one(shop, topic).value(), context)


def read_one(shop, topic):
    """Read the first record of a topic."""
    consumer = Consumer(
        {
            "bootstrap.servers": shop.bootstrap,
            "group.id": topic,
            "auto.offset.reset": "earliest",
        }
    )
    try:
        consumer.subscribe([topic])
        message = consumer.poll(30)
        assert message is not None
        assert message.error() is None
        return message
    finally:
        consumer.close()


def point_class():
    """Make a Protobuf message class, as protoc would."""
    kinds = descriptor_pb2.FieldDescriptorProto
    file = descriptor_pb2.FileDescriptorProto(
        name="point.proto",
        package="shop",
        syntax="proto3",
        dependency=["google/protobuf/timestamp.proto"],
    )
    message = file.message_type.add(name="Point")
    message.field.add(name="x", number=1, type=kinds.TYPE_INT32, label=kinds.LABEL_OPTIONAL)
    message.field.add(name="name", number=2, type=kinds.TYPE_STRING, label=kinds.LABEL_OPTIONAL)
    message.field.add(
        name="at",
        number=3,
        type=kinds.TYPE_MESSAGE,
        type_name=".google.protobuf.Timestamp",
        label=kinds.LABEL_OPTIONAL,
    )
    pool = descriptor_pool.Default()
    pool.FindFileByName(timestamp_pb2.DESCRIPTOR.name)  # it is there once it is imported
    pool.AddSerializedFile(file.SerializeToString())
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("shop.Point"))


def test_avro_values_travel_by_the_id_of_their_schema(shop, registry, topic):
    serialize = AvroSerializer(registry, json.dumps(USER))

    user = {"id": 1, "name": "Ottla"}
    assert round_trip(shop, topic, serialize, AvroDeserializer(registry), user) == user
    assert registry.get_latest_version(f"{topic}-value").version == 1


def test_avro_values_travel_by_the_guid_of_their_schema_in_a_header(shop, registry, topic):
    by_guid = {"schema.id.serializer": header_schema_id_serializer}
    serialize = AvroSerializer(registry, json.dumps(USER), conf=by_guid)
    create(shop.bootstrap, topic)
    headers = {}
    context = SerializationContext(topic, MessageField.VALUE, headers)
    user = {"id": 1, "name": "Ottla"}
    producer = Producer({"bootstrap.servers": shop.bootstrap})
    producer.produce(topic, serialize(user, context), headers=headers)
    assert producer.flush(30) == 0

    message = read_one(shop, topic)

    with SchemaRegistryClient({"url": shop.registry}) as another:  # it has seen no schema yet
        deserialize = AvroDeserializer(
            another, conf={"schema.id.deserializer": dual_schema_id_deserializer}
        )
        context = SerializationContext(topic, MessageField.VALUE, dict(message.headers()))
        assert deserialize(message.value(), context) == user
    assert message.value()[:1] != b"\0"


def test_an_older_reader_reads_what_a_newer_schema_wrote(shop, registry, topic):
    AvroSerializer(registry, json.dumps(USER))({"id": 1, "name": "a"}, _value(topic))
    serialize = AvroSerializer(registry, json.dumps(USER_AGED))
    older = AvroDeserializer(registry, json.dumps(USER))

    aged = {"id": 2, "name": "b", "age": 30}
    assert round_trip(shop, topic, serialize, older, aged) == {"id": 2, "name": "b"}
    assert registry.get_versions(f"{topic}-value") == [1, 2]


def test_a_schema_that_would_break_readers_stops_the_producer(registry, topic):
    AvroSerializer(registry, json.dumps(USER))({"id": 1, "name": "a"}, _value(topic))
    broken = AvroSerializer(registry, json.dumps(USER_BROKEN))

    with pytest.raises(SchemaRegistryError) as refused:
        broken({"id": 2, "name": "b", "age": 3}, _value(topic))

    assert refused.value.http_status_code == 409
    assert "age" in refused.value.error_message


def test_json_values_are_checked_on_both_sides(shop, registry, topic):
    text = json.dumps(ORDER)
    serialize = JSONSerializer(text, registry, conf={"auto.register.schemas": True})

    order = {"id": 7, "note": "soon"}
    found = round_trip(
        shop, topic, serialize, JSONDeserializer(text, schema_registry_client=registry), order
    )
    assert found == order
    assert registry.get_latest_version(f"{topic}-value").schema.schema_type == "JSON"


def test_protobuf_messages_travel_with_their_descriptor(shop, registry, topic):
    kind = point_class()
    serialize = ProtobufSerializer(kind, registry, {"use.deprecated.format": False})
    deserialize = ProtobufDeserializer(kind, {"use.deprecated.format": False}, registry)

    sent = kind(x=5, name="here")
    sent.at.FromSeconds(60)
    assert round_trip(shop, topic, serialize, deserialize, sent) == sent
    stored = registry.get_latest_version(f"{topic}-value").schema
    assert stored.schema_type == "PROTOBUF"
    assert "message Point" in stored.schema_str
    assert 'import "google/protobuf/timestamp.proto"' in stored.schema_str


def test_a_schema_refers_to_another(registry, topic):
    registry.register_schema(f"{topic}-user", Schema(json.dumps(USER), "AVRO"))
    order = {"type": "record", "name": "O", "fields": [{"name": "by", "type": "shop.User"}]}
    reference = SchemaReference("shop.User", f"{topic}-user", 1)
    schema_id = registry.register_schema(
        f"{topic}-value", Schema(json.dumps(order), "AVRO", [reference])
    )

    found = registry.get_schema(schema_id)
    assert [each.subject for each in found.references] == [f"{topic}-user"]
    serialize = AvroSerializer(registry, found)
    assert serialize({"by": {"id": 1, "name": "x"}}, _value(topic))[:1] == b"\0"


def test_the_rest_of_the_client_works(registry, topic):
    subject = f"{topic}-value"
    first = registry.register_schema(subject, Schema(json.dumps(USER), "AVRO"))
    second = registry.register_schema(subject, Schema(json.dumps(USER_AGED), "AVRO"))

    assert first != second
    assert subject in registry.get_subjects()
    assert registry.lookup_schema(subject, Schema(json.dumps(USER), "AVRO")).schema_id == first
    assert registry.get_version(subject, 1).schema_id == first
    assert registry.set_compatibility(subject, "FULL")["compatibility"] == "FULL"
    assert registry.get_compatibility(subject) == "FULL"
    assert not registry.test_compatibility(subject, Schema(json.dumps(USER_BROKEN), "AVRO"))
    assert registry.test_compatibility(subject, Schema(json.dumps(USER), "AVRO"))
    assert registry.delete_version(subject, 1) == 1
    assert registry.get_versions(subject) == [2]
    assert registry.delete_subject(subject) == [2]
    assert registry.delete_subject(subject, permanent=True) == [1, 2]
    with pytest.raises(SchemaRegistryError) as refused:
        registry.get_latest_version(subject)
    assert (refused.value.http_status_code, refused.value.error_code) == (404, 40401)


def _value(topic):
    return SerializationContext(topic, MessageField.VALUE)
