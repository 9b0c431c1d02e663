"""What a bench is: cases, and a function that measures one system in one of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from enum import Enum

from bench.figure import Case
from bench.systems import System

Measured = Iterable[tuple[str, Mapping[str, float]]]
"""What was done, and the values of one measurement of it."""


class When(Enum):
    """In which state a bench wants its cluster."""

    NEW = "a cluster of its own for each round, which it starts itself"
    COLD = "started, and nothing done yet"
    WARM = "warmed up: a JVM has compiled what it will need"
    NONE = "no cluster: the machine itself is measured"


@dataclass(frozen=True)
class Bench:
    """One kind of measurement. The runner adds `brokers` to each case."""

    name: str
    about: str
    measure: Callable[[System, Case], Measured]
    cases: tuple[Case, ...] = ({},)
    brokers: tuple[int, ...] = (1, 3)
    rounds: int = 3
    when: When = When.WARM
