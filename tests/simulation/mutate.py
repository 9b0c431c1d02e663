"""Proof that the simulator finds bugs: plants each deliberate one and runs seeds until it is found.

`python -m tests.simulation.mutate [--runs N] [--only NAME]...` writes `docs/mutations.md`; with
`--only` it just says what it found. It takes an hour: with `--results FILE` it can be interrupted,
and goes on with the bugs that are not in the file yet.
"""

from __future__ import annotations

import argparse
import json
import signal
import subprocess
import sys
import tempfile
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from tests.simulation.planted import ROOT, load_mutations, plant

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from tests.simulation.planted import Mutation

TABLE = ROOT / "docs" / "mutations.md"
HUNT = Path(__file__).parent / "hunt.py"
KEPT = Path(__file__).parent / "kept"
RUN_BOUND_S = 300.0
"""Of real time, for one run: a bug may be a loop without an end."""
SHOWN_OF_FACTS = 160


class Hunt(NamedTuple):
    """What came of looking for one bug: `runs` until it was found, or all that were made."""

    mutation: Mutation
    runs: int
    anomaly: str | None
    facts: str

    def encode(self) -> str:
        """Write it down as a line."""
        return json.dumps(
            {
                "name": self.mutation.name,
                "runs": self.runs,
                "anomaly": self.anomaly,
                "facts": self.facts,
            }
        )

    @classmethod
    def decode(cls, line: str, mutations: Mapping[str, Mutation]) -> Hunt:
        """Read what was written down. Raises: KeyError."""
        row = json.loads(line)
        return cls(mutations[row["name"]], row["runs"], row["anomaly"], row["facts"])

    def __str__(self) -> str:
        found = f"{self.anomaly}: {self.facts}" if self.anomaly else "NOT FOUND"
        return f"{self.mutation.name}: {self.runs} runs, {found}"


def hunt(mutation: Mutation, *, runs: int) -> Hunt:
    """Look for one bug; what the code does without it as well is no find.

    Raises: DoesNotApply, CalledProcessError.
    """
    with tempfile.TemporaryDirectory() as directory:
        root = Path(directory).resolve()
        plant(mutation, root)
        found = _look(mutation, root, runs)
    if found.anomaly is None:
        return found
    without = _look(mutation, ROOT, runs, only=found.runs)
    if without.anomaly is None:
        return found
    facts = f"without the bug as well: {without.anomaly}: {without.facts}"
    return Hunt(mutation, found.runs, None, facts)


def _look(mutation: Mutation, root: Path, runs: int, *, only: int | None = None) -> Hunt:
    """Run the packages in `root`: until an anomaly is found, or the one run alone."""
    command = [sys.executable, str(HUNT), str(root), str(runs)]
    command += ["--about", mutation.about] if mutation.about else []
    command += ["--kept", str(KEPT / f"{mutation.kept}.toml")] if mutation.kept else []
    command += [] if only is None else ["--only", str(only)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        told = [json.loads(line) for line in _lines(process)]
    last = told[-1]
    if process.returncode == -signal.SIGKILL:
        return Hunt(mutation, last["runs"], "no-end", f"{RUN_BOUND_S:g} s were not enough")
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command)
    facts = f"{last['place']}: {last['facts']}" if "name" in last else ""
    return Hunt(mutation, last["runs"], last.get("name"), facts)


def _lines(process: subprocess.Popen[str]) -> Iterator[str]:
    """Read what a process writes; it is killed when it writes nothing for too long."""
    assert process.stdout is not None, "opened with a pipe"
    while True:
        watchdog = threading.Timer(RUN_BOUND_S, process.kill)
        watchdog.start()
        line = process.stdout.readline()
        watchdog.cancel()
        if not line:
            return
        yield line


def table(hunts: Iterable[Hunt], *, runs: int) -> str:
    """Lay out what was found as a page."""
    hunts = list(hunts)
    found = sum(each.anomaly is not None for each in hunts)
    lines = [
        "# Deliberate bugs that the simulator finds",
        "",
        "A simulator that finds no planted bug proves nothing. Each of these small patches breaks"
        " one rule;",
        "seeds are run from 0 on until an anomaly is reported, with plans of all sorts or about one"
        " theme",
        "(`ottla simulate --about`); the same run without the patch shows none. The patches are in",
        "`tests/simulation/mutations/`.",
        "",
        f"{found} of {len(hunts)} were found within {runs} runs each, or by a plan that once found"
        " such a bug",
        "(`tests/simulation/kept/`) and was run after those, under its seed or one of the next.",
        "Written by",
        f"`python -m tests.simulation.mutate --runs {runs}`.",
        "",
        "| bug | what it breaks | plans | runs to find | anomaly reported | its facts |",
        "|---|---|---|---:|---|---|",
    ]
    for each in hunts:
        count = _count(each, runs)
        facts = each.facts[:SHOWN_OF_FACTS] + ("…" if len(each.facts) > SHOWN_OF_FACTS else "")
        bug = each.mutation
        cells = (bug.name, bug.breaks, bug.about or "all", count, each.anomaly or "none", facts)
        lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join([*lines, ""])


def _count(hunt: Hunt, runs: int) -> str:
    if hunt.anomaly is None:
        return f"not in {hunt.runs}"
    return str(hunt.runs) if hunt.runs <= runs else f"{hunt.mutation.kept}, after {runs}"


def main() -> None:
    """Look for all deliberate bugs, or for those that are named."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=60, help="seeds to try for each bug")
    parser.add_argument("--only", action="append", help="a bug's name; again for more")
    parser.add_argument("--jobs", type=int, default=1, help="bugs to look for side by side")
    parser.add_argument("--results", type=Path, help="a file of what was found already")
    options = parser.parse_args()
    mutations = {each.name: each for each in load_mutations()}
    hunts = _read_results(options.results, mutations)
    wanted = [mutations[name] for name in options.only or mutations if name not in hunts]
    with ThreadPoolExecutor(options.jobs) as pool:
        for found in pool.map(lambda each: hunt(each, runs=options.runs), wanted):
            print(found, flush=True)
            hunts[found.mutation.name] = found
            if options.results:
                with options.results.open("a") as file:
                    print(found.encode(), file=file)
    ordered = [hunts[name] for name in options.only or mutations]
    if not options.only:
        TABLE.write_text(table(ordered, runs=options.runs))
    sys.exit(any(each.anomaly is None for each in ordered))


def _read_results(path: Path | None, mutations: Mapping[str, Mutation]) -> dict[str, Hunt]:
    if path is None or not path.exists():
        return {}
    hunts = (Hunt.decode(line, mutations) for line in path.read_text().splitlines())
    return {each.mutation.name: each for each in hunts}


if __name__ == "__main__":
    main()
