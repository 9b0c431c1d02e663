"""Run seeds from 0 on over the packages in a directory until an anomaly is found, and print it.

A program of its own, so that the packages are not those of who asks:
`hunt.py <directory> <runs> [theme]`.
"""

import json
import sys
from pathlib import Path

directory, runs, about = Path(sys.argv[1]), int(sys.argv[2]), next(iter(sys.argv[3:]), None)
sys.path.insert(0, str(directory))

import simulation.run  # noqa: E402 - the path comes first
from simulation.plan import draw_plan  # noqa: E402

assert Path(simulation.run.__file__).is_relative_to(directory), "these are other packages"

simulation.run.collect_seldom()
for seed in range(runs):
    print(json.dumps({"seed": seed}), flush=True)
    verdict = simulation.run.simulate(draw_plan(seed, about=about))
    if verdict.anomalies:
        first = verdict.anomalies[0]
        found = {"seed": seed, "name": first.name, "place": first.place, "facts": first.facts}
        print(json.dumps(found), flush=True)
        break
