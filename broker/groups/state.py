"""The states of a group, and which follows which: a table; what is not in it is illegal.

Must never know: members, time, who waits.
Source: Kafka's classic group protocol (KIP-62, KIP-394 and the protocol guide).
"""

from __future__ import annotations

from enum import Enum
from typing import Final


class State(Enum):
    """Where a group stands; the values are the words of Kafka's tools."""

    EMPTY = "Empty"
    PREPARING = "PreparingRebalance"
    COMPLETING = "CompletingRebalance"
    STABLE = "Stable"
    DEAD = "Dead"


class Trigger(Enum):
    """What moves a group from one state to another."""

    MEMBERS_CHANGED = "a member came, went, or wants something else"
    ALL_JOINED = "all members are back, or the others are out of time"
    ALL_GONE = "no member is left"
    ASSIGNED = "the leader's assignment is stored"
    DELETED = "the group is deleted"


NEXT: Final = {
    (State.EMPTY, Trigger.MEMBERS_CHANGED): State.PREPARING,
    (State.EMPTY, Trigger.DELETED): State.DEAD,
    (State.PREPARING, Trigger.ALL_JOINED): State.COMPLETING,
    (State.PREPARING, Trigger.ALL_GONE): State.EMPTY,
    (State.COMPLETING, Trigger.ASSIGNED): State.STABLE,
    (State.COMPLETING, Trigger.MEMBERS_CHANGED): State.PREPARING,
    (State.STABLE, Trigger.MEMBERS_CHANGED): State.PREPARING,
}
