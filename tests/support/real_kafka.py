"""Apache Kafka itself (4.3.1, KRaft), as processes on free ports: the judge of the judges.

It answers to the same calls as `LocalCluster`, so a test or a bench runs against either. Every
node is broker and controller at once. A test that fails here is a wrong test.
"""

from __future__ import annotations

import shutil
import signal
import socket
import subprocess
import time
import uuid
from base64 import urlsafe_b64encode
from dataclasses import dataclass
from pathlib import Path

import trio

from client import Admin, ConnectionBroken, NoBrokerReachable, RequestTimedOut
from tests.support.local_cluster import Node
from tests.support.needs import need
from tests.support.ports import free_ports
from tests.support.processes import dies_with_parent, resident_bytes

JARS = Path(__file__).parent.parent / "interop" / "java" / "target" / "jars"
START_TIMEOUT_S = 120.0
STOP_TIMEOUT_S = 60.0

DEFAULTS = {
    "process.roles": "broker,controller",
    "controller.listener.names": "CONTROLLER",
    "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
    "num.partitions": "1",
}


def require_kafka() -> None:
    """Skip, or under CI fail, where there is no Apache Kafka to start."""
    need("java", is_there=shutil.which("java") is not None)
    need("Apache Kafka (jars from Maven, see .ci/run)", is_there=JARS.is_dir())


@dataclass(frozen=True)
class Jvm:
    """How its JVMs run: little and quick to start for tests, compiled well for benches."""

    heap_mb: int = 320
    compiles_well: bool = False
    options: tuple[str, ...] = ()

    def command(self, main_class: str, *arguments: str) -> list[str]:
        """Make the command line of a main class."""
        quick = () if self.compiles_well else ("-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC")
        return [
            *dies_with_parent(),
            *("java", "-Xms64m", f"-Xmx{self.heap_mb}m", *quick, *self.options),
            *("-cp", f"{JARS}/*", main_class),
            *arguments,
        ]


DISTRIBUTED = Jvm(
    heap_mb=1_024,
    compiles_well=True,
    options=(
        "-Xms1024m",
        "-server",
        "-XX:+UseG1GC",
        "-XX:MaxGCPauseMillis=20",
        "-XX:InitiatingHeapOccupancyPercent=35",
        "-XX:+ExplicitGCInvokesConcurrent",
        "-Djava.awt.headless=true",
    ),
)
"""As the scripts of Apache Kafka's distribution start a server (kafka-server-start.sh, 4.3)."""


