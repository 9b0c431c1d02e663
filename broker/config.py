"""The broker's configuration: frozen dataclasses whose fields carry Kafka's keys.

`BrokerConfig.parse` reads a mapping of Kafka's keys to text, `read_properties` a properties file's
text. DescribeConfigs and the documentation are derived from the fields' metadata.
Must never know: where the text comes from, logs, the network.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields, replace
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any

from broker.detours import parse_detours
from broker.errors import ConfigError
from broker.faults import parse_faults
from broker.groups.config import GroupConfig
from broker.kafka_settings import FLUSHES, NEVER_FLUSHED, WITHOUT_EFFECT, what_instead
from broker.log.config import FLUSH, FLUSH_COMMIT, flush_not_met
from broker.nearest import hint
from broker.settings import INT32_MAX, INT64_MAX, format_value, read_setting, setting
from broker.topic_defaults import TOPIC_DEFAULT_KEYS, TopicDefaults
from coordinator.cluster import Endpoint

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from dataclasses import Field


@dataclass(frozen=True, slots=True)
class NodeConfig:
    """Who this broker is, and where it listens, keeps its data and finds the coordinator."""

    node_id: int = setting(
        "node.id", 1, at_most=INT32_MAX, doc="The broker's id; unique in the cluster, for ever."
    )
    broker_rack: str | None = setting(
        "broker.rack", None, doc="Where the broker stands; replicas are spread over racks."
    )
    listeners: tuple[Endpoint, ...] = setting(
        "listeners",
        (Endpoint("127.0.0.1", 9092),),
        doc="Where to listen: NAME://host:port, separated by commas; port 0 takes a free one.",
    )
    advertised_listeners: tuple[Endpoint, ...] = setting(
        "advertised.listeners", (), doc="What clients are told to connect to, where it differs."
    )
    log_dirs: str = setting("log.dirs", "ottla-data", doc="The data directory (one, for now).")
    zookeeper_connect: str = setting(
        "zookeeper.connect", "127.0.0.1:2181", doc="The coordinator: host:port, ..."
    )
    zookeeper_session_timeout_ms: int = setting(
        "zookeeper.session.timeout.ms",
        6_000,
        at_least=1,
        at_most=INT32_MAX,
        doc="How long the coordinator waits before it takes a silent broker for dead.",
    )

    def __post_init__(self) -> None:
        if not self.listeners:
            raise ConfigError("listeners names no address: give --listen HOST:PORT")
        _require_names_of_their_own("listeners", self.listeners)
        _require_names_of_their_own("advertised.listeners", self.advertised_listeners)
        for endpoint in self.advertised_listeners or self.listeners:
            if _is_every_address(endpoint.host):
                raise ConfigError(
                    f"listener {endpoint.listener}: {endpoint.host or 'an empty host'} is no "
                    "address that others could connect to: say how they reach this broker, with "
                    "--advertise HOST:PORT or in advertised.listeners"
                )

    @property
    def peers_listener(self) -> str:
        """The name of the listener that other brokers connect to: that of the first endpoint."""
        return (self.advertised_listeners or self.listeners)[0].listener


@dataclass(frozen=True, slots=True)
class NetworkConfig:
    """Bounds on connections and requests."""

    socket_request_max_bytes: int = setting(
        "socket.request.max.bytes",
        104_857_600,
        at_least=1_024,
        at_most=INT32_MAX,
        doc="The biggest request; the connection of a bigger one is closed.",
    )
    max_connections: int = setting(
        "max.connections",
        INT32_MAX,
        at_least=1,
        at_most=INT32_MAX,
        doc="Connections held at a time; the next one waits to be accepted. Of several listeners"
        " the first, which brokers use, may hold as many by itself. All together never take more"
        " than half of the files that the process may have open.",
    )
    fault_injection: bool = setting(
        "ottla.fault.injection",
        False,
        doc="Whether ottla.faults and ottla.fault.detours are obeyed; for tests only.",
    )
    faults: str = setting(
        "ottla.faults",
        "",
        doc="Faults that requests shall meet, as in Produce=drop@1, separated by commas.",
    )
    fault_detours: str = setting(
        "ottla.fault.detours",
        "",
        doc="Where brokers connect to instead, as in 1>127.0.0.1:9093=20001, separated by commas;"
        " needs ottla.fault.injection.",
    )
    connections_max_idle_ms: int = setting(
        "connections.max.idle.ms", 600_000, at_least=1, doc="Silent connections are closed."
    )
    connection_requests_max: int = setting(
        "ottla.connection.requests.max",
        128,
        at_least=1,
        at_most=INT32_MAX,
        doc="Requests of one connection in work at a time; beyond it reading pauses.",
    )
    connection_bytes_max: int = setting(
        "ottla.connection.bytes.max",
        33_554_432,
        at_least=1,
        doc="Bytes of requests and answers that one connection holds; beyond it reading pauses.",
    )

    def __post_init__(self) -> None:
        parse_faults(self.faults)
        if parse_detours(self.fault_detours) and not self.fault_injection:
            raise ConfigError("ottla.fault.detours needs ottla.fault.injection=true (tests only)")


@dataclass(frozen=True, slots=True)
class FetchSessionConfig:
    """What is remembered of readers between their fetches."""

    max_incremental_fetch_session_cache_slots: int = setting(
        "max.incremental.fetch.session.cache.slots",
        1_000,
        at_most=INT32_MAX,
        doc="Fetch sessions kept at a time; readers beyond it name all they want in every fetch.",
    )
    min_incremental_fetch_session_eviction_ms: int = setting(
        "min.incremental.fetch.session.eviction.ms",
        120_000,
        doc="A session unused for this long gives way to any other; a younger one is kept unless "
        "a follower needs its place.",
    )
    fetch_session_partitions_max: int = setting(
        "ottla.fetch.session.partitions.max",
        100_000,
        at_most=INT32_MAX,
        doc="Partitions in all fetch sessions together, each about half a kilobyte.",
    )


@dataclass(frozen=True, slots=True)
class ReplicationConfig:
    """The pace of replication."""

    replica_lag_time_max_ms: int = setting(
        "replica.lag.time.max.ms",
        30_000,
        at_least=1,
        doc="A follower that has not caught up for this long leaves the ISR.",
    )
    replica_fetch_max_bytes: int = setting(
        "replica.fetch.max.bytes", 1_048_576, at_most=INT32_MAX, doc="Per partition and fetch."
    )
    replica_fetch_response_max_bytes: int = setting(
        "replica.fetch.response.max.bytes", 10_485_760, at_most=INT32_MAX, doc="Per fetch."
    )
    replica_fetch_wait_max_ms: int = setting(
        "replica.fetch.wait.max.ms", 500, at_most=INT32_MAX, doc="A follower's long poll."
    )
    replica_fetch_backoff_ms: int = setting(
        "replica.fetch.backoff.ms", 1_000, doc="The pause after a fetch that failed."
    )
    leader_throttled_rate: int = setting(
        "leader.replication.throttled.rate",
        INT64_MAX,
        doc="Bytes in a second that this broker sends of throttled replicas that it leads.",
    )
    follower_throttled_rate: int = setting(
        "follower.replication.throttled.rate",
        INT64_MAX,
        doc="Bytes in a second that this broker fetches for throttled replicas.",
    )
    auto_leader_rebalance_enable: bool = setting(
        "auto.leader.rebalance.enable",
        True,
        doc="Preferred leaders that come back get their partitions back, five seconds later.",
    )
    log_retention_check_interval_ms: int = setting(
        "log.retention.check.interval.ms", 300_000, at_least=1, doc="How often old segments go."
    )


@dataclass(frozen=True, slots=True)
class CleanerConfig:
    """The pace of log compaction."""

    log_cleaner_enable: bool = setting(
        "log.cleaner.enable", True, doc="Compact the topics whose cleanup.policy says so."
    )
    log_cleaner_backoff_ms: int = setting(
        "log.cleaner.backoff.ms",
        15_000,
        at_least=1,
        doc="How often it is looked for logs to compact.",
    )
    log_cleaner_dedupe_buffer_size: int = setting(
        "log.cleaner.dedupe.buffer.size",
        134_217_728,
        at_least=1_024,
        doc="Bytes that the keys of one pass may take; they are taken as they are needed.",
    )
    log_cleaner_io_max_bytes_per_second: int = setting(
        "log.cleaner.io.max.bytes.per.second",
        INT64_MAX,
        at_least=1,
        doc="Bytes in a second that compaction reads and writes.",
    )


@dataclass(frozen=True, slots=True)
class BrokerConfig:
    """All of a broker's configuration, one part for each subsystem."""

    node: NodeConfig = field(default_factory=NodeConfig)
    network: NetworkConfig = field(default_factory=NetworkConfig)
    topics: TopicDefaults = field(default_factory=TopicDefaults)
    replication: ReplicationConfig = field(default_factory=ReplicationConfig)
    groups: GroupConfig = field(default_factory=GroupConfig)
    fetch_sessions: FetchSessionConfig = field(default_factory=FetchSessionConfig)
    cleaner: CleanerConfig = field(default_factory=CleanerConfig)
    explicit: frozenset[str] = frozenset()
    """The keys that were given, as opposed to those left at their default."""

    without_effect: frozenset[str] = frozenset()
    """Settings of Kafka's that were given, too, and change nothing here."""

    @classmethod
    def parse(cls, properties: Mapping[str, str]) -> BrokerConfig:
        """Read Kafka's keys from text values, and check them.

        Raises: ConfigError, naming the key, its value and what is expected.
        """
        given = _with_aliases_resolved(properties)
        unknown = sorted(given.keys() - KEYS - WITHOUT_EFFECT)
        if unknown:
            raise ConfigError(why_unknown(unknown[0]))
        of_use = {key: text for key, text in given.items() if key in KEYS}
        _require_flushes_met(given)
        return cls(without_effect=frozenset(given.keys() - of_use.keys())).overlaid(of_use)

    def overlaid(self, texts: Mapping[str, str]) -> BrokerConfig:
        """Give the configuration with some settings replaced. Raises: ConfigError."""
        parts: dict[str, Any] = {}
        for name, part in PARTS.items():
            changed = {
                item.name: read_setting(item, texts[item.metadata["key"]])
                for item in fields(part)
                if item.metadata["key"] in texts
            }
            parts[name] = replace(getattr(self, name), **changed)
        return replace(self, **parts, explicit=self.explicit | texts.keys())

    def settings(self) -> Iterator[tuple[Field[Any], object]]:
        """Iterate over all settings as (field with metadata, value)."""
        for name in PARTS:
            part = getattr(self, name)
            for item in fields(part):
                yield item, getattr(part, item.name)

    def topic_defaults(self) -> dict[str, str]:
        """Give what was set for topics that do not set it themselves, under the topics' keys."""
        given = {item.metadata["key"]: value for item, value in self.settings()}
        defaults = {
            key: format_value(given[broker_key])
            for key, broker_key in TOPIC_DEFAULT_KEYS.items()
            if broker_key in self.explicit
        }
        return {key: value for key, value in defaults.items() if value is not None}


