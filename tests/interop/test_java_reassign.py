"""Apache Kafka's own kafka-reassign-partitions and kafka-leader-election, unchanged."""

from __future__ import annotations

import json
import re
import time

import pytest

from tests.support.needs import need_packages

need_packages("confluent_kafka")

from tests.interop.clients import Confluent, Message
from tests.interop.java_tools import TOOLS

pytestmark = [pytest.mark.interop, pytest.mark.filterwarnings("default")]

BOUND_S = 60


class Reassigner:
    """The tool, for one topic of one cluster."""

    def __init__(self, java, cluster, topic, tmp_path) -> None:
        self._java = java
        self._cluster = cluster
        self._topic = topic
        self._file = tmp_path / "reassignment.json"

    def run(self, *arguments: str) -> str:
        return self._java.run(
            f"{TOOLS}.reassign.ReassignPartitionsCommand",
            *("--bootstrap-server", self._cluster.bootstrap, *arguments),
        )

    def plan(self, *replicas: list[int]) -> str:
        partitions = [
            {"topic": self._topic, "partition": index, "replicas": brokers}
            for index, brokers in enumerate(replicas)
        ]
        self._file.write_text(json.dumps({"version": 1, "partitions": partitions}))
        return str(self._file)

    def verify(self) -> str:
        """Verify until it says that all is done."""
        deadline = time.monotonic() + BOUND_S
        while True:
            told = self.run("--verify", "--reassignment-json-file", str(self._file))
            if "still in progress" not in told:
                return told
            assert time.monotonic() < deadline, told


@pytest.fixture
def reassigner(java, cluster, topic, tmp_path):
    return Reassigner(java, cluster, topic, tmp_path)


def create(java, cluster, topic: str, *replicas: str) -> None:
    java.run(
        f"{TOOLS}.TopicCommand",
        *("--bootstrap-server", cluster.bootstrap, "--create", "--topic", topic),
        *("--replica-assignment", ",".join(replicas)),
    )


def fill(cluster, topic: str) -> None:
    """Write a megabyte."""
    Confluent().produce(cluster.bootstrap, topic, [Message(None, bytes(10_000))] * 100)


def describe(java, cluster, topic: str) -> str:
    return java.run(
        f"{TOOLS}.TopicCommand",
        *("--bootstrap-server", cluster.bootstrap, "--describe", "--topic", topic),
    )


def test_a_plan_is_generated_executed_and_verified(java, cluster, topic, reassigner, tmp_path):
    create(java, cluster, topic, "1", "2")
    Confluent().produce(cluster.bootstrap, topic, [Message(None, b"%d" % i) for i in range(100)])
    topics = tmp_path / "topics.json"
    topics.write_text(json.dumps({"version": 1, "topics": [{"topic": topic}]}))
    generated = reassigner.run(
        *("--generate", "--topics-to-move-json-file", str(topics), "--broker-list", "3")
    )
    proposed = json.loads(generated.split("Proposed partition reassignment configuration\n")[1])
    assert [each["replicas"] for each in proposed["partitions"]] == [[3], [3]]

    file = reassigner.plan([3], [3])
    told = reassigner.run("--execute", "--reassignment-json-file", file)

    assert f"Successfully started partition reassignments for {topic}-0,{topic}-1" in told
    told = reassigner.verify()
    assert f"Reassignment of partition {topic}-0 is completed." in told
    assert f"Reassignment of partition {topic}-1 is completed." in told
    assert "Replicas: 3\tIsr: 3" in describe(java, cluster, topic)
    values = {m.value for m in Confluent().consume(cluster.bootstrap, topic, 100)}
    assert values == {b"%d" % i for i in range(100)}


def test_the_replication_factor_is_changed_by_a_plan(java, cluster, topic, reassigner):
    create(java, cluster, topic, "1")

    told = reassigner.run("--execute", "--reassignment-json-file", reassigner.plan([3, 1, 2]))

    assert f"Successfully started partition reassignment for {topic}-0" in told
    assert f"Reassignment of partition {topic}-0 is completed." in reassigner.verify()
    described = describe(java, cluster, topic)
    assert "ReplicationFactor: 3" in described
    assert "Replicas: 3,1,2" in described


def test_a_plan_with_an_unknown_broker_is_refused(java, cluster, topic, reassigner):
    create(java, cluster, topic, "1")

    with pytest.raises(AssertionError, match="9"):
        reassigner.run("--execute", "--reassignment-json-file", reassigner.plan([9]))


def test_a_reassignment_under_way_is_listed_and_called_off(java, cluster, topic, reassigner):
    create(java, cluster, topic, "1:2")
    fill(cluster, topic)
    file = reassigner.plan([3, 1])

    reassigner.run("--execute", "--reassignment-json-file", file, "--throttle", "20000")

    listed = reassigner.run("--list")
    assert f"{topic}-0: replicas: 3,1,2. adding: 3. removing: 2." in listed
    cancelled = reassigner.run("--cancel", "--reassignment-json-file", file)
    assert f"Successfully cancelled partition reassignment for: {topic}-0" in cancelled
    assert "No partition reassignments found." in reassigner.run("--list")
    assert re.search(r"Replicas: 1,2\s", describe(java, cluster, topic))


def test_a_throttled_plan_sets_its_throttles_and_takes_them_away(java, cluster, topic, reassigner):
    create(java, cluster, topic, "1:2")
    fill(cluster, topic)

    told = reassigner.run(
        *("--execute", "--reassignment-json-file", reassigner.plan([3, 2])),
        *("--throttle", "200000"),
    )

    assert "The inter-broker throttle limit was set to 200000 B/s" in told
    assert "leader.replication.throttled.replicas=0:" in describe(java, cluster, topic)
    told = reassigner.verify()
    assert f"Reassignment of partition {topic}-0 is completed." in told
    assert "Clearing broker-level throttles on brokers 1,2,3" in told
    assert f"Clearing topic-level throttles on topic {topic}" in told
    assert "throttled.replicas" not in describe(java, cluster, topic)


def test_preferred_leaders_are_elected_by_the_tool(java, cluster, topic, reassigner):
    create(java, cluster, topic, "1:2:3", "2:1:3")
    reassigner.run("--execute", "--reassignment-json-file", reassigner.plan([3, 1, 2], [2, 1, 3]))
    reassigner.verify()

    told = java.run(
        f"{TOOLS}.LeaderElectionCommand",
        *("--bootstrap-server", cluster.bootstrap, "--election-type", "preferred"),
        *("--topic", topic, "--partition", "0"),
    )

    # It may have come by itself, five seconds after the change.
    assert re.search(rf"(Successfully completed|already elected).* for partitions {topic}-0", told)
    assert "Leader: 3" in describe(java, cluster, topic)
    told = java.run(
        f"{TOOLS}.LeaderElectionCommand",
        *("--bootstrap-server", cluster.bootstrap, "--election-type", "unclean"),
        *("--topic", topic, "--partition", "1"),
    )
    assert f"Valid replica already elected for partitions {topic}-1" in told
    java.run(
        f"{TOOLS}.LeaderElectionCommand",
        *("--bootstrap-server", cluster.bootstrap, "--election-type", "preferred"),
        "--all-topic-partitions",
    )
