"""The table of assignors, by the names that all of Kafka's clients know them by.

Must never know: what any of them does.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from client.group.assignor import Assignor, RebalanceProtocol
from client.group.cooperative_sticky import COOPERATIVE_STICKY
from client.group.range_assignor import RANGE
from client.group.round_robin import ROUND_ROBIN
from client.group.sticky import STICKY

ASSIGNORS: Final[Mapping[str, Assignor]] = {
    assignor.name: assignor for assignor in (RANGE, ROUND_ROBIN, STICKY, COOPERATIVE_STICKY)
}


def assignors_named(names: Sequence[str]) -> tuple[Assignor, ...]:
    """Look assignors up, in order of preference. Raises: ValueError naming an unknown one."""
    if not names:
        raise ValueError(f"assignors is empty: give at least one of {', '.join(ASSIGNORS)}")
    for name in names:
        if name not in ASSIGNORS:
            raise ValueError(f"there is no assignor {name!r}: give some of {', '.join(ASSIGNORS)}")
    return tuple(ASSIGNORS[name] for name in dict.fromkeys(names))


def common_protocol(assignors: Sequence[Assignor]) -> RebalanceProtocol:
    """Return the most advanced protocol that all of them know, as Java does.

    The group may choose any of the assignors, so one that is eager makes the member eager: a group
    is moved from "range" to "cooperative-sticky" by two rolling restarts, the first with both.
    Source: KIP-429.
    """
    return max(frozenset.intersection(*(assignor.protocols for assignor in assignors)))
