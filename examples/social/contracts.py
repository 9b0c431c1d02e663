"""Topics, and the schemas of what is in them.

Must never know: brokers, the registry, services.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib.resources import files
from typing import Any, Final, Literal

EVENTS: Final = "events"
FEED: Final = "feed"
NOTIFICATIONS: Final = "notifications"
MESSAGES: Final = "messages"
TRENDING: Final = "trending"
RECEIPTS: Final = "receipts"
RESULTS: Final = (FEED, NOTIFICATIONS, MESSAGES, TRENDING, RECEIPTS)
"""What the services say, which is all that the page knows of them."""

EVENT_PARTITIONS: Final = 3


def schema_text(name: str) -> str:
    """Read a schema of `schemas/`, named without its ending."""
    return files(__package__).joinpath("schemas", f"{name}.avsc").read_text(encoding="utf-8")


def event_schema(version: Literal[1, 2, 3]) -> str:
    """Read a version of the events' schema; nobody who could read 1 or 2 can live with 3."""
    return schema_text(f"event-v{version}" + ("-incompatible" if version == 3 else ""))


@dataclass(frozen=True, slots=True)
class Event:
    """Something that a person did; `timestamp` in milliseconds since 1970.

    A post's `post_id` is its own event's id; a message has none, but a person whom it is `to`.
    """

    event_id: str
    user_id: str
    post_id: str
    timestamp: int
    action_type: Literal["post", "like", "message"]
    text: str = ""
    to: str = ""
    hashtags: tuple[str, ...] = ()

    @classmethod
    def of(cls, fields: dict[str, Any]) -> Event:
        """Take an event as it was read, by whatever version of the schema."""
        known = {name: fields[name] for name in cls.__slots__ if name in fields}
        return cls(**{**known, "hashtags": tuple(known.get("hashtags", ()))})


@dataclass(frozen=True, slots=True)
class Result:
    """What a service says: a record for a topic. Said again, it is the same or a newer one."""

    topic: str
    key: str
    value: dict[str, Any]
