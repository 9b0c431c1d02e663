"""Which topics a member wants and what is known of them: when does another generation need to join?

A topic that seems gone is believed gone only after a while: one stale broker must not make a group
rebalance.
Must never know: how metadata are fetched, time (it is told).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from client.errors import refusal
from protocol.errors import RETRIABLE_CODES, ErrorCode, RequestError
from protocol.topic_names import NAME_RULE, is_topic_name

if TYPE_CHECKING:
    from client.metadata import Metadata

GONE_AFTER_S: Final = 2.0
"""How long a topic must be unknown before it is believed gone."""


class Subscription(Struct, frozen=True):
    """The topics that a consumer wants: by name, or all whose whole name matches a pattern.

    A pattern leaves out the cluster's internal topics.
    """

    names: frozenset[str] = frozenset()
    pattern: re.Pattern[str] | None = None

    @staticmethod
    def to(topics: Iterable[str] | re.Pattern[str]) -> Subscription:
        """Make a subscription of what an application gives. Raises: ValueError, TypeError."""
        if isinstance(topics, re.Pattern):
            if not isinstance(topics.pattern, str):
                raise TypeError("a pattern of bytes matches no topic: compile a str")
            return Subscription(pattern=topics)
        if isinstance(topics, str):
            raise TypeError(f"subscribe to a list of topics: [{topics!r}]")
        names = frozenset(topics)
        if not names:
            raise ValueError("no topic to subscribe to: name some, or unsubscribe")
        if wrong := sorted(name for name in names if not is_topic_name(name)):
            raise ValueError(
                f"no topic is named {wrong[0]!r}: {NAME_RULE};"
                " or subscribe to a pattern, re.compile(...)"
            )
        return Subscription(names)

    def wants(self, topic: str) -> bool:
        """Say whether a topic is subscribed."""
        if self.pattern is not None:
            return self.pattern.fullmatch(topic) is not None
        return topic in self.names


class GroupTopics:
    """What is known of the topics of a subscription and, for a leader, of the whole group.

    `counts` holds the number of partitions of each topic that exists.
    """

    def __init__(self, subscription: Subscription) -> None:
        self.subscription = subscription
        self.counts: dict[str, int] = {}
        self._internal: set[str] = set()
        self._of_group: frozenset[str] = frozenset()
        self._missing_since: dict[str, float] = {}
        self._joined_with: tuple[str, ...] | None = None
        self._assigned: Mapping[str, int] | None = None

    @property
    def followed(self) -> frozenset[str] | None:
        """Return the topics whose metadata are needed, None for all."""
        if self.subscription.pattern is not None:
            return None
        return self.subscription.names | self._of_group

    @property
    def has_missing(self) -> bool:
        """Say whether a named topic does not exist, or may not exist any more."""
        return bool(self._missing_since) or any(
            name not in self.counts for name in self.subscription.names | self._of_group
        )

    def subscribed(self) -> tuple[str, ...]:
        """List the subscribed topics, sorted: the names, or what the pattern matches now."""
        if self.subscription.pattern is None:
            return tuple(sorted(self.subscription.names))
        return tuple(
            sorted(
                topic
                for topic in self.counts
                if topic not in self._internal and self.subscription.wants(topic)
            )
        )

    def update(self, metadata: Metadata, now: float) -> None:
        """Take in newer metadata."""
        for name, topic in metadata.topics.items():
            self.counts[name] = len(topic.partitions)
            self._missing_since.pop(name, None)
            if topic.is_internal:
                self._internal.add(name)
        for name in sorted(self.counts.keys() | self.subscription.names):
            if metadata.topic_errors.get(name) is ErrorCode.UNKNOWN_TOPIC_OR_PARTITION:
                since = self._missing_since.setdefault(name, now)
                if now - since >= GONE_AFTER_S:
                    self.counts.pop(name, None)
                    if name not in self.subscription.names:
                        del self._missing_since[name]

    def missing(self, now: float) -> frozenset[str]:
        """Return the topics subscribed by name that are believed not to exist."""
        return frozenset(
            name
            for name, since in self._missing_since.items()
            if name in self.subscription.names and now - since >= GONE_AFTER_S
        )

    def fault_in(self, metadata: Metadata) -> RequestError | None:
        """Return why a subscribed topic is refused for good, None where none is."""
        for name in sorted(self.subscription.names):
            code = metadata.topic_errors.get(name, ErrorCode.NONE)
            if code is not ErrorCode.NONE and code not in RETRIABLE_CODES:
                return refusal(code, f"topic {name!r} cannot be subscribed to")
        return None

    def note_joined(self) -> tuple[str, ...]:
        """Note that the group is told what is subscribed now; return that."""
        self._joined_with = self.subscribed()
        self._assigned = None
        self._of_group = frozenset()
        return self._joined_with

    def lead(self, topics: Iterable[str]) -> None:
        """Follow all topics of the group from now on."""
        self._of_group = frozenset(topics)

    def note_assigned(self) -> dict[str, int]:
        """Note that the group's partitions are divided as they are now; return their counts."""
        self._assigned = self._counts_of_group()
        return dict(self._assigned)

    def note_assigned_before(self, counts: Mapping[str, int]) -> None:
        """Note how many partitions of each topic the group's members have since before we came."""
        self._assigned = counts

    def reason_to_rejoin(self) -> str | None:
        """Say what has changed since the group was told or its partitions were divided."""
        if self._joined_with is not None and self._joined_with != self.subscribed():
            return "the topics that match the subscription have changed"
        if self._assigned is not None and self._assigned != self._counts_of_group():
            return "the partitions of the group's topics have changed"
        return None

    def _counts_of_group(self) -> dict[str, int]:
        return {topic: self.counts[topic] for topic in self._of_group if topic in self.counts}
