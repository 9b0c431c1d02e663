"""Apache Kafka's kafka-consumer-groups and kafka-groups tools: every mode, and what they print."""

from __future__ import annotations

import csv
import re

import pytest

from tests.support.needs import need_packages

need_packages("confluent_kafka", "kafka", "aiokafka")
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from tests.interop.java_tools import TOOLS
from tests.support.groups.run import GroupRun
from tests.support.known_topics import wait_known

pytestmark = [pytest.mark.interop, pytest.mark.filterwarnings("default")]

FIRST_TIMESTAMP_MS = 1_700_000_000_000  # 2023-11-14T22:13:20Z; a record each second
RECORDS = 50
Row = dict[str, str]


class Tool:
    """kafka-consumer-groups, its tables read."""

    def __init__(self, java, bootstrap: str) -> None:
        self._java = java
        self._bootstrap = bootstrap

    def say(self, *arguments: str, tool: str = "consumer.group.ConsumerGroupCommand") -> str:
        return self._java.run(f"{TOOLS}.{tool}", "--bootstrap-server", self._bootstrap, *arguments)

    def table(self, *arguments: str, **options: str) -> list[Row]:
        return rows(self.say(*arguments, **options))

    def reset(self, group: str, *how: str, execute: bool = False) -> dict[tuple[str, int], int]:
        mode = "--execute" if execute else "--dry-run"
        found = self.table("--reset-offsets", "--group", group, *how, mode)
        assert all(row["GROUP"] == group for row in found)
        return {(row["TOPIC"], int(row["PARTITION"])): int(row["NEW-OFFSET"]) for row in found}


def rows(said: str) -> list[Row]:
    """Read a table; a cell may be empty, so the header says where columns begin."""
    lines = said.splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith(("GROUP", "TOPIC")))
    header = lines[start]
    columns = [match.span() for match in re.finditer(r"\S+(?: \(ID\))?", header)]
    begins = [begin for begin, _ in columns] + [10_000]
    return [
        {
            header[begin:end]: line[begin:following].strip()
            for (begin, end), following in zip(columns, begins[1:], strict=True)
        }
        for line in lines[start + 1 :]
        if line.strip()
    ]


@pytest.fixture
def tool(java, cluster):
    return Tool(java, cluster.bootstrap)


@pytest.fixture
def committed(cluster):
    """Ask for a group's committed offsets, by another client."""

    def ask(group: str, topic: str, partitions: int = 3) -> list[int]:
        consumer = Consumer({"bootstrap.servers": cluster.bootstrap, "group.id": group})
        wanted = [TopicPartition(topic, index) for index in range(partitions)]
        found = [max(one.offset, -1) for one in consumer.committed(wanted, timeout=30)]
        consumer.close()
        return found

    return ask


@pytest.fixture
def idle_group(cluster, topic):
    """A group without members that committed 10 and 20 of two partitions, of three there are."""
    admin = AdminClient({"bootstrap.servers": cluster.bootstrap})
    new = NewTopic(topic, 3, 3, config={"retention.ms": "-1"})  # the records are of 2023
    for created in admin.create_topics([new]).values():
        created.result(timeout=30)
    wait_known(cluster.bootstrap, topic)
    producer = Producer({"bootstrap.servers": cluster.bootstrap})
    for number in range(RECORDS):
        for index in range(3):
            at_ms = FIRST_TIMESTAMP_MS + number * 1_000
            producer.produce(topic, b"%d" % number, partition=index, timestamp=at_ms)
    assert producer.flush(30) == 0
    group = f"group-{topic}"
    consumer = Consumer({"bootstrap.servers": cluster.bootstrap, "group.id": group})
    offsets = [TopicPartition(topic, 0, 10), TopicPartition(topic, 1, 20)]
    consumer.committed(offsets, timeout=60)  # Who commits at once may come before the coordinator.
    consumer.commit(offsets=offsets, asynchronous=False)
    consumer.close()
    return group


def test_a_group_with_members_is_listed_described_and_protected(tool, cluster, topic, tmp_path):
    with GroupRun(cluster.bootstrap, tmp_path, group=topic, session_timeout_ms=60_000) as run:
        run.add_topic(topic, partitions=3)
        dynamic, static = run.join("confluent"), run.join("kafka-python", instance_id="static-1")
        run.wait_shared(dynamic, static)
        run.wait_processed()

        described = tool.table("--describe", "--group", topic)
        assert sorted(row["PARTITION"] for row in described) == ["0", "1", "2"]
        for row in described:
            current, end = int(row["CURRENT-OFFSET"]), int(row["LOG-END-OFFSET"])
            assert 20 <= current <= end
            assert int(row["LAG"]) == end - current
            assert row["HOST"] == "/127.0.0.1"
            owner = next(m for m in (dynamic, static) if m.spec.name == row["CLIENT-ID"])
            assert int(row["PARTITION"]) in {partition.index for partition in owner.owned}

        members = tool.table("--describe", "--group", topic, "--members", "--verbose")
        by_client = {row["CLIENT-ID"]: row for row in members}
        assert by_client.keys() == {dynamic.spec.name, static.spec.name}
        assert by_client[static.spec.name]["GROUP-INSTANCE-ID"] == "static-1"
        assert by_client[dynamic.spec.name]["GROUP-INSTANCE-ID"] == ""
        for member in (dynamic, static):
            indexes = ",".join(str(partition.index) for partition in sorted(member.owned))
            row = by_client[member.spec.name]
            assert row["CURRENT-ASSIGNMENT"] == f"{topic}:{indexes}"
            assert row["#PARTITIONS"] == str(len(member.owned))

        (state,) = tool.table("--describe", "--group", topic, "--state")
        assert (state["STATE"], state["#MEMBERS"]) == ("Stable", "2")
        assert state["ASSIGNMENT-STRATEGY"] == "range"
        assert re.fullmatch(r"127\.0\.0\.1:\d+ +\([123]\)", state["COORDINATOR (ID)"])

        assert {"GROUP": topic, "STATE": "Stable"} in tool.table("--list", "--state", "stable")
        assert topic not in tool.say("--list", "--state", "empty")
        assert {"GROUP": topic, "TYPE": "Classic"} in tool.table("--list", "--type", "classic")
        listed = {"GROUP": topic, "TYPE": "Classic", "PROTOCOL": "consumer"}
        assert listed in tool.table("--list", "--protocol", "consumer", tool="GroupsCommand")

        refused = tool.say("--reset-offsets", "--group", topic, "--topic", topic, "--to-earliest")
        assert "the current state is Stable" in refused
        assert "The group is not empty" in tool.say("--delete", "--group", topic)
        refused = tool.say("--delete-offsets", "--group", topic, "--topic", topic)
        assert refused.count("GroupSubscribedToTopicException") == 3
        run.finish(exactly_once=True)


