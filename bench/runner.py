"""Runs benches: starts both systems, warms them up, has them take turns, tells what it finds.

All benches of one size of cluster share the clusters, in the order in which they are listed. The
system that is measured is the only one that works; the other one is there, idle. Dirty pages are
written back before each measurement, so that nobody pays for what the other one left.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace

from bench.bench import Bench, When
from bench.figure import MACHINE, THEIRS, Case, Figure
from bench.systems import System, prepared, started
from bench.warm_up import warm_up

Where = dict[str, set[str]]
"""Cases to be run alone: what each key may be, as text."""


@dataclass(frozen=True)
class Options:
    """How benches are run."""

    systems: tuple[str, ...]
    rounds: int | None = None
    """Instead of each bench's own number."""

    warm_up_s: float = 180.0
    where: Where | None = None

    def wants(self, case: Case) -> bool:
        """Say whether a case is to be run; what it does not vary does not count."""
        where = self.where or {}
        return all(str(case[key]) in wanted for key, wanted in where.items() if key in case)


class Runner:
    """Runs benches and hands over the figures of each case when it is done."""

    def __init__(self, options: Options, *, told: Callable[[list[Figure]], None]) -> None:
        self._options = options
        self._told = told

    def run(self, benches: Sequence[Bench]) -> list[Figure]:
        """Run them all. Returns: every figure."""
        found: list[Figure] = []
        for figures in self._all(benches):
            self._told(figures)
            found += figures
        return found

    def _all(self, benches: Sequence[Bench]) -> Iterator[list[Figure]]:
        for bench in benches:
            if bench.when is When.NONE:
                nothing = System(MACHINE, 0, None)
                yield from self._cases(bench, 0, {MACHINE: nothing})
        for brokers in sorted({size for bench in benches for size in bench.brokers}):
            of_size = [each for each in benches if brokers in each.brokers]
            for bench in of_size:
                if bench.when is When.NEW:
                    yield from self._with_new_clusters(bench, brokers)
            yield from self._with_shared_clusters(of_size, brokers)

    def _with_shared_clusters(self, benches: list[Bench], brokers: int) -> Iterator[list[Figure]]:
        cold, warm = (
            [each for each in benches if each.when is when and self._cases_of(each, brokers)]
            for when in (When.COLD, When.WARM)
        )
        if not cold and not warm:
            return
        with ExitStack() as stack:
            systems = {
                name: stack.enter_context(started(name, brokers=brokers))
                for name in self._options.systems
            }
            for bench in cold:
                yield from self._cases(bench, brokers, systems)
            if warm and THEIRS in systems:
                warm_up(systems[THEIRS], seconds=self._options.warm_up_s)
            for bench in warm:
                yield from self._cases(bench, brokers, systems)

    def _with_new_clusters(self, bench: Bench, brokers: int) -> Iterator[list[Figure]]:
        for case in self._cases_of(bench, brokers):
            figures: list[Figure] = []
            for name in self._turns(bench, self._options.systems):
                with prepared(name, brokers=brokers) as cluster:
                    figures += self._measure(bench, System(name, brokers, cluster), case)
            yield figures

    def _cases(
        self, bench: Bench, brokers: int, systems: dict[str, System]
    ) -> Iterator[list[Figure]]:
        for case in self._cases_of(bench, brokers):
            figures: list[Figure] = []
            for name in self._turns(bench, tuple(systems)):
                figures += self._measure(bench, systems[name], case)
            yield figures

    def _cases_of(self, bench: Bench, brokers: int) -> list[Case]:
        size = {"brokers": brokers} if brokers else {}
        return [case for each in bench.cases if self._options.wants(case := {**size, **each})]

    def _turns(self, bench: Bench, systems: tuple[str, ...]) -> Iterator[str]:
        """Name who is next; who begins a round takes turns as well."""
        for number in range(self._options.rounds or bench.rounds):
            yield from systems if number % 2 == 0 else reversed(systems)

    def _measure(self, bench: Bench, system: System, case: Case) -> Iterator[Figure]:
        os.sync()
        for what, values in bench.measure(system, case):
            yield Figure(bench.name, what, system.name, case, dict(values))


def only(benches: Sequence[Bench], *, brokers: Sequence[int]) -> list[Bench]:
    """Have benches run with these sizes of cluster alone."""
    return [
        replace(each, brokers=tuple(size for size in each.brokers if size in brokers))
        for each in benches
    ]
