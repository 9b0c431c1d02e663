"""Compacted topics as other people's clients and tools see them."""

from __future__ import annotations

import json
import subprocess
import threading
import time
from functools import partial
from itertools import pairwise
from pathlib import Path

import pytest

from tests.support.needs import need_packages

need_packages("confluent_kafka", "kafka", "aiokafka")

from tests.interop import readers
from tests.interop.clients import CLIENTS, Message, Refused, create
from tests.interop.java_tools import TOOLS
from tests.interop.readers import Read, end_offset, read_by_librdkafka
from tests.interop.writer import KEYS, Writer, value, write_over_and_over
from tests.support.local_cluster import LocalCluster, ottla
from tests.support.under_test import AGAINST_KAFKA
from tests.support.waiting import wait_for

if AGAINST_KAFKA:
    reason = "Apache Kafka has no segments so small, and never compacts what was written last"
    pytest.skip(reason, allow_module_level=True)

pytestmark = [pytest.mark.interop, pytest.mark.filterwarnings("default")]

COMPACTED_WITHIN_S = 60
EAGER = {
    "cleanup.policy": "compact",
    "segment.bytes": "16384",
    "segment.ms": "1000",
    "min.cleanable.dirty.ratio": "0",
    "delete.retention.ms": "100",
}
"""A second after the last write everything is compacted, and tombstones are gone soon after."""

PATIENT = EAGER | {"delete.retention.ms": "3600000"}
"""As eager, but tombstones stay, so that every reader is told what was deleted."""

SETTINGS = ("log.cleaner.backoff.ms=200",)
COMPRESSIONS = ["none", "gzip", "snappy", "lz4", "zstd"]


def wait_compacted(bootstrap: str, writer: Writer) -> None:
    """Wait until nothing is left to read but the newest value of each key."""
    wait_for(
        lambda: read_by_librdkafka(bootstrap, writer.topic) == writer.live,
        f"{writer.topic} holds the {len(writer.live)} newest records alone",
        within_s=COMPACTED_WITHIN_S,
    )


def replicas(cluster: LocalCluster, topic: str) -> list[Path]:
    """Give the directories of all replicas of partition 0."""
    found = sorted(cluster.directory.glob(f"broker-*/{topic}-0"))
    assert len(found) == 3
    return found


def batches_in(replica: Path) -> list[dict]:
    """Give the batches of a replica."""
    told = ottla("log", "dump", str(replica), "--json")
    return [json.loads(line) for line in told.splitlines()]


def holds(replica: Path, count: int) -> bool:
    """Say whether a replica holds so many records and no more."""
    return sum(batch["count"] for batch in batches_in(replica)) == count


def assert_sound(found: list[Read], writer: Writer) -> None:
    """Whatever was read stands where it was written, and comes in order."""
    assert all(before.offset < after.offset for before, after in pairwise(found))
    for read in found:
        assert writer.written[read.offset] == (read.key, read.value)


@pytest.fixture(scope="module")
def compacted(cluster):
    """Topics that are compacted to their end, one for each compression. Returns: by its name."""
    writers = {}
    for kind in COMPRESSIONS:
        create(cluster.bootstrap, f"compacted-{kind}", **EAGER)
        writers[kind] = Writer(cluster.bootstrap, f"compacted-{kind}", **{"compression.type": kind})
        write_over_and_over(writers[kind])
    for writer in writers.values():
        wait_compacted(cluster.bootstrap, writer)
    return writers


@pytest.fixture(scope="module")
def emptied(cluster):
    """A topic of which nothing is left. Returns: its writer."""
    create(cluster.bootstrap, "emptied", **EAGER)
    writer = Writer(cluster.bootstrap, "emptied")
    for number in range(20):
        writer.write({f"key-{i}": value(f"key-{i}", number) for i in range(KEYS)})
    writer.write(dict.fromkeys(f"key-{i}" for i in range(KEYS)))
    wait_compacted(cluster.bootstrap, writer)
    return writer


@pytest.fixture(
    params=["librdkafka", "kafka_python", "aiokafka", "kcat", "java", "ottla"],
)
def read(request, cluster):
    """Reads a topic from its beginning to its end. Returns: a function of the topic's name."""
    by = getattr(readers, f"read_by_{request.param}")
    if request.param in ("kcat", "java"):
        by = partial(by, request.getfixturevalue(request.param))
    return partial(by, cluster.bootstrap)


