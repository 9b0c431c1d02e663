"""Plans that once found a bug of ours, also in the simulator: `kept/*.toml` says which.

They are kept whole, for a seed draws another plan once there are more kinds of faults.
"""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest
from msgspec.structs import replace

from simulation.kinds import Fault
from simulation.plan import draw_plan, read_plan
from simulation.run import simulate

KEPT = sorted((Path(__file__).parent / "kept").glob("*.toml"))


@pytest.mark.slow
@pytest.mark.parametrize("path", KEPT, ids=lambda path: path.stem)
def test_what_was_found_once_is_not_there_again(path):
    row = tomllib.loads(path.read_text())
    verdict = simulate(read_plan(row))

    assert verdict.anomalies == [], row["found"]
    assert verdict.injected.total() > 0


def test_a_plan_is_kept_whole():
    drawn = draw_plan(1)
    plan = {name: getattr(drawn, name) for name in drawn.__slots__ if name != "faults"}
    row = {"plan": plan, "faults": [{"at_s": 1.0, "kind": "kill"}]}

    assert read_plan(row) == replace(drawn, faults=(Fault(1.0, "kill"),))
