"""A cluster's directory: who runs there, on which ports, and where each keeps its data.

    DIR/cluster.json     bootstrap address, coordinator, nodes with their pids and ports
    DIR/coordinator/     data of the embedded coordinator
    DIR/broker-1/ ...    data of each broker
    DIR/logs/            what each process said

`cluster.json` is for scripts to read and for the commands to write, always as a whole.
Must never know: how processes are started, the Kafka protocol.
"""

from __future__ import annotations

import fcntl
import json
import os
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Any, Final

from msgspec import Struct
from msgspec.structs import replace

from commands.failure import CommandFailed, ExitStatus
from commands.process import Identity, is_running

if TYPE_CHECKING:
    from collections.abc import Iterator

DEFAULT_DIRECTORY: Final = Path("ottla-data")
HOST: Final = "127.0.0.1"
COORDINATOR: Final = "coordinator"
REGISTRY: Final = "registry"
FORMAT_VERSION: Final = 1


class Node(Struct, frozen=True):
    """One process: a broker (named by its id), the embedded coordinator, or the schema registry.

    `process` is None where it was never started or has been stopped on purpose; a process that
    died by itself is still named here, and is not running.
    """

    name: str
    port: int
    process: Identity | None = None
    started_at: str | None = None

    @property
    def is_broker(self) -> bool:
        """Say whether this is a broker."""
        return self.name not in (COORDINATOR, REGISTRY)

    @property
    def broker_id(self) -> int:
        """The id of a broker."""
        assert self.is_broker, f"the {self.name} has no broker id"
        return int(self.name)

    @property
    def title(self) -> str:
        """How to speak of it: `broker 1`, `coordinator`, `registry`."""
        return f"broker {self.name}" if self.is_broker else self.name

    @property
    def role(self) -> str:
        """What it is: `broker`, `coordinator` or `registry`."""
        return "broker" if self.is_broker else self.name

    @property
    def address(self) -> str:
        """Where it listens, `host:port`."""
        return f"{HOST}:{self.port}"

    @property
    def is_running(self) -> bool:
        """Say whether its process lives."""
        return self.process is not None and is_running(self.process)

    def running_as(self, process: Identity | None) -> Node:
        """Give the node with a process just started."""
        now = datetime.now(UTC).isoformat(timespec="milliseconds")
        return replace(self, process=process, started_at=now)

    def stopped(self) -> Node:
        """Give the node without a process."""
        return replace(self, process=None, started_at=None)


class Cluster(Struct, frozen=True):
    """The processes of one cluster on this machine.

    `zookeeper` names an outside coordinator, `settings` are given to every broker (key=value).
    """

    nodes: tuple[Node, ...]
    zookeeper: str | None = None
    settings: tuple[str, ...] = ()

    @property
    def brokers(self) -> tuple[Node, ...]:
        """The brokers, by id."""
        return tuple(node for node in self.nodes if node.is_broker)

    @property
    def registry(self) -> Node | None:
        """The schema registry, if there is one."""
        return next((node for node in self.nodes if node.name == REGISTRY), None)

    @property
    def running(self) -> tuple[Node, ...]:
        """The nodes whose process lives."""
        return tuple(node for node in self.nodes if node.is_running)

    @property
    def bootstrap(self) -> str:
        """The bootstrap servers for a Kafka client."""
        return ",".join(node.address for node in self.brokers)

    @property
    def coordinator(self) -> str:
        """Where the brokers find the coordination store."""
        if self.zookeeper is not None:
            return self.zookeeper
        return self.node(COORDINATOR).address

    def node(self, name: str) -> Node:
        """Find a node by broker id, `coordinator` or `registry`. Raises: CommandFailed."""
        for node in self.nodes:
            if node.name == name:
                return node
        names = ", ".join(node.name for node in self.nodes)
        raise CommandFailed(
            f"this cluster has no node '{name}'", next_step=f"choose one of {names}"
        )

    def with_node(self, changed: Node) -> Cluster:
        """Give the cluster with one node replaced."""
        nodes = tuple(changed if node.name == changed.name else node for node in self.nodes)
        return replace(self, nodes=nodes)


