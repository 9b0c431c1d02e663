"""A member of a group as a process: started, watched, told to leave, killed, paused.

Must never know: what a right run is.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.support.groups import events
from tests.support.groups.events import Event, Partition, owned_now
from tests.support.groups.program import MemberSpec
from tests.support.processes import dies_with_parent
from tests.support.real_kafka import JARS

ROOT = Path(__file__).parent.parent.parent.parent
LEAVE_TIMEOUT_S = 60.0
RDKAFKA_DEBUG = "%7|"
POSITIONING = {
    "OFFSETFETCH",
    "OFFSET",
    "OFFREQ",
    "FETCHDEC",
    "PARTSTATE",
    "VALIDATE",
    "OFFSETVALID",
}
"""The kinds of librdkafka's debugging lines that tell where a partition is read from, and why."""
POSITIONING_LINES = 25
JAVA_ASSIGNORS = {
    "range": "RangeAssignor",
    "roundrobin": "RoundRobinAssignor",
    "sticky": "StickyAssignor",
    "cooperative-sticky": "CooperativeStickyAssignor",
}


class Member:
    """A running member; its reports are collected as they come."""

    def __init__(self, spec: MemberSpec, directory: Path) -> None:
        self.spec = spec
        self.events: list[Event] = []
        self._said = directory / f"{spec.name}.err"
        self._directory = directory
        with self._said.open("ab") as said:
            self._process = subprocess.Popen(
                [*dies_with_parent(), *self._command()],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=said,
                cwd=ROOT,
            )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    @property
    def is_running(self) -> bool:
        """Say whether its process lives."""
        return self._process.poll() is None

    @property
    def has_failed(self) -> bool:
        """Say whether it gave up by itself."""
        return any(isinstance(event, events.Failed) for event in list(self.events))

    @property
    def history(self) -> list[Event]:
        """Its events in the order in which they happened."""
        return sorted(self.events, key=lambda event: event.at_ms)

    @property
    def owned(self) -> frozenset[Partition]:
        """What it owns, as far as it knows."""
        return owned_now(list(self.events))

    def ask_to_leave(self) -> None:
        """Tell it to leave the group, without waiting."""
        stdin = self._process.stdin
        assert stdin is not None
        stdin.close()

    def leave(self) -> None:
        """Have it leave the group and end; returns when all its reports are in."""
        self.ask_to_leave()
        self.join()

    def join(self) -> None:
        """Wait until it has ended and all its reports are in."""
        self._process.wait(LEAVE_TIMEOUT_S)
        self._reader.join(LEAVE_TIMEOUT_S)
        self._close_pipes()

    def kill(self) -> None:
        """SIGKILL it."""
        self.close()
        self.events.append(events.Killed(now_ms()))

    def pause(self) -> None:
        """SIGSTOP it."""
        # What it does until the signal arrives, it does as a member.
        self._process.send_signal(signal.SIGSTOP)
        self.events.append(events.Paused(now_ms()))

    def resume(self) -> None:
        """SIGCONT it."""
        self.events.append(events.Resumed(now_ms()))
        self._process.send_signal(signal.SIGCONT)

    def tell_what_it_does(self) -> None:
        """Have it write what each of its threads does, where it can."""
        self._process.send_signal(signal.SIGUSR1)

    def close(self) -> None:
        """End it, whatever it does."""
        self._process.kill()
        self.join()

    def complaints(self) -> str:
        """The end of what it wrote to its standard error, without librdkafka's debugging."""
        said = self._said.read_text(errors="replace").splitlines()
        return "\n".join(line for line in said if not line.startswith(RDKAFKA_DEBUG))[-4000:]

    def on_partition(self, partition: Partition) -> list[str]:
        """What librdkafka last wrote about where it begins to read a partition, and why."""
        name = f"{partition.topic} [{partition.index}]"
        said = self._said.read_text(errors="replace").splitlines()
        return [
            line
            for line in said
            if name in line and line.startswith(RDKAFKA_DEBUG) and line.split("|")[2] in POSITIONING
        ][-POSITIONING_LINES:]

    def _close_pipes(self) -> None:
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe is not None
            pipe.close()

    def _command(self) -> list[str]:
        module = f"tests.support.groups.{self.spec.client.replace('-', '_')}_member"
        return [sys.executable, "-m", module, self.spec.to_json()]

    def _read(self) -> None:
        stdout = self._process.stdout
        assert stdout is not None
        for line in stdout:
            if line.endswith(b"\n"):  # Killed, it may have got no further.
                self.events.extend(self._parse(json.loads(line)))

    def _parse(self, told: dict[str, Any]) -> Iterator[Event]:
        at_ms = told["at_ms"]
        match told["event"]:
            case "assigned":
                yield events.Assigned(at_ms, _partitions(told["partitions"]))
            case "revoked":
                yield events.Revoked(at_ms, _partitions(told["partitions"]))
            case "lost":
                yield events.Lost(at_ms, _partitions(told["partitions"]))
            case "consumed":
                for topic, index, first, last in told["runs"]:
                    yield events.Consumed(at_ms, Partition(topic, index), first, last)
            case "committed":
                offsets = tuple((Partition(t, p), o) for t, p, o in told["offsets"])
                yield events.Committed(at_ms, offsets, told["error"])
            case "left":
                yield events.Left(at_ms)
            case "failed":
                yield events.Failed(at_ms, told["error"])


