"""Runs main classes of Apache Kafka, from its own jars."""

from __future__ import annotations

import subprocess

TOOLS = "org.apache.kafka.tools"


class Java:
    """A Java with Apache Kafka on its class path."""

    def __init__(self, class_path: str) -> None:
        self._command = ["java", "-Xmx256m", "-XX:TieredStopAtLevel=1", "-cp", class_path]

    def run(self, main_class: str, *arguments: str, stdin: str = "") -> str:
        """Run a program to its end, which must be a good one. Returns: its standard output."""
        done = subprocess.run(
            [*self._command, main_class, *arguments],
            input=stdin,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, f"{main_class}: {done.stdout}\n{done.stderr}"
        return done.stdout
