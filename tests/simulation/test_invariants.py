"""Laws of what is demanded of a run at every step, where a history of its own is needed."""

from __future__ import annotations

import pytest

from simulation.committed import Broken
from simulation.invariants import CHANGES_MAX, CHANGES_WITHIN_S, IsrChanges

ONE, OTHER = (1, b"topic", 0), (1, b"topic", 1)


def test_an_isr_that_comes_and_goes_is_no_progress():
    changes = IsrChanges()
    for i in range(CHANGES_MAX - 1):
        changes.note(ONE, "orders-0", now=i * 0.001)

    with pytest.raises(Broken, match=r"no-progress: the ISR of orders-0 changed"):
        changes.note(ONE, "orders-0", now=0.5)


def test_changes_that_take_their_time_or_are_of_several_partitions_are_fine():
    changes = IsrChanges()
    for i in range(2 * CHANGES_MAX):
        changes.note(ONE, "orders-0", now=i * CHANGES_WITHIN_S / (CHANGES_MAX - 2))
    for _ in range(CHANGES_MAX - 1):
        changes.note(OTHER, "orders-1", now=0.0)