class RealKafka:
    """One or three nodes in a directory of their own; `close` ends them, whatever happened."""

    def __init__(
        self,
        directory: Path,
        *,
        brokers: int = 3,
        settings: tuple[str, ...] = (),
        jvm: Jvm | None = None,
    ) -> None:
        self.directory = directory / "kafka"
        self.port = free_ports()
        self._names = [str(index + 1) for index in range(brokers)]
        self._settings = dict(setting.split("=", 1) for setting in settings)
        self._jvm = jvm or Jvm()
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._formatted = False

    @property
    def bootstrap(self) -> str:
        """The addresses of its brokers."""
        return ",".join(f"127.0.0.1:{self._port(name)}" for name in self._names)

    def up(self) -> None:
        """Start it, or start again what does not run; returns when it serves."""
        self.format()
        self.start(*(name for name in self._names if not self._runs(name)))
        self._wait_until_complete()

    def format(self) -> None:
        """Make the directories of all nodes, as an operator does before the first start."""
        if self._formatted:
            return
        self.directory.mkdir(parents=True)
        # An id may not begin with a dash: the tool would take it for an option.
        cluster_id = "o" + urlsafe_b64encode(uuid.uuid4().bytes).decode()[:21]
        formatting = []
        for name in self._names:
            path = self.directory / f"{name}.properties"
            path.write_text("".join(f"{k}={v}\n" for k, v in self._properties(name).items()))
            command = self._jvm.command(
                "kafka.tools.StorageTool", "format", "-t", cluster_id, "-c", str(path)
            )
            formatting.append(subprocess.Popen(command, stdout=subprocess.PIPE, stderr=-2))
        for process in formatting:
            told, _ = process.communicate(timeout=START_TIMEOUT_S)
            if process.returncode != 0:
                raise RuntimeError(told.decode())
        self._formatted = True

    def down(self) -> None:
        """Stop all that runs, cleanly."""
        for process in self._processes.values():
            process.terminate()
        for process in self._processes.values():
            process.wait(STOP_TIMEOUT_S)

    def close(self) -> None:
        """End every process that is left."""
        for process in self._processes.values():
            process.kill()
            process.wait()

    def nodes(self) -> dict[str, Node]:
        """Its processes by name: `1`, `2`, ..."""
        return {
            name: Node(name, self._processes[name].pid, self._port(name))
            for name in self._names
            if self._runs(name)
        }

    def kill(self, *names: str) -> None:
        """SIGKILL nodes, as nearly at once as can be."""
        for name in names:
            self._processes[name].kill()
        for name in names:
            self._processes[name].wait()

    def pause(self, name: str) -> None:
        """SIGSTOP a node."""
        self._processes[name].send_signal(signal.SIGSTOP)

    def resume(self, name: str) -> None:
        """SIGCONT a node."""
        self._processes[name].send_signal(signal.SIGCONT)

    def start(self, *names: str) -> None:
        """Start nodes that do not run; returns when they listen."""
        for name in names:
            self._spawn(name)
        for name in names:
            self._wait_until_it_listens(name)

    def memory_bytes(self, name: str) -> int:
        """Resident memory of a node."""
        return resident_bytes(self._processes[name].pid)

    def logs(self) -> str:
        """What the nodes printed, for a test that failed; their logger says nothing."""
        return "\n".join(
            f"--- {path.name}\n{path.read_text()[-3000:]}" for path in self.directory.glob("*.out")
        )

    def _port(self, name: str) -> int:
        return self.port + int(name) - 1

    def _runs(self, name: str) -> bool:
        return name in self._processes and self._processes[name].poll() is None

    def _properties(self, name: str) -> dict[str, str]:
        copies = min(3, len(self._names))
        voters = ((n, self._port(n) + len(self._names)) for n in self._names)
        return {
            **DEFAULTS,
            "node.id": name,
            "log.dirs": str(self.directory / f"broker-{name}"),
            "controller.quorum.voters": ",".join(f"{n}@127.0.0.1:{p}" for n, p in voters),
            "listeners": f"PLAINTEXT://127.0.0.1:{self._port(name)}"
            f",CONTROLLER://127.0.0.1:{self._port(name) + len(self._names)}",
            "default.replication.factor": str(copies),
            "offsets.topic.replication.factor": str(copies),
            "transaction.state.log.replication.factor": str(copies),
            "transaction.state.log.min.isr": str(max(1, copies - 1)),
            "min.insync.replicas": str(max(1, copies - 1)),
            **self._settings,
        }

    def _spawn(self, name: str) -> None:
        with (self.directory / f"{name}.out").open("ab") as out:
            self._processes[name] = subprocess.Popen(
                self._jvm.command("kafka.Kafka", str(self.directory / f"{name}.properties")),
                stdout=out,
                stderr=out,
                cwd=self.directory,
            )

    def _wait_until_it_listens(self, name: str) -> None:
        deadline = time.monotonic() + START_TIMEOUT_S
        while True:
            try:
                socket.create_connection(("127.0.0.1", self._port(name)), timeout=1).close()
            except OSError:
                if not self._runs(name) or time.monotonic() > deadline:
                    raise RuntimeError(f"node {name} does not start\n{self.logs()}") from None
                time.sleep(0.05)
            else:
                return

    def _wait_until_complete(self) -> None:
        deadline = time.monotonic() + START_TIMEOUT_S
        while trio.run(_count_brokers, self.bootstrap) < len(self._names):
            if time.monotonic() > deadline:
                raise RuntimeError(f"the cluster is not complete\n{self.logs()}")
            time.sleep(0.1)


async def _count_brokers(bootstrap: str) -> int:
    try:
        async with Admin(bootstrap) as admin:
            return len((await admin.describe_cluster()).brokers)
    except (ConnectionBroken, NoBrokerReachable, RequestTimedOut):
        return 0
