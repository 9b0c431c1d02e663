"""Groups of many clients at once, and of topics that come, grow and go."""

from __future__ import annotations

import random

import pytest

from tests.support.needs import need_packages

need_packages("confluent_kafka", "kafka", "aiokafka")
from confluent_kafka import Consumer, TopicPartition

from tests.support.groups.events import Consumed, Partition
from tests.support.groups.run import GroupRun

pytestmark = [pytest.mark.interop, pytest.mark.filterwarnings("default")]

SHORT_SESSION_MS = 6_000
LONG_SESSION_MS = 60_000
SHARED = {
    "range": ["confluent", "kafka-python", "aiokafka", "java", "ottla"],
    "roundrobin": ["confluent", "kafka-python", "aiokafka", "java", "ottla"],
    "sticky": ["kafka-python", "aiokafka", "java", "ottla"],
    "cooperative-sticky": ["confluent", "kafka-python", "java", "ottla"],
}
every_shared_assignor = pytest.mark.parametrize("assignor", SHARED)


@pytest.fixture
def start_run(cluster, topic, tmp_path, java_class_path):
    """Start a run of one group."""

    def start(*, session_timeout_ms: int = LONG_SESSION_MS) -> GroupRun:
        return GroupRun(
            cluster.bootstrap, tmp_path, group=topic, session_timeout_ms=session_timeout_ms
        )

    return start


@every_shared_assignor
def test_every_client_shares_a_group_with_every_other(assignor, start_run, topic):
    """Each leads the group in its turn, for the leader is who has been there for longest."""
    with start_run() as run:
        run.add_topic(topic, partitions=9)
        members = []
        for client in SHARED[assignor]:
            members.append(run.join(client, assignor=assignor))
            run.wait_shared(*members)
        run.wait_processed()
        while len(members) > 1:
            members.pop(0).leave()
            run.wait_shared(*members)
            run.wait_processed(5)
        run.finish(exactly_once=True)


@every_shared_assignor
def test_mixed_groups_survive_crashes_and_pauses(assignor, start_run, topic):
    order = random.Random(assignor).sample(SHARED[assignor], len(SHARED[assignor]))
    with start_run(session_timeout_ms=SHORT_SESSION_MS) as run:
        run.add_topic(topic, partitions=9)
        members = [run.join(client, assignor=assignor) for client in order]
        run.wait_shared(*members)
        run.wait_processed()
        crashes, pauses, *stay = members
        crashes.kill()
        pauses.pause()
        run.wait_shared(*stay)
        run.wait_processed()
        pauses.resume()
        run.wait_shared(pauses, *stay)
        run.finish(evictions=True)  # what is paused believes for a while what is no longer so


def test_a_pattern_finds_topics_that_come_later(start_run, topic):
    with start_run() as run:
        run.add_topic(f"{topic}-a", partitions=4)
        members = [
            run.join(client, pattern=f"{topic}-.*")
            for client in ("confluent", "kafka-python", "aiokafka", "ottla")
        ]
        run.wait_shared(*members)
        run.add_topic(f"{topic}-b", partitions=6)
        run.wait_shared(*members)
        run.wait_processed()
        run.finish()


def test_a_topic_that_grows_is_shared_anew(start_run, topic):
    with start_run() as run:
        run.add_topic(topic, partitions=5)
        members = [run.join(client) for client in SHARED["range"]]
        run.wait_shared(*members)
        run.wait_processed()
        run.grow_topic(topic, partitions=9)
        run.wait_shared(*members)
        run.wait_processed()
        run.finish(exactly_once=True)


def test_a_deleted_topic_takes_its_committed_offsets_with_it(start_run, topic, cluster):
    kept, goes = f"{topic}-kept", f"{topic}-goes"
    with start_run() as run:
        run.add_topic(kept, partitions=4)
        run.add_topic(goes, partitions=4)
        clients = ("confluent", "kafka-python", "aiokafka", "ottla")
        members = [run.join(client) for client in clients]
        run.wait_shared(*members)
        run.wait_processed()
        run.delete_topic(goes)
        run.wait_shared(*members)
        run.wait_processed()
        asker = Consumer({"bootstrap.servers": cluster.bootstrap, "group.id": run.group})
        (found,) = asker.committed([TopicPartition(goes, 0)], timeout=30)
        asker.close()
        assert found.offset < 0
        run.finish()


def test_a_topic_made_anew_is_read_from_its_start(start_run, topic):
    with start_run() as run:
        run.add_topic(topic, partitions=3, start_committed=False)
        before = run.join("confluent")
        run.wait_shared(before)
        run.wait_processed(50)
        run.delete_topic(topic)
        before.leave()
        run.add_topic(topic, partitions=3, start_committed=False)
        after = run.join("confluent")
        run.wait_shared(after)
        run.wait_processed()
        first = {e.partition: e.first for e in reversed(after.events) if isinstance(e, Consumed)}
        assert first == {Partition(topic, index): 0 for index in range(3)}
