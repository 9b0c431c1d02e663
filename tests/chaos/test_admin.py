"""What an admin was told is done is done, though every process is killed at that moment."""

from __future__ import annotations

import time

import pytest

from tests.support.needs import need_packages

need_packages("confluent_kafka")
from confluent_kafka import Producer, TopicPartition
from confluent_kafka.admin import (
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    NewTopic,
    OffsetSpec,
)

from tests.support.local_cluster import LocalCluster

pytestmark = pytest.mark.chaos

TIMEOUT_S = 30
TOPIC = "orders"
ROUNDS = 3


@pytest.fixture(params=["embedded", pytest.param("zookeeper", marks=pytest.mark.zookeeper)])
def cluster(request, tmp_path):
    """Three brokers, on either coordinator."""
    real = request.param == "zookeeper"
    hosts = request.getfixturevalue("mortal_zookeeper").hosts if real else None
    local = LocalCluster(tmp_path / "cluster", zookeeper=hosts)
    try:
        local.up()
        yield local
    finally:
        print(local.logs())  # shown where the test has failed
        local.close()


@pytest.fixture
def admin(cluster):
    # What librdkafka did is shown where the test has failed.
    return AdminClient({"bootstrap.servers": cluster.bootstrap, "debug": "admin,broker,protocol"})


def fill(cluster: LocalCluster, admin: AdminClient) -> None:
    (created,) = admin.create_topics([NewTopic(TOPIC, 1, 3)]).values()
    created.result(TIMEOUT_S)
    producer = Producer({"bootstrap.servers": cluster.bootstrap, "acks": "all"})
    for number in range(1_000):
        producer.produce(TOPIC, b"%d" % number)
    assert producer.flush(TIMEOUT_S) == 0


def kill_all_and_start_again(cluster: LocalCluster) -> None:
    cluster.kill(*cluster.nodes())
    cluster.up()


def wait_led(admin: AdminClient) -> None:
    """Wait for a leader: librdkafka's admin does not look twice."""
    deadline = time.monotonic() + TIMEOUT_S
    while admin.list_topics(TOPIC, timeout=TIMEOUT_S).topics[TOPIC].partitions[0].leader < 0:
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_deleted_records_do_not_come_back(cluster, admin):
    fill(cluster, admin)
    for offset in (100 * (round_ + 1) for round_ in range(ROUNDS)):
        wanted = TopicPartition(TOPIC, 0, offset)
        (deleted,) = admin.delete_records([wanted]).values()
        assert deleted.result(TIMEOUT_S).low_watermark == offset
        kill_all_and_start_again(cluster)

        wait_led(admin)
        (earliest,) = admin.list_offsets({wanted: OffsetSpec.earliest()}).values()
        assert earliest.result(TIMEOUT_S).offset == offset


def test_settings_given_at_run_time_stay(cluster, admin):
    for value in (str(1_000 + round_) for round_ in range(ROUNDS)):
        entry = ConfigEntry("log.roll.ms", value, incremental_operation=AlterConfigOpType.SET)
        resource = ConfigResource(ConfigResource.Type.BROKER, "2", incremental_configs=[entry])
        (altered,) = admin.incremental_alter_configs([resource]).values()
        altered.result(TIMEOUT_S)
        kill_all_and_start_again(cluster)

        # While they start, one tells librdkafka of those that are back; it would ask for the others
        # no more for five minutes, and wait for broker 2 meanwhile.
        assert 2 in admin.list_topics(timeout=TIMEOUT_S).brokers
        asked = ConfigResource(ConfigResource.Type.BROKER, "2")
        (found,) = admin.describe_configs([asked]).values()
        assert found.result(TIMEOUT_S)["log.roll.ms"].value == value
