"""What runs may be about: for each theme its kinds of faults, how often they come, its plan. Pure.

Must never know: how a fault is carried out, how plans are drawn.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

from simulation.compaction import COMPACTED_THEMES, COMPACTION, SWAPS
from simulation.kinds import COMPACTED_ONLY, DAMAGE, OTHERS_DIE, PLANNED, WHILE_JOINING

if TYPE_CHECKING:
    from collections.abc import Mapping

ACKS_ALL: Final = -1
ACKS_LEADER: Final = 1
DELETIONS: Final = "deletions"
STALLS: Final = "stalls"
TRIMS: Final = "trims"
MINIMA: Final = "minima"
READS: Final = "reads"
CLIENTS: Final = "clients"


class Theme(NamedTuple):
    """What a run is about: faults of these kinds alone, one in `mean_s`, and another `plan`.

    `with_damage` is what always comes with damage, and alone; None: what is drawn.
    """

    kinds: frozenset[str]
    mean_s: tuple[float, ...]
    plan: Mapping[str, Any] = {}
    settings: Mapping[str, str] = {}
    with_damage: int | None = None


THEMES: Final[Mapping[str, Theme]] = {
    "bounces": Theme(frozenset({"bounce", "isolate", "narrow-link", "slow-link"}), (0.4, 0.2)),
    COMPACTION: Theme(
        frozenset(
            {
                "blackout",
                "bounce",
                "deregister",
                "elect",
                "fail-sync",
                "jump-clock",
                "kill",
                "lose-disk",
                "pause",
                "power",
                "reassign",
                "slow-disk",
                "stop",
                "strand",
            }
        ),
        (3.0, 1.0, 0.4),
    ),
    SWAPS: Theme(
        COMPACTED_ONLY | {"kill"},
        (1.5, 0.7),
        settings={"min.insync.replicas": "1"},
    ),
    "cuts": Theme(
        frozenset({"depose", "elect"}),
        (3.0, 1.5),
    ),
    "disks": Theme(
        DAMAGE | {"kill", "power", "rot", "strand"},
        (3.0, 1.5),
        settings={"min.insync.replicas": "2"},
    ),
    "joins": Theme(
        DAMAGE | {"join-alone", "strand"},
        (3.0, 1.5),
        settings={"min.insync.replicas": "2"},
        with_damage=WHILE_JOINING | OTHERS_DIE,
    ),
    "moves": Theme(
        frozenset({"reassign", "elect", "kill", "lose-disk", "slow-disk", "strand"}),
        (1.0, 0.4),
        {"brokers": 5},
        {"min.insync.replicas": "2"},
    ),
    "owners": Theme(
        frozenset(
            {
                "cut-store",
                "deregister",
                "expire-session",
                "mute",
                "pause",
                "pause-session",
                "reset",
                "usurp",
                "vanish",
            }
        ),
        (1.0, 0.4),
        {"groups": 3, "members": 4, "lonely": 2, "store_latency_s": 0.1},
    ),
    "usurpers": Theme(
        frozenset({"usurp", "slow-disk"}),
        (3.0, 1.5),
        {"groups": 3, "members": 4, "lonely": 2, "store_latency_s": 0.1, "passing": True},
    ),
    "controllers": Theme(
        frozenset(
            {"deregister", "isolate", "pause", "pause-session", "separate", "slow-disk", "vanish"}
        ),
        (1.0, 0.4),
    ),
    "followers": Theme(
        frozenset({"kill", "power-two", "blackout", "strand", "isolate-kill", "isolate-power"}),
        (1.0, 0.4),
    ),
    "handovers": Theme(frozenset(PLANNED), (1.0, 0.4), {"acks": ACKS_LEADER}),
    "syncs": Theme(frozenset({"fail-sync", "drop-pages", "slow-disk"}), (3.0, 1.5)),
    "resends": Theme(
        frozenset({"reset", "mute", "bounce"}),
        (0.4, 0.2),
        {"producers": 3, "latency_s": 0.1},
    ),
    "leaders": Theme(
        frozenset({"deregister", "pause", "reset"}),
        (1.0, 0.4),
        {"groups": 2, "members": 4},
    ),
    DELETIONS: Theme(
        frozenset({"deregister", "expire-session", "pause-session"}),
        (1.0, 0.4),
        {
            "latency_s": 0.001,
            "store_latency_s": 0.1,
            "passing": True,
            "meets_registrations": True,
        },
    ),
    STALLS: Theme(
        frozenset({"deregister", "elect", "kill", "pause", "reassign", "stop"}),
        (1.0, 0.4),
        {"producers": 3, "tick_s": 0.05},
    ),
    TRIMS: Theme(
        frozenset({"blackout", "depose", "elect", "kill", "lose-disk", "power", "reassign"}),
        (1.5, 0.7),
        {"trims": True, "sync_s": 0.1},
    ),
    MINIMA: Theme(
        frozenset({"bounce", "deregister", "elect", "isolate", "kill", "power", "reassign"}),
        (1.0, 0.4),
        {"tunes": True},
    ),
    READS: Theme(
        frozenset({"elect", "fail-read", "kill", "reassign", "slow-disk"}),
        (1.0, 0.4),
    ),
    CLIENTS: Theme(
        frozenset(
            {"crash-client", "elect", "isolate-client", "kill", "pause-client", "reset", "stop"}
        ),
        (1.0, 0.4),
        {"groups": 2, "members": 4, "varied": True},
    ),
    "members": Theme(
        frozenset(
            {"crash-client", "expire-session", "isolate-client", "kill", "pause-client", "reset"}
        ),
        (1.0, 0.4),
        {"groups": 2, "members": 4},
    ),
}
"""Each subject: where everything breaks at once, what needs a calm moment hardly ever comes up."""

SELDOM: Final = (DELETIONS, STALLS, TRIMS, MINIMA, READS, CLIENTS)
"""Themes that came later, with a draw of their own: other plans stay what they were."""

OFTEN_DRAWN: Final = sorted(THEMES.keys() - {*COMPACTED_THEMES, *SELDOM})
"""The other ones."""
