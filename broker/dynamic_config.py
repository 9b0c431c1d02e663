"""A broker's settings as they are now: what it was given at run time wins over its file.

Given to it alone, then to all brokers, then in its file, then the default (KIP-226).
Must never know: requests, how what is given is kept, who uses the settings.
"""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING, Final

import structlog
from msgspec import Struct

from broker.config import KEYS, BrokerConfig, why_unknown
from broker.errors import ConfigError
from broker.settings import INT64_MAX, format_value
from coordinator.topic_config import INHERITED_KEYS
from protocol.errors import ErrorCode, RequestError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from coordinator.cluster import ClusterState

log_events = structlog.get_logger()

CLUSTER_KEYS: Final = frozenset(
    {
        *INHERITED_KEYS,
        "num.partitions",
        "default.replication.factor",
        "auto.leader.rebalance.enable",
    }
)
"""Can be given at run time, to all brokers only: they must agree, or act for the whole cluster."""

DYNAMIC_KEYS: Final = CLUSTER_KEYS | {
    "message.max.bytes",
    "log.segment.bytes",
    "log.roll.ms",
    "log.index.interval.bytes",
    "log.retention.ms",
    "log.retention.bytes",
    "log.cleanup.policy",
    "log.cleaner.delete.retention.ms",
    "log.cleaner.min.cleanable.ratio",
    "log.cleaner.min.compaction.lag.ms",
    "log.cleaner.max.compaction.lag.ms",
    "compression.type",
    "log.message.timestamp.type",
    "log.message.timestamp.before.max.ms",
    "log.message.timestamp.after.max.ms",
    "producer.id.expiration.ms",
    "ottla.schema.validation",
    "max.connections",
    "ottla.faults",
    "leader.replication.throttled.rate",
    "follower.replication.throttled.rate",
}
"""Can be given at run time."""

UNTHROTTLED: Final = INT64_MAX


class Source(IntEnum):
    """Where a value comes from. Source: Kafka's DescribeConfigs, `config_source`."""

    UNKNOWN = 0
    DYNAMIC_TOPIC = 1
    DYNAMIC_BROKER = 2
    DYNAMIC_DEFAULT_BROKER = 3
    STATIC_BROKER = 4
    DEFAULT = 5


class Origin(Struct, frozen=True):
    """One place that gives, or would give, a setting its value."""

    key: str
    value: str | None
    source: Source


def check_broker_config(config: Mapping[str, str], *, per_broker: bool) -> None:
    """Refuse what cannot be given at run time, to one broker or to all.

    Raises: RequestError, naming key and next step. The codes are Kafka's: INVALID_REQUEST, also for
    values, and INVALID_CONFIG for what all brokers must agree on.
    """
    for key in config:
        if key not in KEYS:
            raise RequestError.of(ErrorCode.INVALID_REQUEST, why_unknown(key))
        if key not in DYNAMIC_KEYS:
            raise RequestError.of(
                ErrorCode.INVALID_REQUEST,
                f"{key} cannot be changed at run time: change it in the broker's configuration"
                " file and restart the broker",
            )
        if per_broker and key in CLUSTER_KEYS:
            raise RequestError.of(
                ErrorCode.INVALID_CONFIG,
                f"{key} must be the same on all brokers: set it as the default of all of them"
                " (--entity-default), or on single topics",
            )
    try:
        BrokerConfig().overlaid(config)
    except ConfigError as error:
        raise RequestError.of(ErrorCode.INVALID_REQUEST, str(error)) from None


class DynamicConfig:
    """What holds for one broker, given its file and a cluster that changes."""

    def __init__(self, static: BrokerConfig, *, cluster: Callable[[], ClusterState]) -> None:
        self.static = static
        self._cluster = cluster
        self._given: tuple[Mapping[str, str], Mapping[str, str]] = ({}, {})
        self._current = static
        self._in_file = {item.metadata["key"]: (item, value) for item, value in static.settings()}

    @property
    def current(self) -> BrokerConfig:
        """The configuration that holds now."""
        return self.as_of(self._cluster())

    def as_of(self, cluster: ClusterState) -> BrokerConfig:
        """Give the configuration that holds in a state of the cluster."""
        given = self._given_in(cluster)
        if given != self._given:
            self._given, self._current = given, _overlaid(self.static, {**given[0], **given[1]})
        return self._current

    def topic_defaults(self, cluster: ClusterState) -> dict[str, str]:
        """Give what topics get that neither have it of their own nor inherit it.

        What is inherited comes with the topic, at the moment when the controller acts on it. Our
        file's word on that counts for new topics only: the controller does not know of it.
        """
        current = self.as_of(cluster).topic_defaults()
        return {key: value for key, value in current.items() if key not in INHERITED_KEYS}

    def defaults_of_new_topic(self) -> dict[str, str]:
        """Give what a new topic is made to keep as its own.

        On this all must agree, and brokers may have been started with different files; what the
        whole cluster was given is inherited instead.
        """
        static, given = self.static.topic_defaults(), self._cluster().config
        return {k: static[k] for k in INHERITED_KEYS if k in static and k not in given}

    def origins(self, key: str) -> list[Origin]:
        """List the places that give a setting of the broker its value, the winner first."""
        to_all, to_us = self._given_in(self._cluster())
        places = []
        if key in to_us:
            places.append(Origin(key, to_us[key], Source.DYNAMIC_BROKER))
        if key in to_all:
            places.append(Origin(key, to_all[key], Source.DYNAMIC_DEFAULT_BROKER))
        if key in self._in_file:
            item, value = self._in_file[key]
            if key in self.static.explicit:
                places.append(Origin(key, format_value(value), Source.STATIC_BROKER))
            places.append(Origin(key, format_value(item.default), Source.DEFAULT))
        return places

    def leader_throttle_rate(self) -> int | None:
        """Give the bytes in a second that go out of throttled replicas; None for no bound."""
        return _bound(self.current.replication.leader_throttled_rate)

    def follower_throttle_rate(self) -> int | None:
        """Give the bytes in a second that come in for throttled replicas; None for no bound."""
        return _bound(self.current.replication.follower_throttled_rate)

    def _given_in(self, cluster: ClusterState) -> tuple[Mapping[str, str], Mapping[str, str]]:
        return cluster.config, cluster.broker_configs.get(self.static.node.node_id, {})


def _overlaid(static: BrokerConfig, given: Mapping[str, str]) -> BrokerConfig:
    """Take over what can be, one by one: another release may have accepted what we cannot read."""
    config = static
    for key, text in given.items():
        if key in DYNAMIC_KEYS:
            try:
                config = config.overlaid({key: text})
            except ConfigError as error:
                log_events.warning("dynamic_setting_ignored", reason=str(error))
    return config


def _bound(rate: int) -> int | None:
    return None if rate == UNTHROTTLED else rate
