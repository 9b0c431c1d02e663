"""The kinds of faults, and how it is drawn whom each meets and for how long. Pure.

A fault names when it comes, whom it meets and how long it lasts, so that a plan can be printed, and
run again without some of its faults.
Must never know: how a fault is carried out, plans.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple, TypeAlias

if TYPE_CHECKING:
    import random  # noqa: TID251 - the type of what is handed in
    from collections.abc import Callable, Mapping

OTHERS_DIE: Final = 1
NO_COORDINATOR: Final = 2
KILLED_AGAIN: Final = 4
WHILE_JOINING: Final = 8
EXPIRED: Final = 16
WITH_DAMAGE: Final = {
    OTHERS_DIE: 0.8,
    NO_COORDINATOR: 0.3,
    KILLED_AGAIN: 0.4,
    WHILE_JOINING: 0.3,
    EXPIRED: 0.4,
}
"""How often what comes with damage to a disk: the others die as well; no coordinator at first; a
second death, soon after the start; all of it while the broker is about to join an ISR; and a
session that ends soon after the start."""

ALONE_FOR_LONG: Final = 0.7
"""How often who is alone stays so until the sessions of the others are over, and is elected."""


class Fault(NamedTuple):
    """Something that is broken for a while, and mended after `lasts_s`."""

    at_s: float
    kind: str
    broker: int = 0
    other: int = 0
    lasts_s: float = 0.0
    amount: float = 0.0

    def __str__(self) -> str:
        said = [f"{self.at_s:7.3f} s  {self.kind}"]
        if self.broker:
            said.append(f"broker {self.broker}" + (f" and {self.other}" if self.other else ""))
        elif self.other:
            said.append(f"number {self.other}")
        if self.amount:
            said.append(f"({self.amount:g})")
        if self.lasts_s:
            said.append(f"for {self.lasts_s:.3f} s")
        return " ".join(said)


Draw: TypeAlias = "Callable[[random.Random, int], Fault]"
"""Draws whom a fault meets among so many brokers, and for how long; when and what come later."""


def _one(lasts: tuple[float, ...]) -> Draw:
    def draw(rng: random.Random, brokers: int) -> Fault:
        return Fault(0.0, "", broker=rng.randint(1, brokers), lasts_s=_some(rng, lasts))

    return draw


def _pair(lasts: tuple[float, ...]) -> Draw:
    def draw(rng: random.Random, brokers: int) -> Fault:
        one, other = rng.sample(range(1, brokers + 1), 2)
        return Fault(0.0, "", broker=one, other=other, lasts_s=_some(rng, lasts))

    return draw


def _some(rng: random.Random, lasts: tuple[float, ...]) -> float:
    return round(rng.choice(lasts) * rng.random(), 3)


def _slow_disk(rng: random.Random, brokers: int) -> Fault:
    return _one((1.0, 5.0))(rng, brokers)._replace(amount=rng.choice([0.0005, 0.05, 0.5]))


def _damage(rng: random.Random, brokers: int) -> Fault:
    """Number what comes with it: a sum of some of `WITH_DAMAGE`."""
    amount = sum(flag for flag, often in WITH_DAMAGE.items() if rng.random() < often)
    fault = _one((3.0, 10.0))(rng, brokers)._replace(amount=amount)
    if amount & OTHERS_DIE and rng.random() < ALONE_FOR_LONG:
        return fault._replace(lasts_s=round(rng.uniform(7.0, 14.0), 3))
    return fault


def _roll_back(rng: random.Random, brokers: int) -> Fault:
    """Number one of the files, too."""
    return _damage(rng, brokers)._replace(other=rng.randint(0, 63))


def _fail_sync(rng: random.Random, brokers: int) -> Fault:
    return _one((0.0,))(rng, brokers)._replace(amount=rng.choice([0, 0, 0.1, 1.0]))


def _alone(rng: random.Random, brokers: int) -> Fault:
    """Leave one alone until the sessions of the others are over, and it is elected."""
    lasts_s = round(rng.uniform(7.0, 14.0), 3)
    return Fault(0.0, "", broker=rng.randint(1, brokers), lasts_s=lasts_s)


def _depose(rng: random.Random, brokers: int) -> Fault:
    return _alone(rng, brokers)._replace(amount=rng.choice([1.0, 2.0, 4.0]))


def _usurp(rng: random.Random, brokers: int) -> Fault:
    """Leave the other one time to take over, less than a session lasts; 1: it dies in the end.

    That is read off the time: one more draw would have every seed draw other plans.
    """
    fault = _pair((1.5,))(rng, brokers)
    return fault._replace(lasts_s=4.0 + fault.lasts_s, amount=round(fault.lasts_s * 1000) % 2)


def _cut_swap(rng: random.Random, brokers: int) -> Fault:
    return _one(LONG)(rng, brokers)._replace(amount=rng.choice([0.005, 0.02, 0.05]))


def _strand(rng: random.Random, brokers: int) -> Fault:
    return _one((0.3, 1.0))(rng, brokers)._replace(amount=rng.choice([1, 2, 3]))


def _client(rng: random.Random, brokers: int) -> Fault:  # noqa: ARG001
    return Fault(0.0, "", other=rng.randint(0, 7), lasts_s=_some(rng, LONG))


def _everywhere(rng: random.Random, brokers: int) -> Fault:  # noqa: ARG001
    return Fault(0.0, "", lasts_s=round(rng.random(), 3))


def _reassign(rng: random.Random, brokers: int) -> Fault:
    """Number a set of replicas: bit b stands for broker b."""
    chosen = rng.sample(range(1, brokers + 1), rng.randint(2, 3))
    return Fault(0.0, "", other=rng.randint(0, 7), amount=sum(1 << broker for broker in chosen))


def _jump(rng: random.Random, brokers: int) -> Fault:
    jump_s = rng.choice([-3600.0, -2.0, 2.0, 3600.0])
    return Fault(0.0, "", broker=rng.randint(1, brokers), amount=jump_s)


LONG: Final = (0.5, 3.0, 9.0)

KINDS: Final[Mapping[str, tuple[int, Draw]]] = {
    "kill": (4, _one(LONG)),
    "bounce": (2, _one((0.05,))),
    "power": (3, _one(LONG)),
    "blackout": (1, _everywhere),
    "stop": (2, _one(LONG)),
    "lose-disk": (2, _damage),
    "damage-tail": (2, _damage),
    "cut-store": (2, _one(LONG)),
    "pause-session": (2, _one(LONG)),
    "expire-session": (2, _one((0.0,))),
    "deregister": (2, _one(LONG)),
    "usurp": (1, _usurp),
    "depose": (1, _depose),
    "separate": (3, _pair(LONG)),
    "slow-disk": (2, _slow_disk),
    "fail-sync": (1, _fail_sync),
    "fail-read": (1, _one((0.0,))),
    "drop-pages": (1, _alone),
    "join-alone": (1, _alone),
    "fill-disk": (1, _one(LONG)),
    "elect": (1, _one((0.0,))),
    "reassign": (1, _reassign),
    "reset": (2, _one((0.0,))),
    "isolate": (3, _one(LONG)),
    "isolate-kill": (3, _one(LONG)),
    "isolate-power": (2, _one(LONG)),
    "power-two": (2, _pair(LONG)),
    "strand": (2, _strand),
    "pause-client": (2, _client),
    "isolate-client": (1, _client),
    "pause": (3, _one(LONG)),
    "mute": (2, _one(LONG)),
    "block": (2, _pair(LONG)),
    "slow-link": (1, _pair(LONG)),
    "jump-clock": (1, _jump),
    "cut-file": (2, _damage),
    "roll-back": (2, _roll_back),
    "stop-moved": (1, _one(LONG)),
    "cut-swap": (1, _cut_swap),
    "cut-swap-alone": (1, _cut_swap),
    "stop-swap": (1, _cut_swap),
}
"""Each kind of fault: how often it comes, and whom it meets for how long."""

COMPACTED_ONLY: Final = frozenset({"cut-swap", "cut-swap-alone", "stop-swap"})
"""Kinds that mean something for compacted topics alone."""

THEMED_ONLY: Final = COMPACTED_ONLY | {"fail-read", "stop-moved"}
"""Kinds that come up where a run is about them."""

DAMAGE: Final = frozenset({"cut-file", "damage-tail", "lose-disk", "roll-back"})


PLANNED: Final = ("elect", "reassign", "slow-disk", "stop", "stop-moved")
"""Faults at which not even what the leader alone has acknowledged may be lost."""
