"""The admin clients of confluent-kafka and kafka-python: settings, sizes, deletion, growth."""

from __future__ import annotations

import pytest

from tests.support.needs import need_packages

need_packages("confluent_kafka", "kafka", "aiokafka")

import kafka
from confluent_kafka import KafkaException, TopicCollection, TopicPartition
from confluent_kafka.admin import (
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    ConfigSource,
    NewPartitions,
    NewTopic,
    OffsetSpec,
)
from kafka.admin import ConfigResource as KafkaConfigResource
from kafka.admin import KafkaAdminClient

from tests.interop.clients import Confluent, Message

pytestmark = [pytest.mark.interop, pytest.mark.filterwarnings("default")]

TIMEOUT_S = 30
BROKER = ConfigResource.Type.BROKER


@pytest.fixture
def confluent(cluster):
    return AdminClient({"bootstrap.servers": cluster.bootstrap})


@pytest.fixture
def python(cluster):
    admin = KafkaAdminClient(bootstrap_servers=cluster.bootstrap)
    yield admin
    admin.close()


@pytest.fixture
def records(confluent, cluster, topic):
    """A topic of two partitions whose first holds ten records. Returns: its name."""
    (created,) = confluent.create_topics([NewTopic(topic, 2, 3)]).values()
    created.result(TIMEOUT_S)
    Confluent().produce(cluster.bootstrap, topic, [Message(None, bytes(1_000))] * 10)
    return topic


def give(admin: AdminClient, operation: AlterConfigOpType, value: str | None) -> None:
    entry = ConfigEntry("log.roll.ms", value, incremental_operation=operation)
    resource = ConfigResource(BROKER, "2", incremental_configs=[entry])
    (done,) = admin.incremental_alter_configs([resource]).values()
    done.result(TIMEOUT_S)


def roll_ms(admin: AdminClient) -> ConfigEntry:
    (found,) = admin.describe_configs([ConfigResource(BROKER, "2")]).values()
    return found.result(TIMEOUT_S)["log.roll.ms"]


def test_confluent_gives_a_broker_a_setting_and_takes_it_back(confluent):
    give(confluent, AlterConfigOpType.SET, "12345")
    try:
        found = roll_ms(confluent)
        assert (found.value, found.is_read_only) == ("12345", False)
        assert found.source == ConfigSource.DYNAMIC_BROKER_CONFIG.value
    finally:
        give(confluent, AlterConfigOpType.DELETE, None)
    assert roll_ms(confluent).source == ConfigSource.DEFAULT_CONFIG.value


def test_kafka_python_gives_a_broker_a_setting_and_takes_it_back(python, confluent):
    # Neither of the two clients lets one leave the broker's name out, which stands for all.
    python.alter_configs([KafkaConfigResource("BROKER", "2", {"log.roll.ms": "54321"})])
    try:
        assert roll_ms(confluent).value == "54321"
    finally:
        taken_back = {"log.roll.ms": ("DELETE", None)}
        python.alter_configs([KafkaConfigResource("BROKER", "2", taken_back)])
    assert roll_ms(confluent).source == ConfigSource.DEFAULT_CONFIG.value


def test_confluent_is_told_why_a_setting_cannot_be_given(confluent):
    entry = ConfigEntry("node.id", "9", incremental_operation=AlterConfigOpType.SET)
    resource = ConfigResource(BROKER, "1", incremental_configs=[entry])
    (refused,) = confluent.incremental_alter_configs([resource]).values()

    with pytest.raises(KafkaException, match="restart the broker"):
        refused.result(TIMEOUT_S)


def test_confluent_deletes_records_and_finds_the_log_to_start_behind_them(confluent, records):
    first, second = (TopicPartition(records, index, 4) for index in (0, 1))
    deleted = confluent.delete_records([first, second])

    assert deleted[first].result(TIMEOUT_S).low_watermark == 4
    with pytest.raises(KafkaException, match=r"[Oo]ffset.*out of range"):
        deleted[second].result(TIMEOUT_S)
    (earliest,) = confluent.list_offsets({first: OffsetSpec.earliest()}).values()
    assert earliest.result(TIMEOUT_S).offset == 4


def test_confluent_describes_the_cluster_and_makes_a_topic_wider(confluent, records):
    described = confluent.describe_cluster(include_authorized_operations=True).result(TIMEOUT_S)
    assert sorted(node.id for node in described.nodes) == [1, 2, 3]
    assert described.controller.id in (1, 2, 3)
    (grown,) = confluent.create_partitions([NewPartitions(records, 5)]).values()
    grown.result(TIMEOUT_S)

    (topic,) = confluent.describe_topics(TopicCollection([records])).values()
    assert len(topic.result(TIMEOUT_S).partitions) == 5


def test_kafka_python_reads_settings_sizes_and_pages_of_topics(python, cluster, records):
    sizes = {
        (answer["broker"], topic["name"], partition["partition_index"]): partition["partition_size"]
        for answer in python.describe_log_dirs({records: [0, 1]})
        for directory in answer["log_dirs"]
        for topic in directory["topics"]
        for partition in topic["partitions"]
    }
    assert {key: size > 10_000 for key, size in sizes.items()} == {
        (broker_id, records, index): index == 0 for broker_id in (1, 2, 3) for index in (0, 1)
    }
    pages = python.describe_topic_partitions([records])
    assert pages
    listed = python.list_config_resources(["BROKER"])
    assert listed == {"broker": ["1", "2", "3"]}


def test_kafka_python_deletes_records(python, records):
    partition = kafka.TopicPartition(records, 0)

    deleted = python.delete_records({partition: 7})

    assert deleted[partition]["low_watermark"] == 7


def test_kafka_python_alters_a_topic(python, records):
    resource = KafkaConfigResource("TOPIC", records, {"retention.ms": "1234"})
    python.alter_configs([resource])

    found = python.describe_configs([KafkaConfigResource("TOPIC", records)])
    assert "1234" in str(found)
