"""The file of results: what was measured of each bench last, on what, and by which command."""

from __future__ import annotations

import json
import os
import platform
import subprocess
from collections.abc import Iterable
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bench.figure import Figure


class Results:
    """All benches' last figures; `save` writes them. A bench that is run again replaces its own."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._benches: dict[str, Any] = {}
        if path.exists():
            self._benches = json.loads(path.read_text())["benches"]

    def replace(self, figures: Iterable[Figure], *, command: str) -> None:
        """Take the figures of one run; what was there of the same benches is forgotten."""
        added: dict[str, list[dict[str, object]]] = {}
        for each in figures:
            values = asdict(each)
            added.setdefault(values.pop("bench"), []).append(values)
        for bench, rows in added.items():
            self._benches[bench] = {
                "command": command,
                "day": datetime.now(UTC).date().isoformat(),
                "machine": machine(),
                "version": version(),
                "figures": rows,
            }

    def save(self) -> None:
        """Write the file."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._path.write_text(json.dumps({"benches": self._benches}, indent=1) + "\n")

    def figures(self) -> list[Figure]:
        """Give all that is there."""
        return [
            Figure(bench=bench, **row)
            for bench, run in self._benches.items()
            for row in run["figures"]
        ]

    def origin(self, bench: str) -> str:
        """Say where a bench's figures come from: command, day, machine, and what was measured."""
        run = self._benches[bench]
        version = f", commit {run['version']}" if run.get("version") else ""
        return f"`{run['command']}`, {run['day']}, {run['machine']}{version}."


def version() -> str:
    """Name the commit that is measured, `+` where it is changed; nothing outside of a checkout."""
    git = ("git", "describe", "--always", "--dirty=+", "--exclude=*")
    done = subprocess.run(git, capture_output=True, text=True, check=False)
    return done.stdout.strip()


def machine() -> str:
    """Say in a line what this was measured on, without naming it."""
    model = next(
        (
            line.partition(":")[2].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if line.startswith("model name")
        ),
        platform.machine(),
    )
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return (
        f"{os.cpu_count()} cores ({model}), {memory:.0f} GiB,"
        f" Linux {platform.release().split('-')[0]}, Python {platform.python_version()}"
    )
