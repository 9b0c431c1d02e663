"""Groups of one client: members join, leave, crash, are paused; nothing is skipped."""

from __future__ import annotations

import pytest

from tests.support.needs import need_packages

need_packages("confluent_kafka", "kafka", "aiokafka")

from tests.support.groups.events import Assigned, Lost, Revoked
from tests.support.groups.member import Member
from tests.support.groups.run import GroupRun

pytestmark = [pytest.mark.interop, pytest.mark.filterwarnings("default")]

PARTITIONS = 6
SHORT_SESSION_MS = 6_000
LONG_SESSION_MS = 60_000

EAGER = [
    ("confluent", "range"),
    ("confluent", "roundrobin"),
    ("kafka-python", "range"),
    ("kafka-python", "roundrobin"),
    ("kafka-python", "sticky"),
    ("aiokafka", "range"),
    ("aiokafka", "roundrobin"),
    ("aiokafka", "sticky"),
    ("java", "range"),
    ("java", "sticky"),
    ("ottla", "range"),
    ("ottla", "roundrobin"),
    ("ottla", "sticky"),
]
COOPERATIVE = [
    ("confluent", "cooperative-sticky"),
    ("kafka-python", "cooperative-sticky"),
    ("java", "cooperative-sticky"),
    ("ottla", "cooperative-sticky"),
]
STORMY = [
    ("confluent", "range"),
    ("confluent", "cooperative-sticky"),
    ("kafka-python", "range"),
    ("kafka-python", "cooperative-sticky"),
    ("aiokafka", "range"),
    ("java", "range"),
    ("java", "cooperative-sticky"),
    ("ottla", "range"),
    ("ottla", "cooperative-sticky"),
]
CLIENTS = ["confluent", "kafka-python", "aiokafka", "java", "ottla"]


@pytest.fixture
def start_run(cluster, topic, tmp_path, java_class_path):
    """Start a run on a new topic; several may be started."""

    def start(*, session_timeout_ms: int = LONG_SESSION_MS) -> GroupRun:
        return GroupRun(
            cluster.bootstrap, tmp_path, group=topic, session_timeout_ms=session_timeout_ms
        )

    return start


@pytest.mark.parametrize(("client", "assignor"), [*EAGER, *COOPERATIVE])
def test_members_that_join_and_leave_process_every_record_once(client, assignor, start_run, topic):
    with start_run() as run:
        run.add_topic(topic, partitions=PARTITIONS, start_committed=False)
        one = run.join(client, assignor=assignor)
        run.wait_shared(one)
        run.wait_processed()
        two = run.join(client, assignor=assignor)
        three = run.join(client, assignor=assignor)
        run.wait_shared(one, two, three)
        run.wait_processed()
        one.leave()
        run.wait_shared(two, three)
        run.wait_processed()
        run.finish(exactly_once=True)


@pytest.mark.parametrize(("client", "assignor"), STORMY)
def test_a_crash_and_a_pause_skip_nothing(client, assignor, start_run, topic):
    with start_run(session_timeout_ms=SHORT_SESSION_MS) as run:
        run.add_topic(topic, partitions=PARTITIONS)
        stays, crashes, pauses = (run.join(client, assignor=assignor) for _ in range(3))
        run.wait_shared(stays, crashes, pauses)
        run.wait_processed()
        crashes.kill()
        pauses.pause()
        run.wait_shared(stays)
        run.wait_processed()
        pauses.resume()
        run.wait_shared(stays, pauses)
        run.wait_processed()
        run.finish(evictions=True)  # what is paused believes for a while what is no longer so


@pytest.mark.parametrize("client", CLIENTS)
def test_a_static_member_that_restarts_disturbs_nobody(client, start_run, topic):
    with start_run() as run:
        run.add_topic(topic, partitions=PARTITIONS)
        stays = run.join(client, instance_id="stays")
        returns = run.join(client, instance_id="returns")
        run.wait_shared(stays, returns)
        run.wait_processed()
        owned, told = returns.owned, len(changes(stays))
        returns.kill()
        run.wait_shared(stays, run.join(client, instance_id="returns"))
        assert list(run.members.values())[-1].owned == owned
        run.wait_processed()
        assert len(changes(stays)) == told
        run.finish()


def changes(member: Member) -> list[object]:
    """What the group has told a member of its partitions."""
    return [event for event in member.events if isinstance(event, Assigned | Revoked | Lost)]
