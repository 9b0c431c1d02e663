"""Many lives of a cluster, by seeds. A failing one is run again, alone, with `-k "[<seed>]"`."""

from __future__ import annotations

import pytest

from tests.cluster.random_story import play

SEEDS = [*range(4), *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(4, 30))]
MOVING_SEEDS = [
    *range(3),
    *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(3, 60)),
]


@pytest.mark.parametrize("seed", SEEDS)
def test_nothing_acknowledged_is_lost_whatever_fails(seed: int):
    assert play(seed, moving=False).acknowledged


@pytest.mark.parametrize("seed", MOVING_SEEDS)
def test_nothing_acknowledged_is_lost_while_replicas_move_and_anything_fails(seed: int):
    assert play(seed, moving=True).acknowledged
