"""How often an ISR may change before a run is ended."""

from __future__ import annotations

import pytest

from simulation.committed import Broken
from simulation.isr_changes import CHANGES_MAX, CHANGES_WITHIN_S, LEAVES_MAX, IsrChanges, Led

ONE, OTHER = Led(1, b"topic", 0, 5), Led(1, b"topic", 1, 5)
LAG_S = 0.5


def test_an_isr_that_comes_and_goes_is_no_progress():
    changes = IsrChanges(lag_time_max_s=LAG_S)
    for i in range(CHANGES_MAX - 1):
        changes.note(ONE, "orders-0", left={}, now=i * 0.001)

    with pytest.raises(Broken, match=r"no-progress: the ISR of orders-0 changed"):
        changes.note(ONE, "orders-0", left={}, now=0.5)


def test_changes_count_across_the_leader_epochs_of_one_leader():
    changes = IsrChanges(lag_time_max_s=LAG_S)
    for i in range(CHANGES_MAX - 1):
        changes.note(ONE._replace(leader_epoch=i), "orders-0", left={}, now=i * 0.001)

    with pytest.raises(Broken, match=r"no-progress: the ISR of orders-0 changed"):
        changes.note(ONE._replace(leader_epoch=CHANGES_MAX), "orders-0", left={}, now=0.5)


def test_changes_that_take_their_time_or_are_of_several_partitions_are_fine():
    changes = IsrChanges(lag_time_max_s=LAG_S)
    for i in range(2 * CHANGES_MAX):
        changes.note(ONE, "orders-0", left={}, now=i * CHANGES_WITHIN_S / (CHANGES_MAX - 2))
    for _ in range(CHANGES_MAX - 1):
        changes.note(OTHER, "orders-1", left={}, now=0.0)


def test_who_leaves_sooner_than_it_can_lag_is_no_progress():
    changes = IsrChanges(lag_time_max_s=LAG_S)
    for i in range(LEAVES_MAX - 1):
        changes.note(ONE, "orders-0", left={2: 7}, now=i * LAG_S / 4)

    with pytest.raises(Broken, match=r"no-progress: broker 2 left the ISR of orders-0 4 times"):
        changes.note(ONE, "orders-0", left={2: 7}, now=0.45)


@pytest.mark.parametrize(
    "leaves",
    [
        [(ONE, {2: 7}, i * LAG_S / 2) for i in range(10)],
        [(ONE, {2: 7 + i}, 0.0) for i in range(10)],
        [(ONE, {2 + i: 7}, 0.0) for i in range(10)],
        [(ONE._replace(leader_epoch=5 + i), {2: 7}, 0.0) for i in range(10)],
    ],
    ids=["as-slow-as-it-lags", "other-incarnations", "others", "other-epochs"],
)
def test_leaves_that_have_a_reason_are_fine(leaves):
    changes = IsrChanges(lag_time_max_s=LAG_S)
    for led, left, now in leaves:
        changes.note(led, "orders-0", left=left, now=now)
