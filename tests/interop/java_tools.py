"""Runs Apache Kafka's own tools, by the main classes of its jars."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

TOOLS = "org.apache.kafka.tools"
QUICK = ("-Xmx256m", "-XX:TieredStopAtLevel=1")


class Java:
    """Runs main classes of Apache Kafka, by default in a JVM that starts quickly and stays slow."""

    def __init__(self, class_path: str, *, options: Sequence[str] = QUICK) -> None:
        self._command = ["java", *options, "-cp", class_path]

    def run(self, main_class: str, *arguments: str, stdin: str = "", fails: bool = False) -> str:
        """Run one to its end. Returns: its output, and its errors where it is to fail."""
        done = subprocess.run(
            [*self._command, main_class, *arguments],
            input=stdin,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        said = f"{main_class}: {done.stdout}\n{done.stderr}"
        assert (done.returncode != 0) == fails, said
        return said if fails else done.stdout

    @contextmanager
    def running(self, main_class: str, *arguments: str, log: Path) -> Iterator[None]:
        """Have one run for the time of a `with`, and write what it says to a file."""
        with log.open("ab") as said:
            process = subprocess.Popen(
                [*self._command, main_class, *arguments], stdout=said, stderr=said
            )
        try:
            yield
            process.terminate()
            process.wait(60)
        finally:
            process.kill()
            process.wait()