def test_a_group_without_members_shows_its_offsets(tool, topic, idle_group):
    described = tool.table("--describe", "--group", idle_group)

    found = {row["PARTITION"]: row for row in described}
    assert found.keys() == {"0", "1"}
    assert (found["0"]["CURRENT-OFFSET"], found["0"]["LAG"]) == ("10", "40")
    assert (found["1"]["CURRENT-OFFSET"], found["1"]["LAG"]) == ("20", "30")
    assert {row["CONSUMER-ID"] for row in described} == {"-"}
    (state,) = tool.table("--describe", "--group", idle_group, "--state")
    assert (state["STATE"], state["#MEMBERS"]) == ("Empty", "0")
    assert idle_group in tool.say("--list").split()
    assert {"GROUP": idle_group, "STATE": "Empty"} in tool.table("--list", "--state")
    listed = {"GROUP": idle_group, "TYPE": "Classic", "PROTOCOL": ""}
    assert listed in tool.table("--list", "--consumer", tool="GroupsCommand")


def test_offsets_are_planned_in_every_mode_and_stay_as_they_are(tool, topic, idle_group, committed):
    def plan(*how: str) -> list[int]:
        found = tool.reset(idle_group, "--topic", topic, *how)
        return [found[topic, index] for index in range(3)]

    assert plan("--to-earliest") == [0, 0, 0]
    assert plan("--to-latest") == [RECORDS] * 3
    assert plan("--to-current") == [10, 20, RECORDS]
    assert plan("--to-offset", "7") == [7, 7, 7]
    assert plan("--to-offset", "1000") == [RECORDS] * 3
    assert plan("--to-datetime", "2023-11-14T22:13:40.500") == [21, 21, 21]
    assert plan("--to-datetime", "2023-11-14T22:13:40.000") == [20, 20, 20]
    assert plan("--by-duration", "P1D") == [RECORDS] * 3
    both = ("--topic", f"{topic}:0,1", "--shift-by")
    assert tool.reset(idle_group, *both, "-15") == {(topic, 0): 0, (topic, 1): 5}
    assert tool.reset(idle_group, *both, "35") == {(topic, 0): 45, (topic, 1): RECORDS}
    every = {(topic, 0): 0, (topic, 1): 0}
    assert tool.reset(idle_group, "--all-topics", "--to-earliest").items() >= every.items()
    assert committed(idle_group, topic) == [10, 20, -1]


def test_offsets_are_reset_exported_and_imported(tool, topic, idle_group, committed, tmp_path):
    done = tool.reset(idle_group, "--topic", f"{topic}:0,2", "--to-offset", "3", execute=True)
    assert done == {(topic, 0): 3, (topic, 2): 3}
    assert committed(idle_group, topic) == [3, 20, 3]

    exporting = ("--reset-offsets", "--group", idle_group, "--all-topics", "--to-current")
    exported = csv.reader(tool.say(*exporting, "--export", "--dry-run").split())
    assert sorted(exported) == [[topic, "0", "3"], [topic, "1", "20"], [topic, "2", "3"]]

    plan = tmp_path / "plan.csv"
    plan.write_text(f"{topic},0,30\n{topic},1,31\n{topic},2,32\n")
    imported = tool.reset(idle_group, "--from-file", str(plan), execute=True)
    assert imported == {(topic, 0): 30, (topic, 1): 31, (topic, 2): 32}
    assert committed(idle_group, topic) == [30, 31, 32]


def test_offsets_of_a_group_that_is_not_there_can_be_set(tool, topic, idle_group, committed):
    new = f"new-{idle_group}"

    tool.reset(new, "--topic", topic, "--to-earliest", execute=True)

    assert committed(new, topic) == [0, 0, 0]
    assert new in tool.say("--list").split()


def test_offsets_and_groups_are_deleted(tool, topic, idle_group, committed):
    deleted = tool.table("--delete-offsets", "--group", idle_group, "--topic", f"{topic}:1")
    assert [(row["PARTITION"], row["STATUS"]) for row in deleted] == [("1", "Successful")]
    assert committed(idle_group, topic) == [10, -1, -1]

    said = tool.say("--delete", "--group", idle_group)
    assert f"('{idle_group}') was successful" in said
    assert committed(idle_group, topic) == [-1, -1, -1]
    assert idle_group not in tool.say("--list").split()


def test_a_group_that_is_not_there_is_refused_by_name(tool, topic):
    assert f"Group {topic} not found" in tool.say("--describe", "--group", topic)
    assert f"'{topic}' could not be deleted" in tool.say("--delete", "--group", topic)
