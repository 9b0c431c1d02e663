"""One broker of ours with its coordinator in its process, as one node of Apache Kafka has it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import trio

from client.environment import Environment
from commands.readiness import Readiness
from tests.support.local_cluster import Node
from tests.support.ports import free_ports
from tests.support.processes import dies_with_parent, resident_bytes

HOST = "127.0.0.1"
SERVES_WITHIN_S = 60.0


class OneProcess:
    """`ottla broker --coordinator` in a directory of its own; `close` ends it."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._port = free_ports()
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def bootstrap(self) -> str:
        """The address of the broker."""
        return f"{HOST}:{self._port}"

    def up(self) -> None:
        """Start it; returns when it serves."""
        command = [*dies_with_parent(), sys.executable, "-P", "-m", "cli", "broker", "--id", "1"]
        command += ["--data", str(self.directory / "broker"), "--listen", self.bootstrap]
        command += ["--zookeeper", f"{HOST}:{self._port + 1}"]
        command += ["--coordinator", str(self.directory / "coordinator")]
        with (self.directory / "log").open("ab") as log:
            self._process = subprocess.Popen(command, stderr=log)
        trio.run(self._serves)

    async def _serves(self) -> None:
        readiness = Readiness(Environment.real().network, {1: (HOST, self._port)})
        await readiness.wait(check_alive=self._check, timeout_s=SERVES_WITHIN_S)

    def _check(self) -> None:
        assert self._process is not None
        if self._process.poll() is not None:
            raise RuntimeError((self.directory / "log").read_text())

    def nodes(self) -> dict[str, Node]:
        """Give its process, under the broker's name."""
        assert self._process is not None, "it was not started"
        return {"1": Node("1", self._process.pid, self._port)}

    def memory_bytes(self, name: str) -> int:
        """Resident memory of the process."""
        return resident_bytes(self.nodes()[name].pid)

    def kill(self, *names: str) -> None:
        """SIGKILL it; returns when it is gone."""
        for name in names:
            os.kill(self.nodes()[name].pid, signal.SIGKILL)
        self.close()

    def close(self) -> None:
        """End it."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