PARTS: dict[str, Any] = {
    "node": NodeConfig,
    "network": NetworkConfig,
    "topics": TopicDefaults,
    "replication": ReplicationConfig,
    "groups": GroupConfig,
    "fetch_sessions": FetchSessionConfig,
    "cleaner": CleanerConfig,
}
KEYS = frozenset(item.metadata["key"] for part in PARTS.values() for item in fields(part))

_MS_IN = {"minutes": 60_000, "hours": 3_600_000}
_SAME_MEANING: dict[str, tuple[str, int]] = {
    "broker.id": ("node.id", 1),
    "log.dir": ("log.dirs", 1),
    "log.roll.hours": ("log.roll.ms", _MS_IN["hours"]),
    "log.retention.minutes": ("log.retention.ms", _MS_IN["minutes"]),
    "log.retention.hours": ("log.retention.ms", _MS_IN["hours"]),
}
"""Kafka's other key for a setting, and the factor between the two; the first of them wins."""


def read_properties(text: str) -> dict[str, str]:
    """Read `key=value` lines; empty lines and those that begin with # or ! say nothing.

    Raises: ConfigError, naming the line.
    """
    properties: dict[str, str] = {}
    for number, line in enumerate(text.splitlines(), start=1):
        stripped = line.strip()
        if not stripped or stripped[0] in "#!":
            continue
        key, separator, value = stripped.partition("=")
        if not separator:
            raise ConfigError(f"line {number} is {stripped!r}; write key=value")
        properties[key.strip()] = value.strip()
    return properties


