"""Which faults a run on real processes meets, and when: all drawn from one seed. Pure.

No fault breaks more than is promised: what is acknowledged is on stable storage of as many replicas
as have to be in sync, so any processes may die, and any may be cut off; disks are not lost.
Must never know: how a fault is carried out.
"""

from __future__ import annotations

import random  # noqa: TID251 - seeded here, with the seed that was handed in
from typing import TYPE_CHECKING, Final, NamedTuple, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

COORDINATOR: Final = "coordinator"
MEAN_PAUSE_S: Final = 2.0
"""From one fault to the next."""

STORM_S: Final = 24.0
CALM_S: Final = 8.0
"""After each storm of faults nothing new breaks for so long: a quarter of the time."""

FIRST_S: Final = 1.0
LOYALTY: Final = 0.4


class Fault(NamedTuple):
    """Something that is broken for a while. `node` and `other` are names of processes.

    `planted` is what is planted in a broker, in the grammar of `ottla.faults`.
    """

    at_s: float
    kind: str
    lasts_s: float = 0.0
    node: str = ""
    other: str = ""
    planted: str = ""

    def __str__(self) -> str:
        whom = [_title(name) for name in (self.node, self.other) if name]
        said = [self.kind, " and ".join(whom), self.planted, f"for {self.lasts_s:.1f} s"]
        return " ".join(filter(None, said))


def _title(name: str) -> str:
    return f"broker {name}" if name.isdecimal() else name


Draw: TypeAlias = "Callable[[random.Random, Sequence[str]], Fault]"
"""Draws whom a fault meets among these brokers, and for how long; when it comes is said later."""


def _lasts(rng: random.Random) -> float:
    return round(rng.choice([0.2, 1.0, 3.0, 8.0]) * (0.5 + rng.random()), 1)


def _one(rng: random.Random, brokers: Sequence[str]) -> Fault:
    return Fault(0.0, "", _lasts(rng), rng.choice(brokers))


def _pair(rng: random.Random, brokers: Sequence[str]) -> Fault:
    one, other = rng.sample(brokers, 2)
    return Fault(0.0, "", _lasts(rng), one, other)


def _one_way(rng: random.Random, brokers: Sequence[str]) -> Fault:
    """Meet one target in half of the cases, else all of them."""
    fault = _pair(rng, [*brokers, COORDINATOR])
    if fault.node == COORDINATOR or rng.random() < 0.5:
        return _one(rng, brokers)
    return fault


def _coordinator(rng: random.Random, brokers: Sequence[str]) -> Fault:  # noqa: ARG001
    return Fault(0.0, "", _lasts(rng), COORDINATOR)


def _all(rng: random.Random, brokers: Sequence[str]) -> Fault:  # noqa: ARG001
    return Fault(0.0, "", _lasts(rng))


def _planted(*texts: str) -> Draw:
    def draw(rng: random.Random, brokers: Sequence[str]) -> Fault:
        return _one(rng, brokers)._replace(planted=rng.choice(texts))

    return draw


_ERROR: Final = _planted(
    "Produce=error/NOT_LEADER_OR_FOLLOWER@1-30",
    "Produce=error/NOT_ENOUGH_REPLICAS@1-30",
    "Fetch=error/NOT_LEADER_OR_FOLLOWER@1-30",
    "OffsetCommit=error/NOT_COORDINATOR@1-5",
    "JoinGroup=error/COORDINATOR_LOAD_IN_PROGRESS@1-3",
    "Heartbeat=error/COORDINATOR_NOT_AVAILABLE@1-3",
    "FindCoordinator=error/COORDINATOR_NOT_AVAILABLE@1-5",
)
_DELAY: Final = _planted(
    "Produce=delay/300",
    "Fetch=delay/300",
    "OffsetCommit=delay/700",
    "Heartbeat=delay/1500",
    "JoinGroup=delay/1000",
    "Metadata=delay/1000",
)
_DROP: Final = _planted(
    "Produce=drop@1-10",
    "Produce=close@1-10",
    "Fetch=drop@1-30",
    "OffsetCommit=drop@1-3",
    "JoinGroup=drop@1-3",
    "SyncGroup=drop@1-3",
    "AlterPartition=drop@1-3",
    "InitProducerId=drop@1-2",
)

KINDS: Final[Mapping[str, tuple[str, Draw]]] = {
    "kill": ("SIGKILL a broker; it is started again", _one),
    "kill-all": ("SIGKILL all brokers", _all),
    "pause": ("SIGSTOP a broker, then SIGCONT", _one),
    "stop": ("stop a broker cleanly; it is started again", _one),
    "partition": ("cut two brokers off from each other, silently", _pair),
    "reject": ("break the connections between two brokers, and refuse new ones", _pair),
    "isolate": ("cut a broker off from all others and the coordinator, silently", _one),
    "one-way": ("nothing that a broker sends to another, or to all, arrives", _one_way),
    "cut-store": ("cut a broker off from the coordinator, silently", _one),
    "coordinator-kill": ("SIGKILL the coordinator; it is started again", _coordinator),
    "coordinator-pause": ("SIGSTOP the coordinator, then SIGCONT", _coordinator),
    "error": ("a broker refuses some requests with an error", _ERROR),
    "delay": ("a broker takes its time for requests of one API", _DELAY),
    "drop": ("a broker drops the answer, with or without having done what it is asked", _DROP),
}
"""Each kind of fault: what it does, and whom it meets for how long."""

OF_PAIRS: Final = frozenset({"partition", "reject"})
OF_COORDINATOR: Final = frozenset({"coordinator-kill", "coordinator-pause"})


def kinds_for(*, brokers: int, own_coordinator: bool) -> frozenset[str]:
    """Give the kinds of faults that such a cluster can meet."""
    kinds = frozenset(KINDS)
    if brokers == 1:
        kinds -= OF_PAIRS
    return kinds if own_coordinator else kinds - OF_COORDINATOR


def draw_schedule(
    seed: int, *, duration_s: float, brokers: int, kinds: Collection[str]
) -> tuple[Fault, ...]:
    """Draw all faults of a run, by time; every kind comes before one comes again."""
    rng = random.Random(f"chaos {seed}")  # noqa: S311 - to be repeatable
    names = [str(number) for number in range(1, brokers + 1)]
    faults: list[Fault] = []
    deck: list[str] = []
    at_s = FIRST_S
    while kinds and at_s < duration_s:
        if not deck:
            deck = rng.sample(sorted(kinds), len(kinds))
        fault = KINDS[kind := deck.pop()][1](rng, names)._replace(kind=kind, at_s=round(at_s, 1))
        last = faults[-1].node if faults else ""
        if last.isdecimal() and fault.node.isdecimal() and last != fault.other:
            # Trouble comes to the same broker more often than chance would have it.
            fault = fault._replace(node=last) if rng.random() < LOYALTY else fault
        faults.append(fault)
        at_s += rng.expovariate(1 / MEAN_PAUSE_S)
        if at_s % (STORM_S + CALM_S) > STORM_S:
            at_s = (at_s // (STORM_S + CALM_S) + 1) * (STORM_S + CALM_S)
    return tuple(faults)
