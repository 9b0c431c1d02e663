"""Other people's Kafka clients for Python, behind one interface: all are asked the same."""

from __future__ import annotations

import asyncio
import time
from typing import NamedTuple, Protocol

import aiokafka
import kafka
from confluent_kafka import Consumer, KafkaError, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

TIMEOUT_S = 30
BIG_BYTES = 20_000_000


class Message(NamedTuple):
    """A record as all clients know it; headers are (name, value or None)."""

    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes | None], ...] = ()


class Refused(Exception):
    """The broker refused a record; the text is what the client makes of it."""


class Client(Protocol):
    """Produces to and consumes from partition 0 of a topic."""

    name: str

    def produce(
        self,
        bootstrap: str,
        topic: str,
        messages: list[Message],
        *,
        compression: str = "none",
        idempotent: bool = False,
    ) -> list[int]:
        """Produce with acks=all. Returns: the offsets. Raises: Refused."""

    def consume(self, bootstrap: str, topic: str, count: int, *, offset: int = 0) -> list[Message]:
        """Read `count` records from `offset`, by assignment."""


class Confluent:
    """confluent-kafka (librdkafka)."""

    name = "confluent-kafka"

    def produce(self, bootstrap, topic, messages, *, compression="none", idempotent=False):
        producer = Producer(
            {
                "bootstrap.servers": bootstrap,
                "acks": "all",
                "compression.type": compression,
                "enable.idempotence": idempotent,
                "linger.ms": 20,
                "message.max.bytes": BIG_BYTES,
            }
        )
        offsets, errors = [], []

        def delivered(error, message):
            if error is not None:
                errors.append(error)
            else:
                offsets.append(message.offset())

        for message in messages:
            producer.produce(
                topic,
                message.value,
                message.key,
                partition=0,
                headers=list(message.headers),
                on_delivery=delivered,
            )
        assert producer.flush(TIMEOUT_S) == 0
        if errors:
            raise Refused(errors[0].str())
        return offsets

    def consume(self, bootstrap, topic, count, *, offset=0):
        consumer = Consumer(
            {
                "bootstrap.servers": bootstrap,
                "group.id": "unused",
                "enable.auto.commit": False,
                "auto.offset.reset": "error",
                "check.crcs": True,
                "fetch.message.max.bytes": BIG_BYTES,
            }
        )
        consumer.assign([TopicPartition(topic, 0, offset)])
        found = []
        deadline = time.monotonic() + TIMEOUT_S
        try:
            while len(found) < count and time.monotonic() < deadline:
                message = consumer.poll(0.5)
                if message is None:
                    continue
                if message.error() is not None:
                    assert message.error().code() == KafkaError._PARTITION_EOF, message.error()
                    continue
                headers = tuple((k, v) for k, v in message.headers() or ())
                found.append(Message(message.key(), message.value(), headers))
        finally:
            consumer.close()
        return found


class KafkaPython:
    """kafka-python."""

    name = "kafka-python"

    def produce(self, bootstrap, topic, messages, *, compression="none", idempotent=False):
        producer = kafka.KafkaProducer(
            bootstrap_servers=bootstrap,
            acks="all",
            compression_type=None if compression == "none" else compression,
            enable_idempotence=idempotent,
            linger_ms=20,
            max_request_size=BIG_BYTES,
        )
        try:
            sent = [
                producer.send(topic, m.value, m.key, headers=list(m.headers), partition=0)
                for m in messages
            ]
            producer.flush(TIMEOUT_S)
            return [future.get(TIMEOUT_S).offset for future in sent]
        except kafka.errors.KafkaError as error:
            raise Refused(str(error)) from error
        finally:
            producer.close(timeout=5)

    def consume(self, bootstrap, topic, count, *, offset=0):
        consumer = kafka.KafkaConsumer(
            bootstrap_servers=bootstrap,
            consumer_timeout_ms=TIMEOUT_S * 1000,
            check_crcs=True,
            enable_auto_commit=False,
            max_partition_fetch_bytes=BIG_BYTES,
            fetch_max_bytes=BIG_BYTES,
        )
        try:
            partition = kafka.TopicPartition(topic, 0)
            consumer.assign([partition])
            consumer.seek(partition, offset)
            found = []
            for record in consumer:
                found.append(Message(record.key, record.value, tuple(record.headers)))
                if len(found) == count:
                    break
            return found
        finally:
            consumer.close()


class Aiokafka:
    """aiokafka."""

    name = "aiokafka"

    def produce(self, bootstrap, topic, messages, *, compression="none", idempotent=False):
        return asyncio.run(self._produce(bootstrap, topic, messages, compression, idempotent))

    def consume(self, bootstrap, topic, count, *, offset=0):
        return asyncio.run(self._consume(bootstrap, topic, count, offset))

    async def _produce(self, bootstrap, topic, messages, compression, idempotent):
        producer = aiokafka.AIOKafkaProducer(
            bootstrap_servers=bootstrap,
            acks="all",
            compression_type=None if compression == "none" else compression,
            enable_idempotence=idempotent,
            linger_ms=20,
            max_request_size=BIG_BYTES,
        )
        await producer.start()
        try:
            sent = [
                await producer.send(topic, m.value, m.key, headers=list(m.headers), partition=0)
                for m in messages
            ]
            return [(await asyncio.wait_for(future, TIMEOUT_S)).offset for future in sent]
        except aiokafka.errors.KafkaError as error:
            raise Refused(str(error)) from error
        finally:
            await producer.stop()

    async def _consume(self, bootstrap, topic, count, offset):
        consumer = aiokafka.AIOKafkaConsumer(
            bootstrap_servers=bootstrap,
            enable_auto_commit=False,
            max_partition_fetch_bytes=BIG_BYTES,
        )
        await consumer.start()
        try:
            partition = aiokafka.TopicPartition(topic, 0)
            consumer.assign([partition])
            consumer.seek(partition, offset)
            found = []
            while len(found) < count:
                record = await asyncio.wait_for(consumer.getone(), TIMEOUT_S)
                found.append(Message(record.key, record.value, tuple(record.headers)))
            return found
        finally:
            await consumer.stop()


CLIENTS: list[Client] = [Confluent(), KafkaPython(), Aiokafka()]


def create(bootstrap: str, topic: str, *, replication_factor: int = 3, **config: str) -> None:
    admin = AdminClient({"bootstrap.servers": bootstrap})
    new = NewTopic(topic, num_partitions=1, replication_factor=replication_factor, config=config)
    for created in admin.create_topics([new]).values():
        created.result(timeout=20)
