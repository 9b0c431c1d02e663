"""What brokers are given at run time: edits, refusals, and what topics inherit of it."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from coordinator.cluster import NO_LEADER, ClusterState, PartitionState, TopicState
from coordinator.decide import decide
from coordinator.events import (
    AlterBrokerConfigs,
    ConfigEdit,
    ConfigOperation,
    CreateTopics,
    DefaultsChanged,
    NewTopic,
)
from protocol.errors import ErrorCode, RequestError
from tests.coordinator.test_decide import cluster

SET, DELETE = ConfigOperation.SET, ConfigOperation.DELETE
MIN_ISR, UNCLEAN = "min.insync.replicas", "unclean.leader.election.enable"


def edit(name: str, *changes: tuple[str, ConfigOperation, str]) -> AlterBrokerConfigs:
    return AlterBrokerConfigs((ConfigEdit(name, changes),))


def after(state: ClusterState, *events) -> ClusterState:
    for event in events:
        changes = decide(state, event)
        assert changes.refused == {}
        state = changes.apply_to(state)
    return state


def with_topic(state: ClusterState, partition: PartitionState, **config: str) -> ClusterState:
    named = {key.replace("_", "."): value for key, value in config.items()}
    return state.with_topic(TopicState("t", bytes(16), named, (partition,), version=0))


def test_what_all_are_given_and_what_one_is_given_are_kept_apart():
    state = after(
        cluster(1, 2),
        edit("", ("log.retention.ms", SET, "1")),
        edit("2", ("log.retention.ms", SET, "2"), ("message.max.bytes", SET, "9")),
    )

    assert state.config == {"log.retention.ms": "1"}
    assert state.broker_configs == {2: {"log.retention.ms": "2", "message.max.bytes": "9"}}


def test_a_broker_that_is_given_nothing_any_more_is_forgotten():
    state = after(
        cluster(1),
        edit("1", ("log.retention.ms", SET, "2")),
        edit("1", ("log.retention.ms", DELETE, "")),
    )

    assert state.broker_configs == {}


def test_only_brokers_that_are_known_are_given_anything():
    state = replace(cluster(1), acknowledged={1: 101, 7: 3})

    assert after(state, edit("7", ("log.retention.ms", SET, "2"))).broker_configs
    for name in ("2", "-1", "one", "01"):
        (refusal,) = decide(state, edit(name, ("log.retention.ms", SET, "2"))).refused.values()
        assert refusal.code == ErrorCode.INVALID_REQUEST
        assert "1, 7" in str(refusal)


def test_a_refused_edit_changes_nothing_and_others_are_carried_out():
    def check(config, /, *, per_broker):
        if "bad" in config:
            raise RequestError.of(ErrorCode.INVALID_REQUEST, f"{per_broker}")

    items = (
        ConfigEdit("", (("bad", SET, "1"),)),
        ConfigEdit("1", (("bad", SET, "1"),)),
        ConfigEdit("1", (("good", SET, "1"),)),
    )
    changes = decide(cluster(1), AlterBrokerConfigs(items, check))

    assert {number: str(error) for number, error in changes.refused.items()} == {
        0: "False",
        1: "True",
    }
    assert (changes.config, changes.broker_configs) == ({}, {1: {"good": "1"}})


def test_a_default_that_topics_inherit_reaches_them_with_the_decision_on_it():
    shrunk = PartitionState(
        replicas=(1, 2, 3), leader_id=1, leader_epoch=1, isr=(1,), elr=(2,), leader_broker_epoch=101
    )
    state = with_topic(cluster(1, 2, 3), shrunk)
    given = after(state, edit("", (MIN_ISR, SET, "1")))

    assert given.topics == state.topics
    (topic,) = after(given, DefaultsChanged()).topics.values()
    assert topic.settings == {MIN_ISR: "1"}
    assert topic.partitions[0].elr == ()
    back = after(given, DefaultsChanged(), edit("", (MIN_ISR, DELETE, "")), DefaultsChanged())
    assert back.topics["t"].settings == {}


def test_a_topics_own_setting_wins_over_what_it_inherits():
    leaderless = PartitionState(replicas=(1, 2), leader_id=NO_LEADER, leader_epoch=1, isr=(2,))
    careful = with_topic(cluster(1), leaderless, unclean_leader_election_enable="false")
    careless = with_topic(cluster(1), leaderless)
    events = (edit("", (UNCLEAN, SET, "true")), DefaultsChanged())

    assert after(careful, *events).topics["t"].partitions == (leaderless,)
    assert after(careless, *events).topics["t"].partitions[0].leader_id == 1


def test_a_new_topic_inherits_at_once():
    state = after(cluster(1, 2, 3), edit("", (MIN_ISR, SET, "3")))
    topic = after(state, CreateTopics((NewTopic("t", 1, 3),))).topics["t"]

    assert (topic.config, topic.inherited) == ({}, {MIN_ISR: "3"})
    settled = after(state, CreateTopics((NewTopic("t", 1, 3),)))
    assert decide(settled, DefaultsChanged()).topics == {}


@pytest.mark.parametrize("value", ["0", "-1", "two", ""])
def test_what_elections_depend_on_is_checked(value):
    (refusal,) = decide(cluster(1), edit("", (MIN_ISR, SET, value))).refused.values()

    assert refusal.code == ErrorCode.INVALID_CONFIG
