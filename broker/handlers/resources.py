"""What has settings: resources by type and name. Must never know: the settings."""

from __future__ import annotations

from enum import IntEnum

from msgspec import Struct


class ResourceType(IntEnum):
    """Source: Kafka's ConfigResource types."""

    TOPIC = 2
    BROKER = 4
    BROKER_LOGGER = 8
    CLIENT_METRICS = 16
    GROUP = 32


WITHOUT_SETTINGS = {
    ResourceType.BROKER_LOGGER: "a broker logs at one fixed level",
    ResourceType.CLIENT_METRICS: "clients are not asked for metrics here",
    ResourceType.GROUP: "groups have no settings of their own here; members bring theirs",
}
"""Resources of Kafka's that have nothing to alter here, and why."""


def why_without_settings(resource_type: int) -> str:
    """Say why a resource is none that can be asked about or altered."""
    kinds = "topics (2) and brokers (4) have settings"
    reasons = (text for kind, text in WITHOUT_SETTINGS.items() if kind == resource_type)
    return f"resource type {resource_type}: {next(reasons, kinds)}"


class Resource(Struct, frozen=True):
    """A resource; `type` is as the client sent it, known or not."""

    type: int
    name: str
