"""A cluster of real processes that a test starts, breaks and has judged, whatever its clients are.

It is driven through the command line alone, as users do. Everything here blocks: tests of clients
that have an event loop call it from a thread, or between the awaits.
Must never know: clients, test frameworks.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any, Final

from chaos.checker import Promises, check

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from chaos.history import Operation

COMMAND_TIMEOUT_S: Final = 60.0
HEALED_WITHIN_S: Final = 60.0
LOOK_EVERY_S: Final = 0.1
SIGNS_OF_A_BUG: Final = ("Traceback (most recent call last)", "event=request_crashed")


class ClusterTrouble(Exception):
    """A cluster did not do what it should, or a command about it failed; the text says what."""


class RunningCluster:
    """Three brokers and a coordinator, unless told otherwise, on free ports of 127.0.0.1.

    `settings` are every broker's, by Kafka's names. Faults may be planted in its brokers.
    """

    def __init__(
        self, directory: Path, *, brokers: int = 3, settings: Mapping[str, str] | None = None
    ) -> None:
        self.directory = directory
        self.brokers = tuple(range(1, brokers + 1))
        self._settings = {"ottla.fault.injection": "true", **(settings or {})}
        self._planted: dict[int, str] = {}
        self.bootstrap = ""

    def start(self) -> None:
        """Start everything; returns once records are accepted. Raises: ClusterTrouble."""
        settings = [f"--set={key}={value}" for key, value in self._settings.items()]
        count = str(len(self.brokers))
        told = self._ottla("up", "--brokers", count, "--port", "0", "--detach", "--json", *settings)
        self.bootstrap = json.loads(told)["bootstrap"]

    def close(self) -> None:
        """End everything, whatever state it is in."""
        for name in self._nodes("paused"):
            self.resume(name)
        subprocess.run(
            [*_OTTLA, "down", "--data", str(self.directory)],
            capture_output=True,
            timeout=COMMAND_TIMEOUT_S,
            check=False,
        )

    # Breaking and mending. A node is a broker's id, or "coordinator".

    def kill(self, node: int | str) -> None:
        """End its process with SIGKILL. Raises: ClusterTrouble, as all of these."""
        self._node("kill", node)

    def stop(self, node: int | str) -> None:
        """Have it hand over and end."""
        self._node("stop", node)

    def start_again(self, node: int | str) -> None:
        """Start a process that has ended."""
        self._node("start", node)

    def pause(self, node: int | str) -> None:
        """SIGSTOP its process."""
        self._node("pause", node)

    def resume(self, node: int | str) -> None:
        """SIGCONT its process."""
        self._node("resume", node)

    def plant(self, faults: str, *, broker: int | None = None) -> None:
        """Have requests at one broker, or at all, meet these faults instead of others before.

        The grammar is that of `ottla.faults`, for instance `Produce=drop@1`; "" takes them out.
        """
        for broker_id in self.brokers if broker is None else (broker,):
            if faults == self._planted.get(broker_id, ""):
                continue
            self._planted[broker_id] = faults
            change = f"--set=ottla.faults={faults}" if faults else "--unset=ottla.faults"
            self._client("config", "alter", "broker", str(broker_id), change)
            self._wait_planted(broker_id, faults)

    def _wait_planted(self, broker_id: int, faults: str) -> None:
        """Wait until the broker says so in its log: from then on requests meet them."""
        log = self.directory / "logs" / f"broker-{broker_id}.log"
        wanted = f"event=faults_planted faults={json.dumps(faults) if faults else 'none'}"
        deadline = time.monotonic() + HEALED_WITHIN_S
        while not any(wanted in line for line in _last_planted(log.read_text())):
            if time.monotonic() > deadline:
                raise ClusterTrouble(f"broker {broker_id} does not take the faults {faults!r}")
            time.sleep(LOOK_EVERY_S)

    # Judging.

    def heal(self) -> None:
        """Take out all faults, start and resume everything; returns once all is well.

        Raises: ClusterTrouble, where that takes longer than a minute.
        """
        for name in self._nodes("paused"):
            self.resume(name)
        for name in self._nodes("dead", "stopped"):
            self.start_again(name)
        deadline = time.monotonic() + HEALED_WITHIN_S
        while not self.status().get("well"):
            if time.monotonic() > deadline:
                raise ClusterTrouble(f"not well after {HEALED_WITHIN_S:g} s: {self.status()}")
            time.sleep(LOOK_EVERY_S)
        self.plant("")

    def check(self, history: Iterable[Operation] = (), *, promises: Promises | None = None) -> None:
        """Heal, and demand that the cluster is at full strength and no broker met a bug.

        A `history` of what clients did and were told is judged as well (chaos/checker.py).
        Raises: ClusterTrouble, AssertionError naming the anomalies.
        """
        self.heal()
        for log in sorted((self.directory / "logs").glob("*.log")):
            lines = log.read_text().splitlines()
            for number, line in enumerate(lines):
                if any(sign in line for sign in SIGNS_OF_A_BUG):
                    shown = "\n".join(lines[max(0, number - 2) : number + 20])
                    raise ClusterTrouble(f"{log.name} tells of a bug:\n{shown}")
        anomalies = check(history, promises)
        assert not anomalies, "\n".join(map(str, anomalies))

    def status(self) -> dict[str, Any]:
        """Give what `ottla status --json` says."""
        done = subprocess.run(
            [*_OTTLA, "status", "--json", "--data", str(self.directory)],
            capture_output=True,
            text=True,
            timeout=COMMAND_TIMEOUT_S,
            check=False,
        )
        told: dict[str, Any] = json.loads(done.stdout) if done.stdout else {}
        return told

    def _nodes(self, *states: str) -> list[str]:
        nodes = self.status().get("nodes", [])
        return [node["name"] for node in nodes if node["state"] in states]

    def _node(self, act: str, node: int | str) -> None:
        self._ottla("node", act, str(node))

    def _client(self, *arguments: str) -> None:
        _run(*arguments, "--bootstrap", self.bootstrap)

    def _ottla(self, *arguments: str) -> str:
        return _run(*arguments, "--data", str(self.directory))


_OTTLA: Final = (sys.executable, "-P", "-m", "cli")


def _run(*arguments: str) -> str:
    done = subprocess.run(
        [*_OTTLA, *arguments],
        capture_output=True,
        text=True,
        timeout=COMMAND_TIMEOUT_S,
        check=False,
    )
    if done.returncode != 0:
        raise ClusterTrouble(f"ottla {' '.join(arguments)}: {done.stderr.strip()}")
    return done.stdout


def _last_planted(log: str) -> list[str]:
    return [line for line in log.splitlines() if "event=faults_planted" in line][-1:]
