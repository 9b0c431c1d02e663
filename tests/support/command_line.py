"""The command line as users have it: `ottla` in processes of its own, on a cluster of its own."""

from __future__ import annotations

import json
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

OTTLA = [sys.executable, "-P", "-m", "cli"]
TIMEOUT_S = 90.0
"""Longer than `ottla up` waits by itself, which then says what it waited for."""


class CommandLine:
    """Runs `ottla` in a directory of its own, as a user would."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def run(
        self, *args: str, stdin: bytes = b"", status: int = 0, timeout_s: float = TIMEOUT_S
    ) -> subprocess.CompletedProcess[bytes]:
        done = subprocess.run(
            [*OTTLA, *args],
            cwd=self.directory,
            input=stdin,
            capture_output=True,
            timeout=timeout_s,
            check=False,
        )
        assert done.returncode == status, f"{args}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        assert b"Traceback" not in done.stderr
        return done

    def start(self, *args: str) -> subprocess.Popen[bytes]:
        """Run a command beside the test, which has to end it."""
        return subprocess.Popen(
            [*OTTLA, *args],
            cwd=self.directory, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip

    def out(self, *args: str, stdin: bytes = b"", status: int = 0) -> str:
        return self.run(*args, stdin=stdin, status=status).stdout.decode()

    def json(self, *args: str, stdin: bytes = b"", status: int = 0) -> dict:
        return json.loads(self.out(*args, "--json", stdin=stdin, status=status))

    def node(self, name: str) -> dict:
        nodes = json.loads((self.directory / "ottla-data" / "cluster.json").read_text())["nodes"]
        return next(node for node in nodes if node["name"] == name)


@contextmanager
def running_cluster(directory: Path, *options: str):
    ottla = CommandLine(directory)
    try:
        ottla.run("up", "--no-registry", "--detach", "--port", "0", *options)
        yield ottla
    finally:
        subprocess.run(
            [*OTTLA, "down"], cwd=directory, timeout=TIMEOUT_S, capture_output=True, check=False
        )
