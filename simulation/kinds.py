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


def _narrow_link(rng: random.Random, brokers: int) -> Fault:
    """Say how many bytes come through in a second."""
    return _pair(LONG)(rng, brokers)._replace(amount=rng.choice([2_000, 20_000]))


def _rot(rng: random.Random, brokers: int) -> Fault:
    """Number one of the batches, too; it lasts until somebody has read there, perhaps."""
    fault = _one((6.0,))(rng, brokers)
    return fault._replace(other=rng.randint(0, 63), lasts_s=3.0 + fault.lasts_s)


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


class Kind(NamedTuple):
    """A kind of fault: how often it comes, whom it meets for how long, and what it does."""

    weight: int
    draw: Draw
    does: str


KINDS: Final[Mapping[str, Kind]] = {
    "kill": Kind(4, _one(LONG), "SIGKILL a broker; it is started again"),
    "bounce": Kind(2, _one((0.05,)), "SIGKILL a broker; it is started again at once"),
    "power": Kind(
        3, _one(LONG), "a broker's machine loses power, and what was not synced is lost or torn"
    ),
    "blackout": Kind(1, _everywhere, "all machines lose power"),
    "stop": Kind(2, _one(LONG), "a broker is told to stop, and hands over; it is started again"),
    "lose-disk": Kind(2, _damage, "a broker comes back with an empty disk"),
    "damage-tail": Kind(2, _damage, "a bit of the last committed record flips on a disk"),
    "cut-store": Kind(2, _one(LONG), "a broker cannot reach the coordinator; its session runs out"),
    "pause-session": Kind(
        2,
        _one(LONG),
        "a broker's writes to the coordinator come through later, or never",
    ),
    "expire-session": Kind(2, _one((0.0,)), "the coordinator ends a broker's session"),
    "deregister": Kind(
        2, _one(LONG), "a broker is taken for dead by mistake, and does not hear of it"
    ),
    "usurp": Kind(
        1,
        _usurp,
        "a broker that was away takes groups back from one whose writes come through later",
    ),
    "depose": Kind(
        1,
        _depose,
        "a leader is replaced while alone, follows with a slow disk, and is the only one left",
    ),
    "separate": Kind(
        3, _pair(LONG), "the connections between two brokers break, and new ones are refused"
    ),
    "slow-disk": Kind(2, _slow_disk, "each sync of a broker takes its time"),
    "fail-sync": Kind(1, _fail_sync, "a sync of a file or a directory fails"),
    "fail-read": Kind(1, _one((0.0,)), "a read of a file fails"),
    "drop-pages": Kind(
        1,
        _alone,
        "a sync fails, its bytes count as written, and that broker is the only one left",
    ),
    "join-alone": Kind(
        1,
        _alone,
        "a follower joins an ISR of which its leader does not hear, and is the only one left",
    ),
    "fill-disk": Kind(1, _one(LONG), "a disk is full"),
    "elect": Kind(1, _one((0.0,)), "an operator has the preferred leader elected, or another"),
    "reassign": Kind(1, _reassign, "an operator moves the replicas of a partition"),
    "reset": Kind(2, _one((0.0,)), "all connections of a broker break once"),
    "isolate": Kind(
        3, _one(LONG), "a broker's connections to all others break, and new ones are refused"
    ),
    "isolate-kill": Kind(3, _one(LONG), "the same, and it is killed then"),
    "isolate-power": Kind(2, _one(LONG), "the same, and its machine loses power then"),
    "power-two": Kind(2, _pair(LONG), "two machines lose power at once"),
    "strand": Kind(2, _strand, "the others die while one has a slow disk"),
    "pause-client": Kind(2, _client, "SIGSTOP a client, then SIGCONT"),
    "isolate-client": Kind(
        1, _client, "nothing that a client sends arrives, nor anything that is sent to it"
    ),
    "crash-client": Kind(1, _client, "SIGKILL a client; another one of its name begins"),
    "pause": Kind(3, _one(LONG), "SIGSTOP a broker, then SIGCONT"),
    "mute": Kind(
        2,
        _one(LONG),
        "a broker hears nobody and nobody hears it, but the coordinator; connections stay",
    ),
    "vanish": Kind(2, _one(LONG), "the same, and the coordinator does not hear it either"),
    "block": Kind(
        2, _pair(LONG), "what one broker sends to another does not arrive; the way back is open"
    ),
    "slow-link": Kind(1, _pair(LONG), "what two brokers send to each other takes its time"),
    "narrow-link": Kind(
        1, _narrow_link, "what two brokers send to each other comes through a few bytes at a time"
    ),
    "jump-clock": Kind(1, _jump, "a broker's wall clock jumps"),
    "cut-file": Kind(2, _damage, "a log file is cut within what is committed"),
    "roll-back": Kind(2, _roll_back, "a file is what it was some time before"),
    "rot": Kind(
        2, _rot, "a bit flips in an old segment of a broker that runs; its disk is replaced later"
    ),
    "stop-moved": Kind(
        1,
        _one(LONG),
        "a leader is told to stop, and replicas are taken from it while others catch up",
    ),
    "cut-swap": Kind(
        1, _cut_swap, "power fails while a compacted segment takes the place of others"
    ),
    "cut-swap-alone": Kind(1, _cut_swap, "the same at the only broker that is left"),
    "stop-swap": Kind(
        1, _cut_swap, "a broker is told to stop while a compacted segment takes the place of others"
    ),
}
"""Each kind of fault."""

COMPACTED_ONLY: Final = frozenset({"cut-swap", "cut-swap-alone", "stop-swap"})
"""Kinds that mean something for compacted topics alone."""

THEMED_ONLY: Final = COMPACTED_ONLY | {"fail-read", "stop-moved"}
"""Kinds that come up where a run is about them."""

DAMAGE: Final = frozenset({"cut-file", "damage-tail", "lose-disk", "roll-back"})


PLANNED: Final = ("elect", "reassign", "slow-disk", "stop", "stop-moved")
"""Faults at which not even what the leader alone has acknowledged may be lost."""
