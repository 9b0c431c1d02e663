"""The configuration: Kafka's keys in, checked values out, errors that say what to write."""

from __future__ import annotations

import pytest

from broker.config import KEYS, BrokerConfig, read_properties
from broker.errors import ConfigError
from broker.kafka_settings import WITHOUT_EFFECT
from broker.settings import format_value, parse_endpoints
from coordinator.cluster import Endpoint


def test_defaults_are_safe():
    topics = BrokerConfig().topics

    assert topics.default_replication_factor == -1
    assert topics.min_insync_replicas is None
    assert not topics.unclean_leader_election_enable
    assert topics.ottla_flush == "commit"


def test_an_empty_mapping_gives_the_defaults():
    assert BrokerConfig.parse({}) == BrokerConfig()


def test_values_are_read_by_their_kind():
    config = BrokerConfig.parse(
        {
            "node.id": "7",
            "auto.create.topics.enable": "FALSE",
            "broker.rack": "r1",
            "listeners": "PLAINTEXT://0.0.0.0:9092, internal://[::1]:0",
            "advertised.listeners": "PLAINTEXT://broker-7:9092",
            "min.insync.replicas": " 2 ",
        }
    )

    assert config.node.node_id == 7
    assert not config.topics.auto_create_topics_enable
    assert config.node.broker_rack == "r1"
    assert config.node.listeners == (
        Endpoint("0.0.0.0", 9092, "PLAINTEXT"),
        Endpoint("::1", 0, "INTERNAL"),
    )
    assert config.topics.min_insync_replicas == 2


@pytest.mark.parametrize(
    ("key", "text", "expected"),
    [
        ("num.partitions", "many", "a whole number"),
        ("num.partitions", "0", "1 to"),
        ("auto.create.topics.enable", "yes", "true or false"),
        ("ottla.flush", "never", "commit, os"),
        ("listeners", "localhost", "host:port"),
        ("listeners", "PLAINTEXT://h:99999", "host:port"),
        ("listeners", "A://h..org:1", "'h..org' is no host"),
        ("advertised.listeners", f"A://h:1, B://{'x' * 64}.org:1", "1 to 63 characters"),
        ("num.partition", "1", "num.partitions"),
    ],
)
def test_an_error_names_key_and_expectation(key, text, expected):
    with pytest.raises(ConfigError) as caught:
        BrokerConfig.parse({key: text})

    assert key in str(caught.value)
    assert expected in str(caught.value)


@pytest.mark.parametrize(
    ("properties", "retention_ms"),
    [
        ({"log.retention.hours": "2"}, 7_200_000),
        ({"log.retention.hours": "-1"}, -1),
        ({"log.retention.hours": "2", "log.retention.minutes": "1"}, 60_000),
        ({"log.retention.hours": "2", "log.retention.ms": "5"}, 5),
    ],
)
def test_the_finest_unit_of_a_time_wins(properties, retention_ms):
    assert BrokerConfig.parse(properties).topics.log_retention_ms == retention_ms


def test_other_names_of_a_key_are_understood():
    config = BrokerConfig.parse({"broker.id": "3", "log.dir": "d"})

    assert (config.node.node_id, config.node.log_dirs) == (3, "d")


def test_what_changes_nothing_here_is_taken_and_told():
    config = BrokerConfig.parse({"num.io.threads": "8", "num.partitions": "5"})

    assert config.without_effect == {"num.io.threads"}
    assert config.topics.num_partitions == 5
    assert config.explicit == {"num.partitions"}
    assert not WITHOUT_EFFECT & KEYS


@pytest.mark.parametrize(
    ("key", "said"),
    [
        ("process.roles", "zookeeper.connect"),
        ("controller.quorum.voters", "zookeeper.connect"),
        ("ssl.keystore.location", "TLS"),
        ("sasl.enabled.mechanisms", "not authenticated"),
        ("authorizer.class.name", "no ACLs"),
    ],
)
def test_what_would_promise_something_is_refused(key, said):
    with pytest.raises(ConfigError, match=f"{key} is not a setting here: .*{said}"):
        BrokerConfig.parse({key: "1"})


