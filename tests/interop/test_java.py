"""Apache Kafka's own Java client and tools, from Maven, unchanged."""

from __future__ import annotations

import json
import time

import pytest

from tests.support.needs import need_packages

need_packages("confluent_kafka", "kafka", "aiokafka")

from tests.interop.clients import Confluent, Message, create
from tests.interop.java_tools import TOOLS

BOUND_S = 60

pytestmark = [pytest.mark.interop, pytest.mark.filterwarnings("default")]


def settings(tmp_path, **values: str) -> str:
    path = tmp_path / "client.properties"
    path.write_text("".join(f"{k.replace('_', '.')}={v}\n" for k, v in values.items()))
    return str(path)


@pytest.mark.parametrize("compression", ["none", "gzip", "snappy", "lz4", "zstd"])
def test_console_producer_and_assigned_console_consumer(compression, java, cluster, topic):
    lines = [f"line {i} of some length" for i in range(200)]
    java.run(
        f"{TOOLS}.ConsoleProducer",
        *("--bootstrap-server", cluster.bootstrap, "--topic", topic),
        *("--command-property", "acks=all", f"--compression-codec={compression}"),
        stdin="\n".join(lines) + "\n",
    )

    read = java.run(
        f"{TOOLS}.consumer.ConsoleConsumer",
        *("--bootstrap-server", cluster.bootstrap, "--topic", topic),
        *("--partition", "0", "--offset", "earliest", "--max-messages", "200"),
        *("--timeout-ms", "30000"),
    )

    assert read.splitlines() == lines
    values = [m.value.decode() for m in Confluent().consume(cluster.bootstrap, topic, 200)]
    assert values == lines


@pytest.mark.parametrize("compression", ["none", "gzip", "snappy", "lz4", "zstd"])
def test_java_reads_what_librdkafka_wrote(compression, java, cluster, topic):
    messages = [Message(b"k%d" % i, b"value %d" % i) for i in range(100)]
    Confluent().produce(cluster.bootstrap, topic, messages, compression=compression)

    read = java.run(
        f"{TOOLS}.consumer.ConsoleConsumer",
        *("--bootstrap-server", cluster.bootstrap, "--topic", topic),
        *("--partition", "0", "--offset", "earliest", "--max-messages", "100"),
        *("--timeout-ms", "30000", "--formatter-property", "print.key=true"),
    )

    assert read.splitlines() == [f"k{i}\tvalue {i}" for i in range(100)]


@pytest.mark.parametrize("acks", ["-1", "1", "0"])
def test_verifiable_producer_has_every_record_acknowledged(acks, java, cluster, topic):
    told = java.run(
        f"{TOOLS}.VerifiableProducer",
        *("--bootstrap-server", cluster.bootstrap, "--topic", topic),
        *("--max-messages", "500", "--acks", acks),
    )

    events = [json.loads(line) for line in told.splitlines()]
    assert events[-1]["name"] == "tool_data"
    assert (events[-1]["sent"], events[-1]["acked"]) == (500, 500)


def test_topics_tool_creates_describes_and_deletes(java, cluster, topic):
    def topics(*arguments: str) -> str:
        return java.run(
            f"{TOOLS}.TopicCommand", "--bootstrap-server", cluster.bootstrap, *arguments
        )

    topics(
        *("--create", "--topic", topic, "--partitions", "3"),
        *("--replication-factor", "3", "--config", "retention.ms=1000000"),
    )
    described = topics("--describe", "--topic", topic)
    assert "PartitionCount: 3" in described
    assert "ReplicationFactor: 3" in described
    assert "retention.ms=1000000" in described
    topics("--alter", "--topic", topic, "--partitions", "5")
    topics("--delete", "--topic", topic)
    deadline = time.monotonic() + BOUND_S
    while topic in topics("--list").split():
        assert time.monotonic() < deadline


def test_offsets_and_versions_are_asked_for_by_its_tools(java, cluster, topic):
    Confluent().produce(cluster.bootstrap, topic, [Message(None, b"x")] * 7)

    found = java.run(
        f"{TOOLS}.GetOffsetShell",
        *("--bootstrap-server", cluster.bootstrap, "--topic", topic),
    )
    assert found.split() == [f"{topic}:0:7"]
    versions = java.run(
        f"{TOOLS}.BrokerApiVersionsCommand", "--bootstrap-server", cluster.bootstrap
    )
    assert "Produce(0): 0 to 12" in versions


@pytest.mark.parametrize("compression", ["none", "gzip", "snappy", "lz4", "zstd"])
def test_dump_log_segments_reads_our_segments(compression, java, cluster, topic):
    messages = [Message(b"key %d" % i, b"value %d" % i) for i in range(300)]
    Confluent().produce(
        cluster.bootstrap, topic, messages, compression=compression, idempotent=True
    )

    for broker in ("broker-1", "broker-2", "broker-3"):
        directory = cluster.directory / broker / f"{topic}-0"
        files = sorted(directory.glob("*.log"))
        dumped = java.run(
            f"{TOOLS}.DumpLogSegments",
            *("--deep-iteration", "--print-data-log", "--files", ",".join(map(str, files))),
        )
        records = [line for line in dumped.splitlines() if "payload:" in line]
        assert len(records) == 300, broker
        assert "payload: value 299" in records[-1]
        assert "isvalid: true" in dumped
        assert "isvalid: false" not in dumped


def test_dump_log_segments_finds_our_indexes_sound(java, cluster, topic):
    create(cluster.bootstrap, topic, **{"segment.bytes": "100000"})
    messages = [Message(None, b"x" * 5_000) for _ in range(200)]
    for start in range(0, 200, 5):
        Confluent().produce(cluster.bootstrap, topic, messages[start : start + 5])

    for directory in cluster.directory.glob(f"broker-*/{topic}-0"):
        # The indexes of the segment being written are in memory; those of full ones are on disk.
        indexes = sorted([*directory.glob("*.index"), *directory.glob("*.timeindex")])
        assert len(indexes) >= 10, directory
        dumped = java.run(
            f"{TOOLS}.DumpLogSegments",
            *("--index-sanity-check", "--files", ",".join(map(str, indexes))),
        )
        assert "mismatch" not in dumped.lower(), dumped
