"""Settings of topics: which there are, which values are valid, where defaults come from."""

from __future__ import annotations

from dataclasses import fields

import pytest

from broker.config import BrokerConfig
from broker.dynamic_config import DynamicConfig
from broker.log.config import LogConfig
from broker.settings import format_value
from broker.topic_config import (
    TOPIC_KEYS,
    WITHOUT_EFFECT,
    Origin,
    Source,
    check_topic_config,
    origins,
)
from broker.topic_defaults import TOPIC_DEFAULT_KEYS
from coordinator.cluster import ClusterState
from protocol.errors import ErrorCode, RequestError


def settings_of(static: BrokerConfig) -> DynamicConfig:
    return DynamicConfig(static, cluster=ClusterState)


def test_every_setting_of_a_log_has_a_default_in_the_broker():
    assert {item.metadata["key"] for item in fields(LogConfig)} <= TOPIC_DEFAULT_KEYS.keys()


def test_broker_and_log_agree_on_defaults():
    of_broker = {item.metadata["key"]: value for item, value in BrokerConfig().settings()}
    for item in fields(LogConfig):
        broker_key = TOPIC_DEFAULT_KEYS[item.metadata["key"]]
        assert format_value(of_broker[broker_key]) == format_value(
            getattr(LogConfig(), item.name)
        ), broker_key


@pytest.mark.parametrize(
    "config",
    [
        {},
        {"retention.ms": "-1", "cleanup.policy": "delete"},
        {"cleanup.policy": "compact", "min.cleanable.dirty.ratio": "0"},
        {"cleanup.policy": "compact,delete", "delete.retention.ms": "0"},
        {"min.insync.replicas": "2", "unclean.leader.election.enable": "true"},
        {"compression.type": "producer"},
        {"compression.type": "uncompressed"},
        {"compression.type": "zstd", "compression.zstd.level": "3"},
        {"remote.storage.enable": "false"},
        dict.fromkeys(WITHOUT_EFFECT, "1"),
    ],
)
def test_valid_configs_pass(config):
    check_topic_config(config)


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({"retention.msec": "1"}, "did you mean retention.ms?"),
        ({"retention.ms": "soon"}, "soon"),
        ({"cleanup.policy": "burn"}, "burn"),
        ({"min.cleanable.dirty.ratio": "1.5"}, "from 0 to 1"),
        ({"min.cleanable.dirty.ratio": "nan"}, "from 0 to 1"),
        ({"min.compaction.lag.ms": "9", "max.compaction.lag.ms": "8"}, "max.compaction.lag.ms"),
        ({"min.insync.replicas": "0"}, "min.insync.replicas"),
        ({"compression.type": "none"}, "one of uncompressed, zstd, lz4, snappy, gzip, producer"),
        ({"remote.storage.enable": "true"}, "retention.bytes"),
        ({"flush.messages": "1", "ottla.flush": "os"}, "flush.messages is not met"),
    ],
)
def test_a_refusal_says_what_is_wrong(config, said):
    with pytest.raises(RequestError) as caught:
        check_topic_config(config)

    assert caught.value.code == ErrorCode.INVALID_CONFIG
    assert said in str(caught.value)


def test_the_topic_wins_over_the_broker_and_that_over_the_default():
    broker = BrokerConfig.parse({"log.retention.ms": "5"})
    found = origins({"retention.ms": "3"}, settings_of(broker), replication_factor=3)

    assert found["retention.ms"] == [
        Origin("retention.ms", "3", Source.DYNAMIC_TOPIC),
        Origin("log.retention.ms", "5", Source.STATIC_BROKER),
        Origin("log.retention.ms", "604800000", Source.DEFAULT),
    ]


@pytest.mark.parametrize(("replication_factor", "expected"), [(1, "1"), (2, "1"), (3, "2")])
def test_the_default_of_min_insync_replicas_follows_the_replication_factor(
    replication_factor, expected
):
    found = origins({}, settings_of(BrokerConfig()), replication_factor=replication_factor)

    assert found["min.insync.replicas"][0].value == expected
    assert found.keys() == TOPIC_KEYS


def test_a_file_says_nothing_of_what_the_controller_has_to_know_as_well():
    broker = BrokerConfig.parse(
        {"min.insync.replicas": "1", "unclean.leader.election.enable": "true", "ottla.flush": "os"}
    )
    found = origins({}, settings_of(broker), replication_factor=3)

    assert [(o.value, o.source) for o in found["min.insync.replicas"]] == [("2", Source.DEFAULT)]
    for key, value in (("unclean.leader.election.enable", "false"), ("ottla.flush", "commit")):
        assert [(o.value, o.source) for o in found[key]] == [(value, Source.DEFAULT)]
