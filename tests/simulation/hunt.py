"""Run seeds from 0 on over the packages in a directory until an anomaly is found, and print it.

A program of its own, so that the packages are not those of who asks:
`hunt.py <directory> <runs> [--about THEME] [--kept FILE] [--only RUN]`. The plan in the file is run
last, under its seed and the next ones: that decides the order of steps, too, which moves with
whatever the code does. `--only` is the number of one run, from 1 on, and the others are not made.
"""

import argparse
import json
import sys
import tomllib
from itertools import chain
from pathlib import Path

from msgspec.structs import replace

KEPT_SEEDS = 40

parser = argparse.ArgumentParser()
parser.add_argument("directory", type=Path)
parser.add_argument("runs", type=int)
parser.add_argument("--about")
parser.add_argument("--kept", type=Path)
parser.add_argument("--only", type=int)
options = parser.parse_args()
directory = options.directory
sys.path.insert(0, str(directory))

import simulation.run  # noqa: E402 - the path comes first
from simulation.plan import draw_plan, read_plan  # noqa: E402

assert Path(simulation.run.__file__).is_relative_to(directory), "these are other packages"

simulation.run.collect_seldom()
plans = (draw_plan(seed, about=options.about) for seed in range(options.runs))
if options.kept:
    kept = read_plan(tomllib.loads(options.kept.read_text()))
    plans = chain(plans, (replace(kept, seed=kept.seed + n) for n in range(KEPT_SEEDS)))
for run, plan in enumerate(plans, 1):
    if options.only not in (None, run):
        continue
    print(json.dumps({"runs": run}), flush=True)
    verdict = simulation.run.simulate(plan)
    if verdict.anomalies:
        first = verdict.anomalies[0]
        found = {"name": first.name, "place": first.place, "facts": first.facts}
        print(json.dumps({"runs": run} | found), flush=True)
        break