def test_flushes_that_are_asked_for_are_not_left_to_the_system():
    key = "log.flush.interval.messages"
    BrokerConfig.parse({key: "1"})
    BrokerConfig.parse({key: str(2**63 - 1), "ottla.flush": "os"})

    with pytest.raises(ConfigError, match=f"{key}=1 is not met with ottla.flush=os"):
        BrokerConfig.parse({key: "1", "ottla.flush": "os"})


def test_properties_skip_what_says_nothing():
    text = "# a comment\n\n! another\nnode.id = 4\nlog.dirs=a=b\n"

    assert read_properties(text) == {"node.id": "4", "log.dirs": "a=b"}


def test_a_line_without_a_value_is_named():
    with pytest.raises(ConfigError, match="line 2"):
        read_properties("node.id=1\nnonsense\n")


def test_every_setting_survives_being_written_and_read():
    written = {
        item.metadata["key"]: text
        for item, value in BrokerConfig().settings()
        if (text := format_value(value)) is not None
    }
    again = BrokerConfig.parse(written)

    assert [value for _, value in again.settings()] == [v for _, v in BrokerConfig().settings()]
    assert {item.metadata["key"] for item, _ in BrokerConfig().settings()} == KEYS


@pytest.mark.parametrize(
    ("properties", "name"),
    [
        ({}, "PLAINTEXT"),
        ({"listeners": "A://h:1, B://h:2"}, "A"),
        ({"listeners": "A://h:1, B://h:2", "advertised.listeners": "B://h:2, A://h:1"}, "B"),
    ],
)
def test_brokers_connect_to_the_listener_that_is_told_first(properties, name):
    assert BrokerConfig.parse(properties).node.peers_listener == name


def test_advertised_listeners_are_endpoints_like_the_listeners():
    both = {"listeners": "A://h:1", "advertised.listeners": "A://outside:2"}
    node = BrokerConfig.parse(both).node

    assert node.listeners == parse_endpoints("A://h:1")
    assert node.advertised_listeners == parse_endpoints("A://outside:2")


@pytest.mark.parametrize(
    ("properties", "said"),
    [
        ({"listeners": ""}, "--listen HOST:PORT"),
        ({"listeners": "10.0.0.1:9092, 10.0.0.2:9092"}, "a name of its own"),
        ({"listeners": "A://h:1, a://h:2"}, "a name of its own"),
        ({"advertised.listeners": "A://h:1, A://h:2"}, "a name of its own"),
        ({"listeners": "0.0.0.0:9092"}, "0.0.0.0 is no address .* --advertise HOST:PORT"),
        ({"listeners": "A://h:1, B://[::]:2"}, "listener B: :: is no address"),
        ({"listeners": "PLAINTEXT://:9092"}, "an empty host is no address"),
        ({"advertised.listeners": "0.0.0.0:9092"}, "0.0.0.0 is no address"),
        ({"advertised.listeners": "[0:0::0]:9092"}, "0:0::0 is no address"),
        ({"advertised.listeners": "PLAINTEXT://:9092"}, "an empty host is no address"),
    ],
)
def test_listeners_that_nobody_could_tell_apart_or_reach_are_refused(properties, said):
    with pytest.raises(ConfigError, match=said):
        BrokerConfig.parse(properties)


def test_names_addresses_and_nothing_at_all_are_hosts():
    hosts = ("", "kafka-2.example.org.", "kafka_2", "x" * 63, "bücher.example", "10.0.0.1")
    endpoints = parse_endpoints(", ".join(f"A://{host}:1" for host in hosts) + ", A://[fe80::1]:1")

    assert [endpoint.host for endpoint in endpoints] == [*hosts, "fe80::1"]


def test_topics_get_what_was_set_for_them_and_nothing_else():
    config = BrokerConfig.parse({"log.segment.bytes": "4096", "min.insync.replicas": "2"})

    assert config.topic_defaults() == {"segment.bytes": "4096", "min.insync.replicas": "2"}