def _with_aliases_resolved(properties: Mapping[str, str]) -> dict[str, str]:
    given = {key: text for key, text in properties.items() if key not in _SAME_MEANING}
    for alias, (key, factor) in _SAME_MEANING.items():
        if alias not in properties or key in given:
            continue
        text = properties[alias].strip()
        is_scaled = factor != 1 and text.isdecimal()
        given[key] = str(int(text) * factor) if is_scaled else text
    return given


def _require_names_of_their_own(key: str, endpoints: tuple[Endpoint, ...]) -> None:
    """Refuse two listeners of one name: clients are told that of theirs. Raises: ConfigError."""
    names = [endpoint.listener for endpoint in endpoints]
    if len(set(names)) < len(names):
        raise ConfigError(
            f"{key}={format_value(endpoints)}: each listener needs a name of its own, as in "
            "INSIDE://host:9092,OUTSIDE://host:9093"
        )


def _is_every_address(host: str) -> bool:
    """Say whether one can listen there, and nobody can connect there."""
    try:
        return not host or ip_address(host).is_unspecified
    except ValueError:  # a name
        return False


def _require_flushes_met(given: Mapping[str, str]) -> None:
    """Refuse flushes asked for where they are left to the system. Raises: ConfigError."""
    if given.get(FLUSH, FLUSH_COMMIT) == FLUSH_COMMIT:
        return
    for key in FLUSHES:
        if given.get(key, NEVER_FLUSHED) != NEVER_FLUSHED:
            raise ConfigError(flush_not_met(f"{key}={given[key]}", given[FLUSH]))


def why_unknown(key: str) -> str:
    """Say that there is no such setting, why, and which one may be meant."""
    if key in WITHOUT_EFFECT:
        return f"{key} would change nothing here; it is taken from a configuration file only"
    if (instead := what_instead(key)) is not None:
        return f"{key} is not a setting here: {instead}"
    return f"{key} is not a setting{hint(key, KEYS)}"