class JavaMember(Member):
    """Apache Kafka's VerifiableConsumer, unchanged: Java's consumer, a commit after each batch."""

    def tell_what_it_does(self) -> None:
        """Java's consumer is no program of ours."""

    def ask_to_leave(self) -> None:
        """SIGTERM is how it is told."""
        self._process.terminate()

    def _command(self) -> list[str]:
        spec = self.spec
        config = self._directory / f"{spec.name}.properties"
        config.write_text(
            f"client.id={spec.name}\n"
            f"heartbeat.interval.ms={spec.heartbeat_interval_ms}\n"
            f"metadata.max.age.ms={spec.metadata_max_age_ms}\n"
            "max.poll.records=200\nreconnect.backoff.max.ms=500\n"
        )
        (topic,) = spec.topics
        static = () if spec.instance_id is None else ("--group-instance-id", spec.instance_id)
        return [
            *("java", "-Xmx96m", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC"),
            *("-cp", f"{JARS}/*", "org.apache.kafka.tools.VerifiableConsumer"),
            *("--bootstrap-server", spec.bootstrap, "--topic", topic, "--group-id", spec.group),
            *("--session-timeout", str(spec.session_timeout_ms)),
            "--assignment-strategy",
            f"org.apache.kafka.clients.consumer.{JAVA_ASSIGNORS[spec.assignor]}",
            *("--command-config", str(config)),
            *static,
        ]

    def _parse(self, told: dict[str, Any]) -> Iterator[Event]:
        at_ms = told["timestamp"]
        match told["name"]:
            case "partitions_assigned":
                yield events.Assigned(at_ms, _java_partitions(told["partitions"]))
            case "partitions_revoked":
                # It calls what it lost revoked as well.
                yield events.Revoked(at_ms, _java_partitions(told["partitions"]))
            case "records_consumed":
                for read in told["partitions"]:
                    partition = Partition(read["topic"], read["partition"])
                    first, last = read["minOffset"], read["maxOffset"]
                    if read["count"] == last - first + 1:
                        yield events.Consumed(at_ms, partition, first, last)
                    else:  # Which are missing it does not say; the checker sees a gap.
                        yield events.Consumed(at_ms, partition, first, first)
                        yield events.Consumed(at_ms, partition, last, last)
            case "offsets_committed":
                if told["offsets"]:
                    offsets = tuple(
                        (Partition(o["topic"], o["partition"]), o["offset"])
                        for o in told["offsets"]
                    )
                    error = None if told["success"] else (told["error"] or "failed")
                    yield events.Committed(at_ms, offsets, error)
            case "shutdown_complete":
                yield events.Left(at_ms)


def start_member(spec: MemberSpec, directory: Path) -> Member:
    """Start a member of the kind that `spec.client` names."""
    return (JavaMember if spec.client == "java" else Member)(spec, directory)


def now_ms() -> int:
    """The clock of all members."""
    return time.time_ns() // 1_000_000


def _partitions(told: list[tuple[str, int]]) -> tuple[Partition, ...]:
    return tuple(Partition(topic, index) for topic, index in told)


def _java_partitions(told: list[dict[str, Any]]) -> tuple[Partition, ...]:
    return tuple(Partition(one["topic"], one["partition"]) for one in told)
