"""All that the page shows to one person, at one moment, as plain values. Pure.

Must never know: HTTP, how anything came about.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Final

from .contracts import EVENTS
from .people import PEOPLE

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .publisher import Ledger
    from .view import View

FEED_SHOWN: Final = 20
OTHERS_SHOWN: Final = 10


@dataclass(slots=True)
class Surroundings:
    """What is known of the processes around; `leaders` has the events' partitions, -1 for none."""

    nodes: list[Any] = field(default_factory=list)
    services: list[Any] = field(default_factory=list)
    leaders: Mapping[int, int] = field(default_factory=dict)
    in_sync: Mapping[int, int] = field(default_factory=dict)

    def leader_to_kill(self) -> int | None:
        """Choose the broker that leads most of the events' partitions."""
        leading = [broker for broker in self.leaders.values() if broker >= 0]
        if not leading:
            return None
        return max(sorted(set(leading)), key=leading.count)

    def brokers(self) -> list[dict[str, Any]]:
        """Give the nodes, each with the partitions of the events that it leads."""
        return [
            {
                **node,
                "leads": sorted(
                    p for p, leader in self.leaders.items() if str(leader) == node["name"]
                )
                if node["state"] == "running"
                else [],
            }
            for node in self.nodes
        ]


def take_snapshot(user: str, view: View, ledger: Ledger, around: Surroundings) -> dict[str, Any]:
    """Give what the page shows to `user`."""
    return {
        "user": user,
        "people": PEOPLE,
        "topic": EVENTS,
        "feed": view.feed_of(user)[:FEED_SHOWN],
        "notifications": view.notifications_of(user)[:OTHERS_SHOWN],
        "messages": view.messages_of(user)[:OTHERS_SHOWN],
        "trending": view.trending(),
        "own": ledger.recent(user),
        "proof": asdict(ledger.verdict(view.seen)),
        "brokers": around.brokers(),
        "in_sync": dict(around.in_sync),
        "victim": around.leader_to_kill(),
        "services": around.services,
    }
