"""What one client produces every client consumes, unchanged."""

from __future__ import annotations

import json

import pytest

from tests.support.needs import need_packages

need_packages("confluent_kafka", "kafka", "aiokafka")
from confluent_kafka import Producer, TopicPartition
from confluent_kafka.admin import (
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    NewPartitions,
    OffsetSpec,
)

from tests.interop.clients import CLIENTS, Message, Refused, create
from tests.support.local_cluster import ottla
from tests.support.under_test import AGAINST_KAFKA
from tests.support.waiting import wait_for

pytestmark = [
    pytest.mark.interop,
    # Their threads and sockets are closed when they like.
    pytest.mark.filterwarnings("default"),
]

every_client = pytest.mark.parametrize("client", CLIENTS, ids=lambda client: client.name)
COMPRESSIONS = ["none", "gzip", "snappy", "lz4", "zstd"]

ODD_MESSAGES = [
    Message(b"key", b"value"),
    Message(None, b"no key"),
    Message(b"tombstone", None),
    Message(b"", b""),
    Message(b"headers", b"v", (("one", b"1"), ("two", b""), ("one", b"again"))),
    Message("schlüssel".encode(), bytes(range(256))),
]

SEEN_WITHIN_S = 10
"""What one broker did is seen through any other by then; not at once, as in Kafka."""


@every_client
@pytest.mark.parametrize("compression", COMPRESSIONS)
def test_every_compression_passes_through(client, compression, cluster, topic):
    create(cluster.bootstrap, topic)
    messages = [Message(b"k%d" % (i % 7), b"value %d " % i * 20) for i in range(300)]

    offsets = client.produce(cluster.bootstrap, topic, messages, compression=compression)

    assert offsets == list(range(300))
    for reader in CLIENTS:
        assert reader.consume(cluster.bootstrap, topic, 300) == messages, reader.name


@pytest.mark.parametrize("kind", ["uncompressed", "gzip", "snappy", "lz4", "zstd"])
def test_a_topic_has_its_own_compression(kind, cluster, topic):
    create(cluster.bootstrap, topic, **{"compression.type": kind})
    written = []
    for client in CLIENTS:
        for compression in COMPRESSIONS:
            batch = [Message(b"k%d" % i, f"{compression} {i} ".encode() * 20) for i in range(50)]
            client.produce(cluster.bootstrap, topic, batch, compression=compression)
            written += batch

    for reader in CLIENTS:
        assert reader.consume(cluster.bootstrap, topic, len(written)) == written, reader.name
    if not AGAINST_KAFKA:
        replicas = sorted(cluster.directory.glob(f"broker-*/{topic}-0"))
        dumps = [ottla("log", "dump", str(each), "--json").splitlines() for each in replicas]
        stored = {json.loads(line)["compression"] for lines in dumps for line in lines}
        assert stored == {"none" if kind == "uncompressed" else kind}


@every_client
def test_nulls_headers_and_odd_bytes_survive(client, cluster, topic):
    create(cluster.bootstrap, topic)

    client.produce(cluster.bootstrap, topic, ODD_MESSAGES)

    for reader in CLIENTS:
        assert reader.consume(cluster.bootstrap, topic, len(ODD_MESSAGES)) == ODD_MESSAGES, (
            reader.name
        )


@every_client
def test_a_topic_that_is_not_there_is_created(client, cluster, topic):
    assert client.produce(cluster.bootstrap, topic, [Message(None, b"first")]) == [0]
    assert client.consume(cluster.bootstrap, topic, 1) == [Message(None, b"first")]


@every_client
def test_idempotent_producing_keeps_order(client, cluster, topic):
    create(cluster.bootstrap, topic)
    messages = [Message(None, b"%d" % i) for i in range(2_000)]

    offsets = client.produce(cluster.bootstrap, topic, messages, idempotent=True)

    assert offsets == list(range(2_000))
    assert client.consume(cluster.bootstrap, topic, 2_000) == messages


