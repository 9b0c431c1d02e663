"""What an admin takes and gives: new topics, descriptions of the cluster and its disks, settings.

Must never know: requests, connections.
"""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING, Final

from msgspec import Struct, field

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from client.metadata import Broker
    from client.records import TopicPartition
    from protocol.errors import RequestError

DEFAULT: Final = -1
"""Leaves a number (of partitions, of replicas) to the broker's defaults."""


class NewTopic(Struct, frozen=True):
    """A topic to create; with `assignments` (replicas by partition) the numbers stay DEFAULT."""

    name: str
    partitions: int = DEFAULT
    replication_factor: int = DEFAULT
    configs: Mapping[str, str] = field(default_factory=dict)
    assignments: Mapping[int, Sequence[int]] = field(default_factory=dict)


class CreatedTopic(Struct, frozen=True):
    """A topic as it was created; numbers are -1 where the broker does not say."""

    name: str
    topic_id: bytes
    partitions: int
    replication_factor: int


class ClusterDescription(Struct, frozen=True):
    """The live brokers and which of them is the controller (-1: none)."""

    cluster_id: str | None
    controller_id: int
    brokers: tuple[Broker, ...]


class ResourceType(IntEnum):
    """What has settings."""

    TOPIC = 2
    BROKER = 4


ALL_BROKERS: Final = ""
"""Names the settings that all brokers share, where one broker is named by its id."""


class ConfigSource(IntEnum):
    """Where a setting's value comes from; what is set closer hides what is set further away.

    Source: KIP-226.
    """

    UNKNOWN = 0
    TOPIC = 1
    BROKER = 2
    ALL_BROKERS = 3
    STATIC = 4
    DEFAULT = 5

    @classmethod
    def _missing_(cls, value: object) -> ConfigSource:
        """Take in what a newer broker says."""
        del value
        return cls.UNKNOWN


_DYNAMIC: Final = (ConfigSource.TOPIC, ConfigSource.BROKER, ConfigSource.ALL_BROKERS)


class ConfigEntry(Struct, frozen=True):
    """One setting; `value` is None where it is secret."""

    name: str
    value: str | None
    source: ConfigSource
    read_only: bool = False
    sensitive: bool = False

    @property
    def is_default(self) -> bool:
        """Say whether nobody has set it."""
        return self.source is ConfigSource.DEFAULT

    @property
    def is_dynamic(self) -> bool:
        """Say whether it was set in the running cluster, and can be unset there."""
        return self.source in _DYNAMIC


class Reassignment(Struct, frozen=True):
    """A partition on its way to other brokers: all its replicas, those that come and that go."""

    replicas: tuple[int, ...]
    adding: tuple[int, ...]
    removing: tuple[int, ...]


class ReplicaSize(Struct, frozen=True):
    """One replica on a disk; `offset_lag` is how far it is behind the high watermark."""

    size_bytes: int
    offset_lag: int


class LogDir(Struct, frozen=True):
    """One data directory of a broker; bytes are of its volume, -1 where the broker is too old.

    `error` says why the directory cannot be used, if so.
    """

    path: str
    replicas: Mapping[TopicPartition, ReplicaSize]
    total_bytes: int = -1
    usable_bytes: int = -1
    error: RequestError | None = None

    @property
    def size_bytes(self) -> int:
        """Return how much all its replicas take."""
        return sum(replica.size_bytes for replica in self.replicas.values())
