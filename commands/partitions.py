"""Which partitions a command is about, where topics were named with or without some of theirs.

Must never know: what is done with them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from client.errors import UnknownTopic
from client.records import TopicPartition

if TYPE_CHECKING:
    from collections.abc import Iterable

    from client.admin import Admin


async def choose_partitions(
    admin: Admin, topics: Iterable[tuple[str, tuple[int, ...]]]
) -> tuple[TopicPartition, ...]:
    """Give the named partitions of topics, or all of a topic where none are named, in order.

    Raises: UnknownTopic, RequestError, NoBrokerReachable.
    """
    asked = list(topics)
    described = await admin.describe_topics(dict.fromkeys(topic for topic, _ in asked))
    chosen: set[TopicPartition] = set()
    for topic, numbers in asked:
        known = described[topic].partitions
        for number in numbers or known:
            if number not in known:
                raise UnknownTopic(topic, number)
            chosen.add(TopicPartition(topic, number))
    return tuple(sorted(chosen))