# What is read.


@pytest.mark.parametrize("kind", COMPRESSIONS)
def test_the_newest_value_of_every_key_is_read_and_nothing_else(kind, read, compacted):
    writer = compacted[kind]

    found = read(writer.topic)

    assert_sound(found, writer)
    assert found == writer.live


def test_a_topic_of_which_nothing_is_left_is_read_to_its_end(read, emptied, cluster):
    assert end_offset(cluster.bootstrap, emptied.topic) == 21 * KEYS
    assert read(emptied.topic) == []


def test_what_is_written_behind_offsets_that_are_gone_is_read(read, cluster, topic):
    create(cluster.bootstrap, topic, **EAGER)
    writer = Writer(cluster.bootstrap, topic)
    for number in range(10):
        writer.write({f"key-{i}": value(f"key-{i}", number) for i in range(KEYS)})
    writer.write(dict.fromkeys(f"key-{i}" for i in range(KEYS)))
    wait_compacted(cluster.bootstrap, writer)

    writer.write({"last": "seen", "key-0": "again"})

    assert read(topic) == [Read(11 * KEYS, "last", "seen"), Read(11 * KEYS + 1, "key-0", "again")]


@pytest.mark.parametrize("kind", ["none", "zstd"])
def test_who_reads_while_logs_are_compacted_is_told_the_newest_of_every_key(kind, cluster, topic):
    create(cluster.bootstrap, topic, **PATIENT)
    writer = Writer(cluster.bootstrap, topic, **{"compression.type": kind})
    over = threading.Event()
    passes: list[tuple[dict[str, Read], list[Read]]] = []

    def read_again_and_again():
        while not over.is_set():
            before = writer.newest
            passes.append((before, read_by_librdkafka(cluster.bootstrap, topic)))

    reader = threading.Thread(target=read_again_and_again)
    writer.write({"first": "value"})
    reader.start()
    try:
        deadline = time.monotonic() + COMPACTED_WITHIN_S
        while len(passes) < 4 or len(passes[-1][1]) > len(writer.written) / 2:
            assert time.monotonic() < deadline, "not compacted while it was read"
            write_over_and_over(writer)
            time.sleep(1)  # after which a segment is full, see EAGER
    finally:
        over.set()
        reader.join()

    for before, found in passes:
        assert_sound(found, writer)
        last = {read.key: read for read in found}
        for key, newest in before.items():
            assert last[key].offset >= newest.offset, "what was overwritten or deleted came back"


# What is on the disk.


@pytest.mark.parametrize("kind", ["none", "lz4"])
def test_dump_log_segments_reads_what_is_left_on_every_replica(kind, java, cluster, compacted):
    writer = compacted[kind]
    for replica in replicas(cluster, writer.topic):
        wait_for(
            partial(holds, replica, len(writer.live)),
            f"{replica} is compacted",
            within_s=COMPACTED_WITHIN_S,
        )
        batches = batches_in(replica)
        assert all(batch["crc_ok"] for batch in batches)
        assert batches[-1]["last_offset"] + 1 == end_offset(cluster.bootstrap, writer.topic)
        files = sorted(replica.glob("*.log"))
        dumped = java.run(
            f"{TOOLS}.DumpLogSegments",
            *("--deep-iteration", "--print-data-log", "--files", ",".join(map(str, files))),
        )
        assert dumped.count("payload:") == len(writer.live)
        assert "isvalid: false" not in dumped
        assert dumped.count("isvalid: true") == len(batches)


def test_dump_log_segments_finds_the_indexes_of_what_is_left_sound(java, cluster, topic):
    many = EAGER | {"index.interval.bytes": "1000", "segment.bytes": "65536"}
    create(cluster.bootstrap, topic, **many)
    writer = Writer(cluster.bootstrap, topic)
    for number in range(6):
        writer.write({f"key-{i}": value(f"key-{i}", number + i) for i in range(600)})
    writer.write(dict.fromkeys(f"key-{i}" for i in range(0, 600, 4)))
    wait_compacted(cluster.bootstrap, writer)

    for replica in replicas(cluster, topic):
        wait_for(
            partial(holds, replica, len(writer.live)),
            f"{replica} is compacted",
            within_s=COMPACTED_WITHIN_S,
        )
        # The newest segment is empty, and has its indexes in memory.
        logs = [path for path in sorted(replica.glob("*.log")) if path.stat().st_size]
        indexes = [log.with_suffix(end) for log in logs for end in (".index", ".timeindex")]
        assert len(indexes) >= 4, replica
        assert sum(index.stat().st_size for index in indexes) > 100
        for options in (["--index-sanity-check"], ["--verify-index-only"]):
            dumped = java.run(
                f"{TOOLS}.DumpLogSegments", *options, "--files", ",".join(map(str, indexes))
            )
            assert "mismatch" not in dumped.lower(), dumped
            assert "not found" not in dumped.lower(), dumped


