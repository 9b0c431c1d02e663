"""An operator who changes how many replicas must be in sync, again and again.

Must never know: faults, what is judged, whether the cluster is real.
"""

from __future__ import annotations

import random  # noqa: TID251 - seeded here, with the seed that was handed in
from typing import TYPE_CHECKING, Final

import trio

from client import ResourceType

if TYPE_CHECKING:
    from chaos.workload import Workload
    from client import Admin

PAUSES_S: Final = (0.05, 3.0)
"""Between two changes, at least and at most."""

MINIMA: Final = ("1", "2", "2", "3")
"""What `min.insync.replicas` becomes: what is usual more often."""


class Tuning:
    """The operator; `seed` decides what becomes of the topic of `work`, and when."""

    def __init__(self, work: Workload, *, seed: int) -> None:
        self._work = work
        self._rng = random.Random(f"{seed} tuning")  # noqa: S311 - to be repeatable

    async def run(self, name: str) -> None:
        """Change it for ever; begin anew after an error."""
        await self._work.ask_for_ever(name, self._tune)

    async def _tune(self, name: str, admin: Admin) -> None:
        del name  # it leaves no word in the history: no promise depends on it
        await trio.sleep(self._rng.uniform(*PAUSES_S))
        changes = {"min.insync.replicas": self._rng.choice(MINIMA)}
        await admin.alter_configs(ResourceType.TOPIC, self._work.topic, changes)
