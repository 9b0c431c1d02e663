"""What one request of many items costs the controller's event loop: counted, not timed."""

from __future__ import annotations

from coordinator import decide_topics
from coordinator.cluster import ClusterState, PartitionState, TopicState
from coordinator.decide import decide
from coordinator.events import (
    AlterBrokerConfigs,
    AlterReassignments,
    ConfigEdit,
    ConfigOperation,
    CreateTopics,
    NewTopic,
    Reassignment,
)
from protocol.errors import ErrorCode
from tests.coordinator.test_decide import cluster


class Counted(tuple):
    """Partitions of a topic that count how often they are walked through."""

    walks = 0

    def __iter__(self):
        Counted.walks += 1
        return super().__iter__()


def test_names_alike_are_looked_for_once_each(monkeypatch):
    unified = []
    plain = decide_topics._unified
    monkeypatch.setattr(decide_topics, "_unified", lambda name: unified.append(name) or plain(name))
    names = [f"a_{number}" for number in range(200)]

    changes = decide(
        cluster(1, 2, 3),
        CreateTopics(
            tuple(NewTopic(name, 1, 3, topic_id=name.encode().ljust(16)) for name in names)
        ),
    )

    assert list(changes.topics) == names
    assert len(unified) <= 3 * len(names)


def test_a_topics_replicas_are_counted_once_for_all_its_refusals(monkeypatch):
    monkeypatch.setattr(Counted, "walks", 0)
    partitions = Counted([PartitionState((1, 2, 3), 1, 0, (1, 2, 3))] * 10_000)
    topic = TopicState("t", bytes(range(16)), {}, partitions, version=0)
    state = cluster(1, 2, 3, 4, 5).with_topic(topic)
    wishes = tuple(Reassignment("t", number, (3, 4, 5)) for number in range(1_000))

    changes = decide(state, AlterReassignments(wishes))

    assert len(changes.refused) == len(wishes)
    assert Counted.walks < 10


def test_what_brokers_are_given_fits_one_znode():
    state: ClusterState = cluster(*range(1, 10))
    refused = []
    wide = "\u3000" * 10_900 + "1000000"  # three bytes each, and no harm to a number
    settings = ("message.max.bytes", "log.segment.bytes")  # as much as one broker is given
    for name in ("", *map(str, range(1, 10))):
        edit = ConfigEdit(name, tuple((key, ConfigOperation.SET, wide) for key in settings))
        changes = decide(state, AlterBrokerConfigs((edit,)))
        refused.append([error.code for error in changes.refused.values()])
        state = changes.apply_to(state)

    assert refused == [*[[]] * 8, [ErrorCode.INVALID_CONFIG], [ErrorCode.INVALID_CONFIG]]
    assert list(state.broker_configs) == [*range(1, 8)]