class ClusterDirectory:
    """The files of one cluster directory."""

    def __init__(self, path: Path) -> None:
        self.path = path.absolute()
        self._file = self.path / "cluster.json"

    def data_of(self, node: Node) -> Path:
        """Where a node keeps its data."""
        return self.path / (f"broker-{node.name}" if node.is_broker else node.name)

    def log_of(self, node: Node) -> Path:
        """Where the output of a node goes."""
        return self.path / "logs" / f"{self.data_of(node).name}.log"

    def exists(self) -> bool:
        """Say whether there is, or was, a cluster in this directory."""
        return self._file.exists()

    def load(self) -> Cluster:
        """Read `cluster.json`. Raises: CommandFailed (NOT_RUNNING) where there is none."""
        try:
            text = self._file.read_text(encoding="utf-8")
        except FileNotFoundError:
            raise self._no_cluster() from None
        try:
            return _cluster_of(json.loads(text))
        except (ValueError, KeyError, TypeError) as error:
            raise CommandFailed(
                f"{self._file} cannot be understood ({type(error).__name__}: {error})",
                next_step=f"remove that one file and run {self.command('up')} again; the data "
                "stays",
            ) from error

    def save(self, cluster: Cluster) -> None:
        """Replace `cluster.json` atomically. Raises: OSError."""
        text = json.dumps(self.describe(cluster), indent=2) + "\n"
        temporary = self._file.with_suffix(".json.tmp")
        try:
            temporary.write_text(text, encoding="utf-8")
            temporary.replace(self._file)
        except OSError as error:  # a full disk does not say which file it has no room for
            with suppress(OSError):
                temporary.unlink()
            raise OSError(error.errno, error.strerror, str(self._file)) from error

    def describe(self, cluster: Cluster) -> dict[str, Any]:
        """Give what `cluster.json` says, as plain values."""
        return {
            "format": FORMAT_VERSION,
            "bootstrap": cluster.bootstrap,
            "coordinator": cluster.coordinator,
            "zookeeper": cluster.zookeeper,
            "registry": f"http://{cluster.registry.address}" if cluster.registry else None,
            "settings": list(cluster.settings),
            "nodes": [self._describe_node(node) for node in cluster.nodes],
        }

    @contextmanager
    def changing(self, *, wait: bool = False) -> Iterator[None]:
        """Keep other commands from starting or stopping processes here meanwhile.

        Where another one is at it: waits for its end, or raises CommandFailed, as where there is
        no such directory.
        """
        try:
            descriptor = os.open(
                self.path / "cluster.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644
            )
        except FileNotFoundError:
            raise self._no_cluster() from None
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
            except BlockingIOError:
                raise CommandFailed(
                    f"another command is starting or stopping the cluster in {self.path}",
                    next_step="wait for it to end, and try again",
                ) from None
            yield
        finally:
            os.close(descriptor)

    def command(self, words: str) -> str:
        """Write, in quotes, how a command is given for the cluster in this directory."""
        is_default = self.path == DEFAULT_DIRECTORY.absolute()
        return (
            f"'ottla {words}'" if is_default else f"'ottla {words} --data {quote(str(self.path))}'"
        )

    def _no_cluster(self) -> CommandFailed:
        return CommandFailed(
            f"no cluster in {self.path}",
            next_step=f"start one with {self.command('up')}, or name its directory with --data",
            exit_status=ExitStatus.NOT_RUNNING,
        )

    def _describe_node(self, node: Node) -> dict[str, Any]:
        process = node.process
        return {
            "name": node.name,
            "role": node.role,
            "id": node.broker_id if node.is_broker else None,
            "host": HOST,
            "port": node.port,
            "pid": process.pid if process else None,
            "process_started": process.started if process else None,
            "started_at": node.started_at,
            "data": str(self.data_of(node)),
            "log": str(self.log_of(node)),
        }


def _cluster_of(facts: dict[str, Any]) -> Cluster:
    if facts["format"] != FORMAT_VERSION:
        raise ValueError(f"format {facts['format']}, this release reads {FORMAT_VERSION}")
    nodes = tuple(_node_of(node) for node in facts["nodes"])
    return Cluster(nodes, facts["zookeeper"], tuple(facts["settings"]))


def _node_of(facts: dict[str, Any]) -> Node:
    process = None
    if facts["pid"] is not None:
        process = Identity(int(facts["pid"]), str(facts["process_started"]))
    return Node(str(facts["name"]), int(facts["port"]), process, facts["started_at"])
