"""Where things are in the coordination store: the paths of znodes.

Must never know: what the znodes hold, the store.
"""

from __future__ import annotations

from typing import Final
from urllib.parse import quote, unquote

ROOT: Final = "/ottla"
CLUSTER: Final = "/ottla/cluster"
"""The cluster's identity; created last, so it says that all the others are there."""
CONFIG: Final = "/ottla/config"
CONTROLLER: Final = "/ottla/controller"
"""Ephemeral: who decides now."""
CONTROLLER_EPOCH: Final = "/ottla/controller_epoch"
"""Set by whoever takes office; its version fences every write of a controller."""
BROKERS: Final = "/ottla/brokers"
BROKER_IDS: Final = "/ottla/brokers/ids"
BROKER_EPOCHS: Final = "/ottla/brokers/epochs"
ACKNOWLEDGED: Final = "/ottla/brokers/acknowledged"
TOPICS: Final = "/ottla/topics"
DELETED: Final = "/ottla/deleted"
PRODUCER_IDS: Final = "/ottla/producer_ids"
GROUPS: Final = "/ottla/groups"
REGISTRIES: Final = "/ottla/registries"

_DOTS: Final = {".": "%2E", "..": "%2E%2E"}
"""Group ids that quoting leaves as they are and that a znode cannot have."""


def registration(broker_id: int) -> str:
    """Name the ephemeral registration of a broker."""
    return f"{BROKER_IDS}/{broker_id}"


def broker_epoch(broker_id: int) -> str:
    """Name the persistent znode whose version counts a broker's registrations."""
    return f"{BROKER_EPOCHS}/{broker_id}"


def topic(name: str) -> str:
    """Name the znode of a topic."""
    return f"{TOPICS}/{name}"


def deleted(topic_id: bytes) -> str:
    """Name the tombstone of a deleted topic."""
    return f"{DELETED}/{topic_id.hex()}"


def group(group_id: str) -> str:
    """Name the znode above a group's incarnation; the id may hold any character."""
    return f"{GROUPS}/{_quoted(group_id)}"


def registries(topic: str) -> str:
    """Name the znode above what the schema registries of a topic share."""
    return f"{REGISTRIES}/{_quoted(topic)}"


def _quoted(name: str) -> str:
    quoted = quote(name, safe="")
    return _DOTS.get(quoted, quoted)


def group_header(group_id: str, incarnation: str) -> str:
    """Name the header of a group: of one that was not deleted since it was made."""
    return f"{group(group_id)}/{incarnation}"


def group_id(path: str) -> str:
    """Give the id of the group whose znode this is, or has this name."""
    return unquote(name(path))


def group_offsets(header: str, topic_name: str) -> str:
    """Name the znode of a group's offsets in one topic, below the group's header."""
    return f"{header}/{topic_name}"


def parent(path: str) -> str:
    """Give the path of the znode above."""
    return path.rpartition("/")[0]


def name(path: str) -> str:
    """Give the last part of a path."""
    return path.rpartition("/")[2]
