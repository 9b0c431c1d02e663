"""The sticky assignor: even loads, and as few moves as they allow, under the eager protocol.

Members give up everything before they join, so each tells in its user data what it was given last.
Must never know: how loads are evened out (`stickiness`).
Source: KIP-54, KIP-341; the layout of the user data is Java's StickyAssignor's.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from client.group.assignor import (
    Assignments,
    Assignor,
    Held,
    Partitions,
    RebalanceProtocol,
    Subscriber,
    by_topic,
    places_of,
)
from client.group.stickiness import balance, weigh_claims
from protocol.codec import decode, encode_bytes
from protocol.consumer_protocol import TopicPartitions
from protocol.errors import ProtocolError
from protocol.message import Int32, embedded, wire

_WITH_GENERATION: Final = 1
_WITHOUT_GENERATION: Final = 0


@embedded(versions=(_WITHOUT_GENERATION, _WITH_GENERATION))
class StickyUserData:
    """What a member was given last. Nothing says which of the two versions it is."""

    previous_assignment: list[TopicPartitions] = wire()
    generation: Int32 = wire(since=_WITH_GENERATION, default=-1, ignorable=True)


def assign_sticky(subscribers: Sequence[Subscriber], partitions: Partitions) -> Assignments:
    """Assign as before, as far as that is even."""
    held = {member.member_id: _held_by(member) for member in subscribers}
    return balance(subscribers, partitions.counts, weigh_claims(held))


def encode_user_data(held: Held) -> bytes | None:
    """Write what was given last; None in the first generation, as Java does."""
    if not held.partitions and held.generation_id < 0:
        return None
    data = StickyUserData(by_topic(held.partitions), held.generation_id)
    return encode_bytes(data, _WITH_GENERATION)


def decode_user_data(data: bytes | None) -> Held:
    """Read what a member was given last; what cannot be read says nothing, as in Java.

    Members of one group may run different clients, and their user data are only a hint.
    """
    for version in (_WITH_GENERATION, _WITHOUT_GENERATION):
        try:
            told = decode(StickyUserData, version, data or b"")
        except ProtocolError:
            continue
        return Held(places_of(told.previous_assignment), told.generation)
    return Held()


def _held_by(member: Subscriber) -> Held:
    return decode_user_data(member.user_data)


STICKY = Assignor("sticky", frozenset({RebalanceProtocol.EAGER}), assign_sticky, encode_user_data)
