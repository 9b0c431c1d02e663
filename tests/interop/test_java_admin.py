"""The everyday admin tools of Apache Kafka, from Maven, unchanged: what they say of us is right.

Where our words may differ from Kafka's only facts are compared. The output expected was seen on
Kafka 4.3.1.
"""

from __future__ import annotations

import json
import re

import pytest

from tests.support.needs import need_packages

need_packages("confluent_kafka", "kafka", "aiokafka")

from tests.interop.clients import Confluent, Message
from tests.interop.java_tools import TOOLS

pytestmark = [pytest.mark.interop, pytest.mark.filterwarnings("default")]

CONFIGS = "kafka.admin.ConfigCommand"


@pytest.fixture
def configs(java, cluster):
    """Runs kafka-configs. Returns: a function from its arguments to its output."""

    def run(*arguments: str, **options: bool) -> str:
        return java.run(CONFIGS, "--bootstrap-server", cluster.bootstrap, *arguments, **options)

    return run


@pytest.fixture
def topics(java, cluster):
    """Runs kafka-topics. Returns: a function from its arguments to its output."""

    def run(*arguments: str, **options: bool) -> str:
        return java.run(
            f"{TOOLS}.TopicCommand", "--bootstrap-server", cluster.bootstrap, *arguments, **options
        )

    return run


def produce(cluster, topic: str, count: int, *, size_bytes: int = 100) -> None:
    messages = [Message(None, bytes(size_bytes)) for _ in range(count)]
    Confluent().produce(cluster.bootstrap, topic, messages)


def described(output: str) -> dict[str, str]:
    """Read `key=value sensitive=... synonyms={...}` lines. Returns: synonyms by `key=value`."""
    pattern = re.compile(r"  (\S+=\S*) sensitive=false synonyms=\{(.*)\}")
    return dict(pattern.fullmatch(line).groups() for line in output.splitlines()[1:])


def test_a_topics_settings_are_set_shown_and_taken_back(configs, topics, topic):
    topics("--create", "--topic", topic, "--partitions", "1")
    told = configs(
        *("--entity-type", "topics", "--entity-name", topic, "--alter"),
        *("--add-config", "retention.ms=1000,max.message.bytes=2000"),
    )
    assert told.strip() == f"Completed updating config for topic {topic}."

    shown = configs("--entity-type", "topics", "--entity-name", topic, "--describe")
    assert shown.splitlines()[0] == f"Dynamic configs for topic {topic} are:"
    assert described(shown) == {
        "max.message.bytes=2000": (
            "DYNAMIC_TOPIC_CONFIG:max.message.bytes=2000, DEFAULT_CONFIG:message.max.bytes=1048588"
        ),
        "retention.ms=1000": (
            "DYNAMIC_TOPIC_CONFIG:retention.ms=1000, DEFAULT_CONFIG:log.retention.ms=604800000"
        ),
    }
    configs(
        *("--entity-type", "topics", "--entity-name", topic, "--alter"),
        *("--delete-config", "retention.ms"),
    )
    everything = configs("--entity-type", "topics", "--entity-name", topic, "--describe", "--all")
    assert described(everything)["retention.ms=604800000"] == (
        "DEFAULT_CONFIG:log.retention.ms=604800000"
    )


