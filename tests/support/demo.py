"""`ottla demo` as a process, on free ports and in a directory of its own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx

from tests.support.ports import free_port, free_ports

READY_WITHIN_S = 120
SETTLED_WITHIN_S = 60
ENDED_WITHIN_S = 60
LOOK_S = 0.2


class Demo:
    """One demo; `close` ends every process of it, whatever happened."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory / "demo"
        self.output = directory / "output"
        self.ports = free_ports(), free_port()
        self.url = f"http://127.0.0.1:{self.ports[1]}"
        self.process: subprocess.Popen[bytes] | None = None
        self._http = httpx.Client(base_url=self.url, timeout=60, trust_env=False)

    def start(self) -> None:
        """Start it; returns once its page can be had."""
        port, web_port = map(str, self.ports)
        command = [sys.executable, "-m", "cli", "demo", "--no-browser"]
        command += ["--data", str(self.directory), "--port", port, "--web-port", web_port]
        with self.output.open("wb") as output:
            self.process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self.wait_for("the page", READY_WITHIN_S, self._is_announced)

    def _is_announced(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, self.output.read_text()
        return "the page is at" in self.output.read_text()

    def state(self, user: str = "you") -> dict[str, Any]:
        """What the page shows to somebody; asked again while the page's service is away."""
        deadline = time.monotonic() + SETTLED_WITHIN_S
        while True:
            try:
                answer = self._http.get("/api/state", params={"user": user})
            except httpx.TransportError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(LOOK_S)
            else:
                return dict(answer.raise_for_status().json())

    def do(self, path: str, **fields: Any) -> dict[str, Any]:
        """Do what a button of the page does."""
        answer = self._http.post(path, json=fields)
        assert answer.is_success, f"{path}: {answer.status_code} {answer.text}\n{self.logs()}"
        return dict(answer.json())

    def wait_for(self, what: str, timeout_s: float, is_so: Callable[[], Any]) -> None:
        """Look again and again until something is so."""
        deadline = time.monotonic() + timeout_s
        while not is_so():
            if time.monotonic() > deadline:
                raise AssertionError(f"{what}: not within {timeout_s} s\n{self.logs()}")
            time.sleep(LOOK_S)

    def post(self, user: str, text: str) -> dict[str, Any]:
        """Post something, and wait until it can be liked."""
        posted = self.do("/api/posts", user=user, text=text)

        def is_there() -> bool:
            return any(each["post_id"] == posted["post_id"] for each in self.state(user)["feed"])

        self.wait_for(f"the post {text!r} in the feed", SETTLED_WITHIN_S, is_there)
        return posted

    def wait_whole(self, beyond: int = 0) -> dict[str, Any]:
        """Wait until all processes run, and more is acknowledged than a number, and seen."""
        state: dict[str, Any] = {}

        def is_whole() -> bool:
            state.update(self.state())
            proof = state["proof"]
            assert proof["twice"] == 0, proof
            return (
                proof["acknowledged"] > beyond
                and proof["waiting_s"] < 3
                and all(each["state"] == "running" for each in state["services"])
                and all(each["state"] == "running" for each in state["brokers"])
                and len(state["in_sync"]) == 3
                and all(count == 3 for count in state["in_sync"].values())
            )

        self.wait_for("all is well again", SETTLED_WITHIN_S, is_whole)
        return state

    def interrupt(self) -> int:
        """Press Ctrl-C. Returns: the exit status."""
        assert self.process is not None
        self.process.send_signal(signal.SIGINT)
        return self.process.wait(ENDED_WITHIN_S)

    def processes(self) -> list[int]:
        """Who runs with this directory on the command line."""
        found = []
        for entry in Path("/proc").glob("[0-9]*"):
            try:
                command = (entry / "cmdline").read_bytes()
            except OSError:
                continue
            if str(self.directory).encode() in command:
                found.append(int(entry.name))
        return found

    def logs(self) -> str:
        """The output, and the end of every process's log."""
        logs = [self.output, *sorted((self.directory / "logs").glob("*.log"))]
        return "\n".join(
            "\n".join([f"--- {path.name}", *path.read_text().splitlines()[-25:]])
            for path in logs
            if path.exists()
        )

    def close(self) -> None:
        """End all of it: first as a user would, then by the pid of whoever is left.

        Raises: AssertionError where a user would wait in vain.
        """
        self._http.close()
        told = ""
        if self.process is not None and self.process.poll() is None:
            try:
                self.interrupt()
            except subprocess.TimeoutExpired:
                told = self.logs()
                self.process.kill()
                self.process.wait()
        for pid in self.processes():
            with suppress(ProcessLookupError):  # it has ended since
                os.kill(pid, signal.SIGKILL)
        slow = [line for line in self.output.read_text().splitlines() if "did not stop" in line]
        assert not slow, f"{slow}\n{self.logs()}"
        assert not told, f"Ctrl-C did not end the demo within {ENDED_WITHIN_S} s\n{told}"