@every_client
def test_a_message_just_below_the_limit_is_taken_and_one_above_refused(client, cluster, topic):
    create(cluster.bootstrap, topic)
    near = Message(None, b"x" * 1_048_400)

    assert client.produce(cluster.bootstrap, topic, [near]) == [0]
    assert client.consume(cluster.bootstrap, topic, 1) == [near]
    with pytest.raises(Refused, match=r"(?i)large"):
        client.produce(cluster.bootstrap, topic, [Message(None, b"x" * 1_200_000)])


@every_client
def test_a_topic_may_allow_bigger_messages(client, cluster, topic):
    create(cluster.bootstrap, topic, **{"max.message.bytes": "12000000"})
    big = Message(None, bytes(range(256)) * 40_000)

    assert client.produce(cluster.bootstrap, topic, [big]) == [0]
    assert client.consume(cluster.bootstrap, topic, 1) == [big]


@every_client
def test_reading_starts_in_the_middle_of_a_batch(client, cluster, topic):
    create(cluster.bootstrap, topic)
    messages = [Message(None, b"%d" % i) for i in range(100)]
    CLIENTS[0].produce(cluster.bootstrap, topic, messages, compression="zstd")

    assert client.consume(cluster.bootstrap, topic, 63, offset=37) == messages[37:]


def test_offsets_are_found_by_timestamp(cluster, topic):
    create(cluster.bootstrap, topic, **{"retention.ms": "-1"})  # the records are of 2023
    producer = Producer({"bootstrap.servers": cluster.bootstrap, "linger.ms": 50})
    for i in range(50):
        producer.produce(topic, b"%d" % i, timestamp=1_700_000_000_000 + i * 1_000)
    producer.flush(20)
    admin = AdminClient({"bootstrap.servers": cluster.bootstrap})
    partition = TopicPartition(topic, 0)

    def look_up(spec):
        return admin.list_offsets({partition: spec})[partition].result(timeout=20).offset

    assert look_up(OffsetSpec.earliest()) == 0
    assert look_up(OffsetSpec.latest()) == 50
    assert look_up(OffsetSpec.for_timestamp(1_700_000_000_000 + 20_500)) == 21
    assert look_up(OffsetSpec.for_timestamp(1_700_000_000_000 + 20_000)) == 20
    assert look_up(OffsetSpec.max_timestamp()) == 49
    assert look_up(OffsetSpec.for_timestamp(1_800_000_000_000)) == -1


def test_topics_are_described_altered_and_deleted_by_librdkafkas_admin(cluster, topic):
    create(cluster.bootstrap, topic)
    admin = AdminClient({"bootstrap.servers": cluster.bootstrap})
    resource = ConfigResource(ConfigResource.Type.TOPIC, topic)
    resource.add_incremental_config(
        ConfigEntry("retention.ms", "12345", incremental_operation=AlterConfigOpType.SET)
    )
    for altered in admin.incremental_alter_configs([resource]).values():
        altered.result(timeout=20)
    asked = ConfigResource(ConfigResource.Type.TOPIC, topic)
    described = admin.describe_configs([asked])[asked].result(timeout=20)
    assert described["retention.ms"].value == "12345"
    for grown in admin.create_partitions([NewPartitions(topic, 4)]).values():
        grown.result(timeout=20)
    wait_for(
        lambda: len(admin.list_topics(topic, timeout=20).topics[topic].partitions) == 4,
        "every broker shows four partitions",
        within_s=SEEN_WITHIN_S,
    )
    for deleted in admin.delete_topics([topic]).values():
        deleted.result(timeout=20)
    wait_for(
        lambda: topic not in admin.list_topics(timeout=20).topics,
        "the topic is gone",
        within_s=SEEN_WITHIN_S,
    )


def test_who_wants_to_authenticate_is_told_that_there_is_no_need(cluster):
    told: list[str] = []
    state = "Request not valid in current SASL state"
    client = AdminClient(
        {
            "bootstrap.servers": cluster.bootstrap,
            "security.protocol": "SASL_PLAINTEXT",
            "sasl.mechanism": "PLAIN",
            "sasl.username": "user",
            "sasl.password": "secret",
            "error_cb": lambda error: told.append(error.str()),
        }
    )
    wait_for(
        lambda: client.poll(0.1) is not None and any(state in text for text in told),
        "the client is told why",
        within_s=20,
    )
