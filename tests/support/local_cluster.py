"""A cluster of real processes on free ports of 127.0.0.1, driven through the CLI as users do."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from commands.process import identify, wait_gone
from tests.support.ports import free_ports
from tests.support.processes import resident_bytes

GONE_WITHIN_S = 10.0
UP_TIMEOUT_S = 90
"""Longer than `ottla up` waits by itself, which then says what it waited for."""


class CommandFailed(Exception):
    """An `ottla` command ended with another status than 0; the text is what it printed."""


def ottla(*arguments: str, timeout_s: float = UP_TIMEOUT_S, stdin: str | None = None) -> str:
    """Run an `ottla` command. Returns: its standard output."""
    done = subprocess.run(
        [sys.executable, "-m", "cli", *arguments],
        capture_output=True,
        text=True,
        timeout=timeout_s,
        input=stdin,
        check=False,
    )
    if done.returncode != 0:
        raise CommandFailed(f"ottla {' '.join(arguments)}: {done.returncode}\n{done.stderr}")
    return done.stdout


@dataclass(frozen=True)
class Node:
    """One process of the cluster."""

    name: str
    pid: int
    port: int


class LocalCluster:
    """`ottla up` in a directory of its own; `close` ends every process, whatever happened."""

    def __init__(
        self,
        directory: Path,
        *,
        brokers: int = 3,
        zookeeper: str | None = None,
        settings: tuple[str, ...] = (),
        registry: bool = False,
    ) -> None:
        self.directory = directory / "data"
        self.port = free_ports()
        self._arguments = ["--brokers", str(brokers), "--port", str(self.port)]
        self._arguments.append("--registry" if registry else "--no-registry")
        if zookeeper is not None:
            self._arguments += ["--zookeeper", zookeeper]
        for setting in settings:
            self._arguments += ["--set", setting]

    def up(self) -> None:
        """Start it, or start again what does not run; returns when it serves."""
        ottla("up", "--detach", "--data", str(self.directory), *self._arguments)

    def down(self) -> None:
        """Stop all that runs, cleanly."""
        ottla("down", "--data", str(self.directory))

    def close(self) -> None:
        """End every process that is left, by its pid."""
        if not (self.directory / "cluster.json").exists():
            return
        for node in self.nodes().values():
            for number in (signal.SIGCONT, signal.SIGKILL):
                self._signal(node, number)

    @property
    def registry(self) -> str:
        """The URL of its schema registry."""
        return str(self._state()["registry"])

    @property
    def bootstrap(self) -> str:
        """The addresses of its brokers."""
        return str(self._state()["bootstrap"])

    def nodes(self) -> dict[str, Node]:
        """Its processes by name: `coordinator`, `1`, `2`, ..."""
        return {
            node["name"]: Node(node["name"], node["pid"], node["port"])
            for node in self._state()["nodes"]
            if node["pid"]
        }

    def kill(self, *names: str) -> None:
        """SIGKILL processes, as nearly at once as can be; returns when they are gone.

        One that is still dying counts as running: `up` would not start it again.
        """
        nodes = self.nodes()
        killed = [identify(nodes[name].pid) for name in names]
        for name in names:
            os.kill(nodes[name].pid, signal.SIGKILL)
        for process in killed:
            assert process is not None, "it was there to be killed"
            assert wait_gone(process, timeout_s=GONE_WITHIN_S)

    def pause(self, name: str) -> None:
        """SIGSTOP a process."""
        os.kill(self.nodes()[name].pid, signal.SIGSTOP)

    def resume(self, name: str) -> None:
        """SIGCONT a process."""
        os.kill(self.nodes()[name].pid, signal.SIGCONT)

    def start(self, *names: str) -> None:
        """Start processes that were killed."""
        for name in names:
            ottla("node", "start", name, "--data", str(self.directory))

    def memory_bytes(self, name: str) -> int:
        """Resident memory of a process."""
        return resident_bytes(self.nodes()[name].pid)

    def logs(self) -> str:
        """The end of every process's log, for a test that failed."""
        return "\n".join(
            "\n".join([f"--- {path.name}", *path.read_text().splitlines()[-30:]])
            for path in sorted((self.directory / "logs").glob("*.log"))
        )

    def _state(self) -> dict[str, Any]:
        state: dict[str, Any] = json.loads((self.directory / "cluster.json").read_text())
        return state

    def _signal(self, node: Node, number: int) -> None:
        try:
            # All run in the cluster's directory; a registry's command does not name it.
            if Path(f"/proc/{node.pid}/cwd").resolve() == self.directory.resolve():
                os.kill(node.pid, number)
        except (FileNotFoundError, ProcessLookupError):
            pass
