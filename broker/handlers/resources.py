"""What has settings: resources by type and name. Must never know: the settings."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum


class ResourceType(IntEnum):
    """Source: Kafka's ConfigResource types."""

    TOPIC = 2
    BROKER = 4


@dataclass(frozen=True, slots=True)
class Resource:
    """A resource; `type` is as the client sent it, known or not."""

    type: int
    name: str
