"""What changes hands when a member goes from one generation to the next.

Must never know: requests, callbacks, positions.
Source: KIP-429.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING

from msgspec import Struct

from client.group.assignor import RebalanceProtocol
from client.records import TopicPartition

if TYPE_CHECKING:
    from client.group.topics import Subscription


class Change(Struct, frozen=True):
    """What a member gives up, and what it reads from then on as well. Both sorted."""

    revoked: tuple[TopicPartition, ...]
    assigned: tuple[TopicPartition, ...]


def to_give_up(
    owned: Collection[TopicPartition], *, protocol: RebalanceProtocol, subscription: Subscription
) -> tuple[TopicPartition, ...]:
    """List what has to be given up before the next generation is joined.

    That is everything under the eager protocol; under the cooperative one what is no longer wanted.
    """
    return tuple(
        sorted(
            place
            for place in owned
            if protocol is RebalanceProtocol.EAGER or not subscription.wants(place.topic)
        )
    )


def change_to(target: Collection[TopicPartition], owned: Collection[TopicPartition]) -> Change:
    """Compare what the group assigned with what is owned."""
    wanted, held = set(target), set(owned)
    return Change(tuple(sorted(held - wanted)), tuple(sorted(wanted - held)))
