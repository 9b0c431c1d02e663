"""What makes the topic of a plan a compacted one. Pure.

It is drawn from a generator of its own, so that all other plans stay what they were.
Must never know: faults, how logs are compacted.
"""

from __future__ import annotations

import random  # noqa: TID251 - seeded here, with the seed that was handed in
from typing import TYPE_CHECKING, Final

from msgspec.structs import replace

if TYPE_CHECKING:
    from simulation.plan import Plan

COMPACTION: Final = "compaction"
SWAPS: Final = "swaps"
COMPACTED_THEMES: Final = (COMPACTION, SWAPS)
"""The themes of plans that are about it."""

OFTEN: Final = 0.04
"""Part of the plans of all sorts that have one of these themes; among the others that many once
more have a compacted topic and are about something else."""

NEVER_MS: Final = 2**63 - 1


def generator(seed: int) -> random.Random:
    """Give the generator that decides on compaction alone."""
    return random.Random(f"compaction {seed}")  # noqa: S311 - to be repeatable


def compacted(plan: Plan, rng: random.Random) -> Plan:
    """Have the topic compacted, again and again, in small pieces."""
    lags_ms = rng.choice([(0, NEVER_MS), (0, 300), (300, NEVER_MS)])
    settings = {
        "cleanup.policy": "compact",
        "segment.bytes": rng.choice([512, 1024, 4096]),
        "min.cleanable.dirty.ratio": 0,
        "delete.retention.ms": rng.choice([100, 500, 2000]),
        "min.compaction.lag.ms": lags_ms[0],
        # So that the newest segment is completed even where nothing is appended any more.
        "max.compaction.lag.ms": lags_ms[1],
    }
    properties = {
        "log.cleaner.backoff.ms": rng.choice([20, 100, 500]),
        # The keys of one pass may not fit into memory.
        "log.cleaner.dedupe.buffer.size": rng.choice([1 << 20, 1 << 20, 4096]),
    }
    return replace(
        plan,
        keys=rng.choice([2, 10, 50]),
        properties={**plan.properties, **{key: str(one) for key, one in properties.items()}},
        settings={**plan.settings, **{key: str(one) for key, one in settings.items()}},
    )
