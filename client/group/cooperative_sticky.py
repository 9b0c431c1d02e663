"""The cooperative sticky assignor: even loads in two steps, while members go on reading.

A partition that is to move is first given to nobody; its holder gives it up and joins again, and
then it goes to its new reader.
Must never know: how loads are evened out (`stickiness`).
Source: KIP-429; the layout of the user data is Java's CooperativeStickyAssignor's.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Final

from client.group.assignor import (
    NO_GENERATION,
    Assignments,
    Assignor,
    Held,
    Partitions,
    RebalanceProtocol,
    Subscriber,
)
from client.group.stickiness import Claims, balance, weigh_claims

_GENERATION: Final = struct.Struct(">i")


def assign_cooperatively(subscribers: Sequence[Subscriber], partitions: Partitions) -> Assignments:
    """Assign as before, as far as that is even, and withhold what somebody else still holds."""
    claims = weigh_claims({member.member_id: _held_by(member) for member in subscribers})
    target = balance(subscribers, partitions.counts, claims)
    return withhold(target, claims)


def withhold(target: Assignments, claims: Claims) -> Assignments:
    """Leave out every partition that another member than the one it goes to still holds."""
    return {
        member_id: [
            place
            for place in places
            if all(owner == member_id for owner in claims.owners.get(place, ()))
        ]
        for member_id, places in target.items()
    }


def encode_generation(held: Held) -> bytes:
    """Write the last generation, for leaders that know subscriptions before version 2 only."""
    return _GENERATION.pack(held.generation_id)


def decode_generation(data: bytes | None) -> int:
    """Read a member's last generation; NO_GENERATION where it says nothing readable."""
    if data is None or len(data) < _GENERATION.size:
        return NO_GENERATION
    return int(_GENERATION.unpack_from(data)[0])


def _held_by(member: Subscriber) -> Held:
    generation_id = member.generation_id
    if generation_id < 0:
        generation_id = decode_generation(member.user_data)
    return Held(member.owned, generation_id)


COOPERATIVE_STICKY = Assignor(
    "cooperative-sticky",
    frozenset({RebalanceProtocol.COOPERATIVE, RebalanceProtocol.EAGER}),
    assign_cooperatively,
    encode_generation,
)
