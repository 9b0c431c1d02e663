"""What can be set on a topic, where each setting's default comes from, and which values are valid.

A topic's own value wins, then the broker's, wherever that is from, then the log's default.
Must never know: requests, the controller, where configs are kept.
"""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING, Final

from broker.dynamic_config import Origin, Source
from broker.log.config import FLUSH_COMMIT, LogConfig, flush_not_met
from broker.nearest import hint
from broker.replication.throttle import FOLLOWER_REPLICAS, LEADER_REPLICAS, is_replica_list
from broker.settings import ValueType, format_value, type_of
from broker.topic_defaults import TOPIC_DEFAULT_KEYS
from coordinator.errors import InvalidConfig
from coordinator.topic_config import (
    INHERITED_KEYS,
    MIN_INSYNC_REPLICAS,
    UNCLEAN_LEADER_ELECTION,
    check_config,
    min_insync_replicas,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from broker.dynamic_config import DynamicConfig

WITHOUT_EFFECT: Final = frozenset(
    {
        "compression.gzip.level",
        "compression.lz4.level",
        "compression.zstd.level",
        "file.delete.delay.ms",
        "flush.messages",
        "flush.ms",
        "local.retention.bytes",
        "local.retention.ms",
        "preallocate",
        "segment.index.bytes",
        "segment.jitter.ms",
    }
)
"""Kafka's settings that tune what is done otherwise here: kept and shown, so that tools that set
them can create their topics."""

_FLUSHES: Final = frozenset({"flush.messages", "flush.ms"})

REMOTE_STORAGE: Final = "remote.storage.enable"
"""There is none: taken where it says so, for those who set everything that a topic has in Kafka."""

_LOG_DEFAULTS: Final = {
    item.metadata["key"]: getattr(LogConfig(), item.name) for item in fields(LogConfig)
}

TOPIC_KEYS: Final = frozenset(
    {
        *_LOG_DEFAULTS,
        MIN_INSYNC_REPLICAS,
        UNCLEAN_LEADER_ELECTION,
        LEADER_REPLICAS,
        FOLLOWER_REPLICAS,
    }
)
"""The settings that every topic has."""

_TAKEN: Final = TOPIC_KEYS | WITHOUT_EFFECT | {REMOTE_STORAGE}


def check_topic_config(config: Mapping[str, str]) -> None:
    """Refuse keys that no topic has, and values that are not valid. Raises: InvalidConfig."""
    for key in config:
        if key not in _TAKEN:
            raise InvalidConfig(f"{key} is not a setting of topics{hint(key, TOPIC_KEYS)}")
    if config.get(REMOTE_STORAGE, "false").lower() != "false":
        raise InvalidConfig(
            f"{REMOTE_STORAGE}={config[REMOTE_STORAGE]}: there is no tiered storage here, only "
            "false is served; bound the topic with retention.bytes and retention.ms"
        )
    for key in (LEADER_REPLICAS, FOLLOWER_REPLICAS):
        if not is_replica_list(config.get(key, "")):
            raise InvalidConfig(
                f"{key}={config[key]}: * for all, or partition:broker pairs with commas between"
                " them are expected, such as 0:1,1:3"
            )
    read = LogConfig.of(config)
    if read.min_compaction_lag_ms > read.max_compaction_lag_ms:
        raise InvalidConfig(
            f"min.compaction.lag.ms={read.min_compaction_lag_ms} is above max.compaction.lag.ms="
            f"{read.max_compaction_lag_ms}: what has to be compacted by then could not be yet"
        )
    if read.flush != FLUSH_COMMIT and (asked := _FLUSHES & config.keys()):
        raise InvalidConfig(flush_not_met(min(asked), read.flush))
    check_config(config)


def type_of_setting(key: str) -> ValueType:
    """Tell what kind of value a topic's setting has."""
    if key == MIN_INSYNC_REPLICAS:
        return ValueType.INT
    if key == UNCLEAN_LEADER_ELECTION:
        return ValueType.BOOLEAN
    if key in (LEADER_REPLICAS, FOLLOWER_REPLICAS):
        return ValueType.LIST
    return type_of(_LOG_DEFAULTS.get(key, ""))


def origins(
    config: Mapping[str, str], broker: DynamicConfig, *, replication_factor: int
) -> dict[str, list[Origin]]:
    """List for each of a topic's settings the places that give it a value, the winner first."""
    defaults = _LOG_DEFAULTS | {
        MIN_INSYNC_REPLICAS: min_insync_replicas({}, replication_factor=replication_factor),
        UNCLEAN_LEADER_ELECTION: False,
        LEADER_REPLICAS: "",
        FOLLOWER_REPLICAS: "",
    }
    found: dict[str, list[Origin]] = {}
    for key in sorted(TOPIC_KEYS | config.keys()):
        places = found[key] = []
        if key in config:
            places.append(Origin(key, config[key], Source.DYNAMIC_TOPIC))
        broker_key = TOPIC_DEFAULT_KEYS.get(key, key)
        # A broker's file says nothing of what the controller has to know as well.
        unheard = {Source.DEFAULT, *([Source.STATIC_BROKER] if key in INHERITED_KEYS else [])}
        places += [o for o in broker.origins(broker_key) if o.source not in unheard]
        if key in defaults:
            places.append(Origin(broker_key, format_value(defaults[key]), Source.DEFAULT))
    return found
