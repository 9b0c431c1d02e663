"""What a topic may be called, and the config that elections read."""

from __future__ import annotations

import pytest

from coordinator.errors import InvalidConfig, InvalidTopicName
from coordinator.topic_config import (
    CONFIG_BYTES_MAX,
    VALUE_BYTES_MAX,
    ElectionRules,
    check_config,
    check_name,
    min_insync_replicas,
)


@pytest.mark.parametrize("name", ["a", "A.b_c-9", "x" * 249, "...", "__consumer_offsets"])
def test_a_name_as_kafka_allows_is_accepted(name):
    check_name(name)


@pytest.mark.parametrize("name", ["", ".", "..", "x" * 250, "a/b", "a b", "é", "a\n"])
def test_a_name_that_kafka_refuses_is_refused(name):
    with pytest.raises(InvalidTopicName):
        check_name(name)


@pytest.mark.parametrize(
    ("config", "factor", "minimum"),
    [
        ({}, 1, 1),
        ({}, 2, 1),
        ({}, 3, 2),
        ({}, 5, 2),
        ({"min.insync.replicas": "3"}, 5, 3),
        ({"min.insync.replicas": "3"}, 2, 2),
    ],
)
def test_the_minimum_of_in_sync_replicas_is_safe_by_default_and_never_too_many(
    config, factor, minimum
):
    assert min_insync_replicas(config, replication_factor=factor) == minimum


def test_rules_are_read_from_the_config():
    rules = ElectionRules.of(
        {"unclean.leader.election.enable": "true", "ottla.flush": "os"}, replication_factor=3
    )

    assert rules == ElectionRules(2, unclean=True, flush_os=True)


@pytest.mark.parametrize(
    "config",
    [
        {"min.insync.replicas": "0"},
        {"min.insync.replicas": "two"},
        {"min.insync.replicas": "²"},
        {"min.insync.replicas": "9" * 5_000},  # more digits than Python reads
        {"unclean.leader.election.enable": "yes"},
        {"ottla.flush": "never"},
    ],
)
def test_a_config_that_elections_cannot_use_is_refused(config):
    with pytest.raises(InvalidConfig):
        check_config(config)


def test_a_value_that_no_string_of_the_protocol_holds_is_refused():
    check_config({"note": "\N{EURO SIGN}" * (VALUE_BYTES_MAX // 3)})
    with pytest.raises(
        InvalidConfig, match=r"note would have 32769 bytes: a setting has at most 32767"
    ):
        check_config({"note": "\N{EURO SIGN}" * (VALUE_BYTES_MAX // 3 + 1)})


def test_a_config_is_bounded_by_its_bytes():
    half = "\N{EURO SIGN}" * (VALUE_BYTES_MAX // 3)
    rest = "x" * (CONFIG_BYTES_MAX - len(half.encode()) * 2 - 3)

    check_config({"a": half, "b": half, "c": rest})
    with pytest.raises(InvalidConfig, match="a config of 65537 bytes"):
        check_config({"a": half, "b": half, "c": rest + "x"})