def test_brokers_are_given_settings_together_and_alone(configs, cluster):
    default = ("--entity-type", "brokers", "--entity-default")
    one = ("--entity-type", "brokers", "--entity-name", "1")
    told = configs(*default, "--alter", "--add-config", "log.roll.ms=777,max.connections=5000")
    assert told.strip() == "Completed updating default config for brokers in the cluster."
    assert configs(*one, "--alter", "--add-config", "log.roll.ms=778").strip() == (
        "Completed updating config for broker 1."
    )
    try:
        shown = configs(*default, "--describe")
        assert shown.splitlines()[0] == "Default configs for brokers in the cluster are:"
        assert described(shown) == {
            "log.roll.ms=777": "DYNAMIC_DEFAULT_BROKER_CONFIG:log.roll.ms=777",
            "max.connections=5000": "DYNAMIC_DEFAULT_BROKER_CONFIG:max.connections=5000",
        }
        assert described(configs(*one, "--describe")) == {
            "log.roll.ms=778": (
                "DYNAMIC_BROKER_CONFIG:log.roll.ms=778,"
                " DYNAMIC_DEFAULT_BROKER_CONFIG:log.roll.ms=777,"
                " DEFAULT_CONFIG:log.roll.ms=604800000"
            )
        }
    finally:
        configs(*one, "--alter", "--delete-config", "log.roll.ms")
        configs(*default, "--alter", "--delete-config", "log.roll.ms,max.connections")
    assert described(configs(*default, "--describe")) == {}
    all_of_one = configs(*one, "--describe", "--all")
    assert "  log.roll.ms=604800000 sensitive=false" in all_of_one
    assert "  node.id=1 sensitive=false synonyms={STATIC_BROKER_CONFIG:node.id=1, " in all_of_one


@pytest.mark.parametrize(
    ("entity", "change", "error"),
    [
        (("brokers", "1"), "node.id=3", "InvalidRequestException"),
        (("brokers", "1"), "log.roll.ms=soon", "InvalidRequestException"),
        (("brokers", "1"), "min.insync.replicas=1", "InvalidConfigurationException"),
        (("topics", "TOPIC"), "retention.ms=soon", "InvalidConfigurationException"),
        (("topics", "never-was"), "retention.ms=1", "UnknownTopicOrPartitionException"),
    ],
)
def test_a_refused_change_is_told_as_kafka_tells_it(
    entity, change, error, configs, topics, topic, java
):
    kind, name = entity
    if name == "TOPIC":
        topics("--create", "--topic", topic, "--partitions", "1")
        name = topic
    told = configs(
        *("--entity-type", kind, "--entity-name", name, "--alter", "--add-config", change),
        fails=True,
    )

    assert error in told


def test_what_has_no_settings_is_said_not_to_be_there(configs):
    told = configs("--entity-type", "client-metrics", "--entity-name", "x", "--describe")

    assert "doesn't exist and doesn't have dynamic config" in told


def test_topics_grow_and_never_shrink(topics, topic):
    topics("--create", "--topic", topic, "--partitions", "2", "--replication-factor", "2")
    topics(
        "--alter", "--topic", topic, "--partitions", "4", "--replica-assignment", "1:2,2:3,3:1,2:3"
    )
    shown = topics("--describe", "--topic", topic).splitlines()

    assert re.match(
        rf"Topic: {topic}\tTopicId: \S{{22}}\tPartitionCount: 4\tReplicationFactor: 2\tConfigs: ",
        shown[0],
    )
    assert shown[3].strip() == (
        f"Topic: {topic}\tPartition: 2\tLeader: 3\tReplicas: 3,1\tIsr: 3,1\tElr: \tLastKnownElr:"
    )
    assert shown[4].split("\t")[3:5] == ["Leader: 2", "Replicas: 2,3"]
    for count in ("2", "4"):
        assert "4 partition" in topics(
            "--alter", "--topic", topic, "--partitions", count, fails=True
        )
    assert "does not exist" in topics("--alter", "--topic", "no", "--partitions", "9", fails=True)
    assert "exist" in topics("--create", "--topic", topic, fails=True)
    topics("--create", "--topic", topic, "--if-not-exists")


