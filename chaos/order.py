"""What a run on a real cluster shall be: how long, what is broken, and what clients there are.

Must never know: how a run is made.
"""

from __future__ import annotations

import random  # noqa: TID251 - seeded here, with the seed that was handed in
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from chaos.load import Load

if TYPE_CHECKING:
    from collections.abc import Collection

VARIED: Final = 0.5
TRIMMED: Final = 0.25
TUNED: Final = 0.25
"""Part of all runs with clients of all sorts, with records deleted, with settings changed."""

RECORDS_MAX: Final = 1_000_000
"""A history is held in memory, about 0.8 KB for each record."""

RATE_MAX: Final = 1_000.0
BURST_MAX: Final = 20
REST_S: Final = 0.05
DELIVERY_TIMEOUT_S: Final = 300.0
"""How long producers send again: for longer than any time in which nobody can be answered."""


class Order(Struct, frozen=True):
    """What a run shall be. `rate` is how many records are sent in a second, at most.

    `varied`: clients are set up in many ways. `trims`: somebody has the oldest records deleted.
    `tunes`: so is `min.insync.replicas` changed, where the cluster is our own.
    """

    seed: int
    duration_s: float
    kinds: Collection[str] = ()
    partitions: int = 4
    producers: int = 2
    readers: int = 1
    members: int = 2
    varied: bool = False
    trims: bool = False
    tunes: bool = False

    @classmethod
    def draw(cls, seed: int, duration_s: float, *, kinds: Collection[str] = ()) -> Order:
        """Draw from the seed what clients there are."""
        rng = random.Random(f"{seed} clients")  # noqa: S311 - to be repeatable
        varied, trims, tunes = (rng.random() < share for share in (VARIED, TRIMMED, TUNED))
        return cls(seed, duration_s, kinds, varied=varied, trims=trims, tunes=tunes)

    def __str__(self) -> str:
        return (
            f"seed {self.seed}, {self.duration_s:g} s"
            + (", clients of all sorts" if self.varied else "")
            + (", old records are deleted" if self.trims else "")
            + (", min.insync.replicas changes" if self.tunes else "")
        )

    @property
    def rate(self) -> float:
        """Give how many records are sent in a second, so that the history fits into memory."""
        return min(RATE_MAX, RECORDS_MAX / self.duration_s)

    @property
    def topic(self) -> str:
        """Name the topic, and the group that shares it."""
        return f"chaos-{self.seed}"

    def load(self) -> Load:
        """Say what the clients do."""
        pause_s = (BURST_MAX + 1) / 2 / (self.rate / self.producers)
        return Load(
            self.topic,
            self.partitions,
            self.seed,
            burst_max=BURST_MAX,
            pauses_s=(0.0, 0.5 * pause_s, pause_s, 2.5 * pause_s),
            delivery_timeout_s=DELIVERY_TIMEOUT_S,
            rest_s=REST_S,
            groups=(self.topic,),
            varied=self.varied,
            sealed=True,
        )
