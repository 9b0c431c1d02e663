"""A broker's settings as they are now: which place wins, and what cannot be changed at run time."""

from __future__ import annotations

import pytest
from msgspec.structs import replace
from structlog.testing import capture_logs

from broker.config import KEYS, BrokerConfig
from broker.dynamic_config import (
    CLUSTER_KEYS,
    DYNAMIC_KEYS,
    DynamicConfig,
    Source,
    check_broker_config,
)
from broker.topic_defaults import TOPIC_DEFAULT_KEYS
from coordinator.cluster import ClusterState
from coordinator.topic_config import INHERITED_KEYS
from protocol.errors import ErrorCode, RequestError

US = 1


class Given:
    """What broker 1 and all brokers are given, over a file."""

    def __init__(self, **in_file: str) -> None:
        self.cluster = ClusterState()
        static = BrokerConfig.parse({k.replace("_", "."): v for k, v in in_file.items()})
        self.settings = DynamicConfig(static, cluster=lambda: self.cluster)

    def to_all(self, **config: str) -> None:
        named = {key.replace("_", "."): value for key, value in config.items()}
        self.cluster = replace(self.cluster, config=named)

    def to_one(self, broker_id: int, **config: str) -> None:
        named = {key.replace("_", "."): value for key, value in config.items()}
        self.cluster = replace(self.cluster, broker_configs={broker_id: named})

    @property
    def retention_ms(self) -> int:
        return self.settings.current.topics.log_retention_ms

    def sources(self, key: str) -> list[Source]:
        return [origin.source for origin in self.settings.origins(key)]


def test_what_can_be_changed_at_run_time_is_declared():
    assert DYNAMIC_KEYS <= KEYS
    assert {TOPIC_DEFAULT_KEYS[key] for key in INHERITED_KEYS} <= CLUSTER_KEYS < DYNAMIC_KEYS


def test_every_default_of_topics_can_be_changed_at_run_time():
    assert set(TOPIC_DEFAULT_KEYS.values()) <= DYNAMIC_KEYS


def test_what_one_is_given_wins_over_what_all_are_and_that_over_the_file_and_the_default():
    given = Given()
    assert given.retention_ms == 604_800_000
    assert given.sources("log.retention.ms") == [Source.DEFAULT]

    given = Given(log_retention_ms="4")
    assert given.retention_ms == 4
    given.to_all(log_retention_ms="3")
    assert given.retention_ms == 3
    given.to_one(US + 1, log_retention_ms="9")
    assert given.retention_ms == 3
    given.to_one(US, log_retention_ms="2")
    assert given.retention_ms == 2
    assert given.sources("log.retention.ms") == [
        Source.DYNAMIC_BROKER,
        Source.DYNAMIC_DEFAULT_BROKER,
        Source.STATIC_BROKER,
        Source.DEFAULT,
    ]

    given.cluster = ClusterState()
    assert given.retention_ms == 4


def test_topics_get_their_defaults_from_it_but_what_the_controller_must_know_as_well():
    given = Given(min_insync_replicas="1", ottla_flush="os", log_segment_bytes="2000")
    given.to_all(log_retention_ms="3", min_insync_replicas="2", ottla_flush="os")
    given.to_one(US, message_max_bytes="7")

    assert given.settings.topic_defaults(given.cluster) == {
        "retention.ms": "3",
        "max.message.bytes": "7",
        "segment.bytes": "2000",
    }


def test_a_new_topic_keeps_of_the_file_what_all_must_agree_on_and_all_were_not_given():
    given = Given(min_insync_replicas="1", ottla_flush="os", log_retention_ms="4")
    assert given.settings.defaults_of_new_topic() == {
        "min.insync.replicas": "1",
        "ottla.flush": "os",
    }

    given.to_all(min_insync_replicas="2")
    assert given.settings.defaults_of_new_topic() == {"ottla.flush": "os"}


def test_replication_is_not_throttled_unless_it_is_said():
    given = Given()
    assert given.settings.leader_throttle_rate() is None
    assert given.settings.follower_throttle_rate() is None

    given.to_one(
        US,
        leader_replication_throttled_rate="1000",
        follower_replication_throttled_rate="2000",
    )
    assert given.settings.leader_throttle_rate() == 1_000
    assert given.settings.follower_throttle_rate() == 2_000


def test_what_cannot_be_read_is_ignored_and_said_and_the_rest_holds():
    given = Given()
    given.to_all(log_retention_ms="soon", log_retention_bytes="5", log_dirs="elsewhere")

    with capture_logs() as logs:
        topics = given.settings.current.topics

    assert (topics.log_retention_ms, topics.log_retention_bytes) == (604_800_000, 5)
    assert given.settings.current.node.log_dirs == given.settings.static.node.log_dirs
    assert [entry["event"] for entry in logs] == ["dynamic_setting_ignored"]


@pytest.mark.parametrize("per_broker", [True, False])
@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({"node.id": "3"}, "restart the broker"),
        ({"log.retention.hours": "3"}, "log.retention"),
        ({"log.retention.sm": "3"}, "did you mean log.retention.ms"),
        ({"log.retention.ms": "soon"}, "a whole number is expected"),
        ({"max.connections": "0"}, "from 1 to"),
        ({"log.cleanup.policy": "burn"}, "delete"),
    ],
)
def test_a_refusal_says_what_is_wrong_and_what_to_do(config, said, per_broker):
    with pytest.raises(RequestError, match=said) as refused:
        check_broker_config(config, per_broker=per_broker)

    assert refused.value.code is ErrorCode.INVALID_REQUEST


VALID_OF_CLUSTER = {
    "unclean.leader.election.enable": "true",
    "auto.leader.rebalance.enable": "false",
    "ottla.flush": "os",
}


@pytest.mark.parametrize("key", sorted(CLUSTER_KEYS))
def test_what_all_must_agree_on_is_given_to_all_only(key):
    valid = VALID_OF_CLUSTER.get(key, "1")
    check_broker_config({key: valid}, per_broker=False)

    with pytest.raises(RequestError, match="--entity-default") as refused:
        check_broker_config({key: valid}, per_broker=True)
    assert refused.value.code is ErrorCode.INVALID_CONFIG