def test_log_directories_are_told_with_the_size_of_every_replica(java, cluster, topics, topic):
    topics("--create", "--topic", topic, "--partitions", "2", "--replication-factor", "3")
    produce(cluster, topic, 50, size_bytes=1_000)

    told = java.run(
        f"{TOOLS}.LogDirsCommand",
        *("--bootstrap-server", cluster.bootstrap, "--describe", "--topic-list", topic),
    )
    found = json.loads(told.splitlines()[-1])

    assert found["version"] == 1
    assert sorted(broker["broker"] for broker in found["brokers"]) == [1, 2, 3]
    for broker in found["brokers"]:
        (directory,) = broker["logDirs"]
        assert directory["error"] is None
        assert directory["logDir"] == str(cluster.directory / f"broker-{broker['broker']}")
        sizes = {each["partition"]: each["size"] for each in directory["partitions"]}
        assert sizes.keys() == {f"{topic}-0", f"{topic}-1"}
        assert 50_000 < sizes[f"{topic}-0"] < 60_000
        assert sizes[f"{topic}-1"] == 0
        assert all(each["offsetLag"] == 0 for each in directory["partitions"])


def test_records_are_deleted_below_an_offset(java, cluster, topics, topic, tmp_path):
    topics("--create", "--topic", topic, "--partitions", "2", "--replication-factor", "3")
    produce(cluster, topic, 10)

    def delete(*offsets: int) -> str:
        wanted = [
            {"topic": topic, "partition": index, "offset": offset}
            for index, offset in enumerate(offsets)
        ]
        path = tmp_path / "offsets.json"
        path.write_text(json.dumps({"version": 1, "partitions": wanted}))
        return java.run(
            f"{TOOLS}.DeleteRecordsCommand",
            *("--bootstrap-server", cluster.bootstrap, "--offset-json-file", str(path)),
        )

    told = delete(4, 1)
    assert f"partition: {topic}-0\tlow_watermark: 4" in told
    assert f"partition: {topic}-1\terror: " in told
    assert "OffsetOutOfRangeException" in told
    assert f"partition: {topic}-0\tlow_watermark: 10" in delete(-1)
    earliest = java.run(
        f"{TOOLS}.GetOffsetShell",
        *("--bootstrap-server", cluster.bootstrap, "--topic", topic, "--time", "earliest"),
    )
    assert earliest.split() == [f"{topic}:0:10", f"{topic}:1:0"]


def test_the_cluster_is_told_with_its_brokers_and_their_versions(java, cluster):
    def tool(*arguments: str) -> str:
        return java.run(f"{TOOLS}.ClusterTool", *arguments, "--bootstrap-server", cluster.bootstrap)

    assert re.fullmatch(r"Cluster ID: \S{22}", tool("cluster-id").strip())
    header, *rows = (
        line.split() for line in tool("list-endpoints", "--include-fenced-brokers").splitlines()
    )
    assert header == ["ID", "HOST", "PORT", "RACK", "STATE", "ENDPOINT_TYPE"]
    nodes = cluster.nodes()
    assert rows == [
        [name, "127.0.0.1", str(nodes[name].port), "null", "unfenced", "broker"]
        for name in ("1", "2", "3")
    ]
    versions = java.run(
        f"{TOOLS}.BrokerApiVersionsCommand", "--bootstrap-server", cluster.bootstrap
    )
    for api in (
        "DeleteRecords(21): 0 to 2",
        "DescribeConfigs(32): 1 to 4",
        "AlterConfigs(33): 0 to 2",
        "DescribeLogDirs(35): 1 to 4",
        "CreatePartitions(37): 0 to 3",
        "IncrementalAlterConfigs(44): 0 to 1",
        "DescribeCluster(60): 0 to 2",
        "ListConfigResources(74): 0 to 1",
        "DescribeTopicPartitions(75): 0 [usable: 0]",
    ):
        assert api in versions
    assert len(re.findall(r"^127\.0\.0\.1:\d+ \(id: \d", versions, re.MULTILINE)) == 3


@pytest.mark.parametrize(
    "action", [["--list"], ["--add", "--allow-principal", "User:a"], ["--remove", "--force"]]
)
def test_kafka_acls_is_told_that_there_is_no_authorizer(java, cluster, topic, action):
    about = ["--operation", "Read", "--topic", topic] if action != ["--list"] else []

    said = java.run(
        f"{TOOLS}.AclCommand",
        *("--bootstrap-server", cluster.bootstrap, *action, *about),
        fails=True,
    )

    assert "SecurityDisabledException: there is no authorizer" in said
