"""`ottla group` beside Kafka's own kafka-consumer-groups, on the same group of our brokers."""

from __future__ import annotations

import json
import subprocess

import pytest

from tests.support.local_cluster import ottla
from tests.support.needs import need_packages

need_packages("confluent_kafka")

from confluent_kafka import Consumer, TopicPartition

pytestmark = pytest.mark.interop

TOOL = "org.apache.kafka.tools.consumer.group.ConsumerGroupCommand"
TIMEOUT_S = 60
POLLS_MAX = 300


def rows_of_kafka(class_path, bootstrap, group):
    """Describe a group with Kafka's tool. Returns: (topic, partition, offset, end, lag, member)."""
    arguments = ["--bootstrap-server", bootstrap, "--describe", "--group", group]
    done = subprocess.run(
        ["java", "-Xmx128m", "-cp", class_path, TOOL, *arguments],
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=True,
    )
    cells = [line.split() for line in done.stdout.splitlines() if line.startswith(group)]
    return sorted(tuple(row[1:7]) for row in cells)


def rows_of_ottla(bootstrap, group):
    """Describe a group with ours, in the same way."""
    answer = json.loads(ottla("group", "describe", group, "--bootstrap", bootstrap, "--json"))
    (described,) = answer["groups"]
    fields = "topic", "partition", "committed", "high_watermark", "high_watermark_lag", "member"
    return sorted(
        tuple("-" if one[field] is None else str(one[field]) for field in fields)
        for one in described["partitions"]
    )


def test_our_lags_are_those_of_kafkas_own_tool(cluster, topic, java_class_path):
    group, servers = f"{topic}-group", cluster.bootstrap
    ottla("topic", "create", topic, "--partitions", "3", "--bootstrap", servers)
    lines = "".join(f"{n}\n" for n in range(50))
    for partition in ("0", "2"):
        ottla("produce", topic, "--partition", partition, "--bootstrap", servers, stdin=lines)
    member = Consumer(
        {
            "bootstrap.servers": servers,
            "group.id": group,
            "auto.offset.reset": "earliest",
            "enable.auto.commit": False,
        }
    )
    member.subscribe([topic])
    try:
        for _ in range(POLLS_MAX):
            member.poll(0.1)
            if len(member.assignment()) == 3:
                break
        committed = [(0, 20), (2, 50)]
        member.commit(
            offsets=[TopicPartition(topic, *one) for one in committed],
            asynchronous=False,
        )
        with_a_member = rows_of_ottla(servers, group)
        assert with_a_member == rows_of_kafka(java_class_path, servers, group)
    finally:
        member.close()

    assert [row[:5] for row in with_a_member] == [
        (topic, "0", "20", "50", "30"), (topic, "1", "-", "0", "-"), (topic, "2", "50", "50", "0"),
    ]  # fmt: skip
    alone = rows_of_ottla(servers, group)
    assert [row[1:] for row in alone] == [("0", "20", "50", "30", "-"), ("2", "50", "50", "0", "-")]
    assert alone == rows_of_kafka(java_class_path, servers, group)