# Settings and refusals.


def test_kafkas_tools_set_and_show_the_policy(java, cluster, topic):
    address = ("--bootstrap-server", cluster.bootstrap)
    name = ("--entity-type", "topics", "--entity-name", topic)
    java.run(
        f"{TOOLS}.TopicCommand",
        *(*address, "--create", "--topic", topic, "--partitions", "1"),
        *("--config", "cleanup.policy=compact", "--config", "min.cleanable.dirty.ratio=0.1"),
    )
    described = java.run(f"{TOOLS}.TopicCommand", *address, "--describe", "--topic", topic)
    assert "cleanup.policy=compact" in described
    assert "min.cleanable.dirty.ratio=0.1" in described

    java.run(
        "kafka.admin.ConfigCommand",
        *(*address, *name, "--alter"),
        *("--add-config", "cleanup.policy=[compact,delete],delete.retention.ms=1000"),
    )
    shown = java.run("kafka.admin.ConfigCommand", *address, *name, "--describe")
    assert "cleanup.policy=compact,delete" in shown
    assert "delete.retention.ms=1000" in shown
    refused = java.run(
        "kafka.admin.ConfigCommand",
        *(*address, *name, "--alter", "--add-config", "cleanup.policy=compress"),
        fails=True,
    )
    assert "cleanup.policy" in refused


def test_kcat_is_refused_without_a_key_and_served_with_one(kcat, cluster, topic):
    create(cluster.bootstrap, topic, **EAGER)

    def produce(*options: str, stdin: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [kcat, "-b", cluster.bootstrap, "-t", topic, "-P", *options],
            input=stdin, capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip

    refused = produce(stdin="a value\n")
    assert refused.returncode != 0
    assert "failed to validate record" in refused.stderr
    assert produce("-K:", stdin="key:a value\n").returncode == 0
    assert read_by_librdkafka(cluster.bootstrap, topic) == [Read(0, "key", "a value")]


@pytest.mark.parametrize("client", CLIENTS, ids=lambda client: client.name)
def test_every_client_learns_that_a_key_is_missing(client, cluster, topic):
    create(cluster.bootstrap, topic, **EAGER)

    # aiokafka knows no name for INVALID_RECORD.
    with pytest.raises(Refused, match=r"InvalidRecord|validate record|UnknownError"):
        client.produce(cluster.bootstrap, topic, [Message(None, b"a value")])

    assert client.produce(cluster.bootstrap, topic, [Message(b"key", b"a value")]) == [0]


# Idempotent producers.


@pytest.fixture
def mortal_cluster(tmp_path):
    """One broker that the test may kill."""
    local = LocalCluster(tmp_path, brokers=1, settings=SETTINGS)
    try:
        local.up()
        yield local
    finally:
        local.close()


def test_an_idempotent_producer_goes_on_over_compactions_and_crashes(mortal_cluster, topic):
    bootstrap = mortal_cluster.bootstrap
    ottla(
        *("topic", "create", topic, "--bootstrap", bootstrap, "--partitions", "1"),
        *(option for pair in EAGER.items() for option in ("--config", "=".join(pair))),
    )
    writer = Writer(bootstrap, topic)
    for number in range(3):
        for again in range(10):
            writer.write({f"key-{i}": value(f"key-{i}", number * 10 + again) for i in range(KEYS)})
        wait_compacted(bootstrap, writer)
        mortal_cluster.kill("1")
        mortal_cluster.start("1")

    writer.write({"last": "value"})

    assert sorted(writer.written) == list(range(30 * KEYS + 1))
    assert read_by_librdkafka(bootstrap, topic) == writer.live
