"""Shrinks a plan that fails to one with few faults that fails still. Pure.

Source: Zeller and Hildebrandt, "Simplifying and Isolating Failure-Inducing Input" (ddmin).
Must never know: what a failure is, how a plan is run.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec.structs import replace

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from simulation.kinds import Fault
    from simulation.plan import Plan


def minimise(plan: Plan, fails: Callable[[Plan], bool]) -> Plan:
    """Return the plan with as few of its faults as still make it fail, one at least.

    `fails` runs a plan; the one that is given fails. No fault of what is returned can be left out.
    """
    faults, parts = plan.faults, 2
    while len(faults) > 1:
        for left in _without_a_part(faults, parts):
            if fails(replace(plan, faults=left)):
                faults, parts = left, max(parts - 1, 2)
                break
        else:
            if parts >= len(faults):
                break
            parts = min(parts * 2, len(faults))
    return replace(plan, faults=faults)


def _without_a_part(faults: tuple[Fault, ...], parts: int) -> Iterator[tuple[Fault, ...]]:
    """Leave out each of so many parts in turn."""
    for number in range(parts):
        start, end = (len(faults) * n // parts for n in (number, number + 1))
        yield faults[:start] + faults[end:]
