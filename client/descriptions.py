"""What an admin takes and gives: new topics, descriptions of the cluster, settings.

Must never know: requests, connections.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from client.metadata import Broker

DEFAULT: Final = -1
"""Leaves a number (of partitions, of replicas) to the broker's defaults."""


@dataclass(frozen=True, slots=True)
class NewTopic:
    """A topic to create; with `assignments` (replicas by partition) the numbers stay DEFAULT."""

    name: str
    partitions: int = DEFAULT
    replication_factor: int = DEFAULT
    configs: Mapping[str, str] = field(default_factory=dict)
    assignments: Mapping[int, Sequence[int]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class CreatedTopic:
    """A topic as it was created; numbers are -1 where the broker does not say."""

    name: str
    topic_id: bytes
    partitions: int
    replication_factor: int


@dataclass(frozen=True, slots=True)
class ClusterDescription:
    """The live brokers and which of them is the controller (-1: none)."""

    cluster_id: str | None
    controller_id: int
    brokers: tuple[Broker, ...]


class ResourceType(IntEnum):
    """What has settings."""

    TOPIC = 2
    BROKER = 4


@dataclass(frozen=True, slots=True)
class ConfigEntry:
    """One setting; `is_default` where nobody has set it, `value` None where it is secret."""

    name: str
    value: str | None
    is_default: bool
    read_only: bool
    sensitive: bool
