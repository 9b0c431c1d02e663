"""What clients are to do to a cluster, and how much of it they have done.

Must never know: clients, how a load is carried out.
"""

from __future__ import annotations

from typing import Literal

from msgspec import Struct


class Counts(Struct):
    """How many records were handed to producers, acknowledged, given up, and read."""

    sent: int = 0
    acknowledged: int = 0
    given_up: int = 0
    read: int = 0


class Load(Struct, frozen=True):
    """What clients do to one topic, each drawing from a generator of its own made of `seed`.

    A producer hands over up to `burst_max` records at once, then pauses for one of `pauses_s`
    seconds, and sends again for `delivery_timeout_s` before it gives up. Whoever reads, and whoever
    asks, rests for `rest_s` each time. Members share partitions in `groups`; `lonely_groups` have
    none, and for each partition somebody who commits. Where there are `keys`, each record has one
    of so many, and this part of them are `tombstones`. `varied`: clients are set up in all ways
    that promise the same (setups.py). `sealed`: records tell whether all of them is whole, key,
    time and headers (naming.py).
    """

    topic: str
    partitions: int
    seed: int
    acks: Literal["all", -1, 0, 1] = "all"
    burst_max: int = 20
    pauses_s: tuple[float, ...] = (0.0, 0.001, 0.01, 0.3)
    delivery_timeout_s: float = 60.0
    rest_s: float = 0.0
    groups: tuple[str, ...] = ("readers",)
    lonely_groups: tuple[str, ...] = ()
    keys: int = 0
    tombstones: float = 0.2
    varied: bool = False
    sealed: bool = False
