"""Starts and stops the processes of a cluster: the coordinator goes last.

Must never know: how to see whether the cluster serves (commands/readiness.py), tables.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Final

import click

from commands.cluster_directory import (
    COORDINATOR,
    HOST,
    REGISTRY,
    Cluster,
    ClusterDirectory,
    Node,
)
from commands.failure import COMPLAINT, CommandFailed, ExitStatus
from commands.ports import describe_holder, is_held_by_another
from commands.process import POLL_INTERVAL_S, is_ending, send_signal, spawn, wait_gone

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterable
    from pathlib import Path

    from commands.end_signals import EndSignals

LOCAL_SETTINGS: Final = ("group.initial.rebalance.delay.ms=0",)
"""What suits a cluster on one machine, as in Kafka's sample configuration: a group's first member
need not wait for others. `--set` overrides it."""

STOP_TIMEOUT_S: Final = 50.0
"""Longer than a broker takes that waits for its replicas and then for the controller."""
KILL_TIMEOUT_S: Final = 5.0
_LOG_TAIL_BYTES: Final = 4_096


class Launcher:
    """Starts nodes of one directory and remembers the children, which it must reap."""

    def __init__(self, directory: ClusterDirectory) -> None:
        self._directory = directory
        self._children: list[subprocess.Popen[bytes]] = []
        self._started: list[Node] = []

    def start(self, cluster: Cluster, nodes: Iterable[Node]) -> Cluster:
        """Start nodes side by side; brokers wait for the coordinator by themselves.

        Returns: the cluster with the new processes, saved. Raises: OSError; what was started by
        then is stopped again.
        """
        try:
            return self._start(cluster, nodes)
        except BaseException:
            self.stop_started()
            raise

    def _start(self, cluster: Cluster, nodes: Iterable[Node]) -> Cluster:
        self._directory.save(cluster)
        for node in nodes:
            log = self._directory.log_of(node)
            log.parent.mkdir(parents=True, exist_ok=True)
            child, identity = spawn(
                command_of(node, cluster=cluster, data=self._directory.data_of(node)),
                directory=self._directory.path,
                log=log,
                environment=os.environ,
            )
            self._children.append(child)
            self._started.append(node.running_as(identity))
            cluster = cluster.with_node(self._started[-1])
            self._directory.save(cluster)
        return cluster

    def stop_started(self) -> None:
        """Stop all that was started here, by what is remembered of it.

        The directory may not say so: the disk may have been full when it was to be told.
        """
        _terminate_in_order(self._started)
        self.reap()

    def reap(self) -> None:
        """Take note of children that have ended, so that none stays a zombie."""
        self._children = [child for child in self._children if child.poll() is None]

    def wait_listening(
        self, node: Node, *, timeout_s: float, ends: EndSignals | None = None
    ) -> None:
        """Block until a node just started accepts connections.

        Raises: CommandFailed; KeyboardInterrupt where the end is asked for meanwhile.
        """
        deadline = time.monotonic() + timeout_s
        while not _accepts(node):
            if ends is not None:
                ends.raise_if_told()
            self.reap()
            if not node.is_running:
                raise died(node, self._directory)
            if time.monotonic() > deadline:
                raise CommandFailed(
                    f"{node.title} does not listen after {timeout_s:.0f} s",
                    next_step=f"see {self._directory.log_of(node)}",
                )
            time.sleep(POLL_INTERVAL_S)

    def require_alive(self, cluster: Cluster) -> None:
        """Check that every node lives. Raises: CommandFailed with the last line of its log."""
        self.reap()
        for node in cluster.nodes:
            if not node.is_running:
                raise died(node, self._directory)

    def require_own_port(self, node: Node) -> None:
        """Check that it is this node that answers at its port, where somebody does.

        Another process may have taken it after it was seen to be free: whatever is written to it
        then is in another cluster. Raises: CommandFailed.
        """
        if node.process is None or not node.is_running:
            raise died(node, self._directory)
        if is_held_by_another(node.port, node.process.pid):
            holder = describe_holder(node.port) or "another process"
            raise CommandFailed(
                f"port {node.port} of {node.title} was taken meanwhile by {holder}",
                next_step="stop it, or choose other ports with --port",
            )


def command_of(node: Node, *, cluster: Cluster, data: Path) -> list[str]:
    """Give the command line that runs a node in the foreground."""
    # -P: the current directory must not decide which `cli` or `client` is imported.
    command = [sys.executable, "-P", "-m", "cli"]
    if node.name == REGISTRY:
        command += ["registry", "--bootstrap", cluster.bootstrap, "--listen", node.address]
        return [*command, "--zookeeper", cluster.coordinator]
    if node.name == COORDINATOR:
        return [*command, "zookeeper", "--data", str(data), "--listen", node.address]
    command += ["broker", "--id", node.name, "--data", str(data), "--listen", node.address]
    command += ["--zookeeper", cluster.coordinator]
    for setting in (*LOCAL_SETTINGS, *cluster.settings):
        command += ["--set", setting]
    return command


def stop(directory: ClusterDirectory, nodes: Iterable[Node]) -> list[Node]:
    """Stop nodes cleanly: the registry, all brokers, the coordinator. Nobody outlives this.

    Returns: those that did not stop in time and were killed. Raises: CommandFailed.
    """
    nodes = list(nodes)
    killed = _terminate_in_order(nodes)
    directory.save(without(directory.load(), nodes))
    return killed


def without(cluster: Cluster, nodes: Iterable[Node]) -> Cluster:
    """Give a cluster of which these nodes do not run."""
    for node in nodes:
        cluster = cluster.with_node(node.stopped())
    return cluster


def stop_all(directory: ClusterDirectory, cluster: Cluster) -> None:
    """Stop all of a cluster that this command runs, also where the terminal is gone.

    Where the directory is gone, too, what ran of it as last known is stopped.
    """
    with suppress(OSError):
        click.echo("stopping ...", err=True)
    try:
        with directory.changing(wait=True):
            killed = stop(directory, directory.load().nodes)
    except CommandFailed as error:
        if error.exit_status is not ExitStatus.NOT_RUNNING:
            raise
        killed = _terminate_in_order(cluster.nodes)
    with suppress(OSError):
        tell_killed(killed)


def tell_killed(nodes: Iterable[Node]) -> None:
    """Say of each node that did not stop in time that it was killed."""
    for node in nodes:
        click.echo(f"{node.title} did not stop in {STOP_TIMEOUT_S:.0f} s and was killed", err=True)


def wait_for_ending(cluster: Cluster) -> None:
    """Wait until the nodes that somebody has just killed are gone, so that they do not count."""
    for node in cluster.nodes:
        if node.process is not None and is_ending(node.process):
            wait_gone(node.process, timeout_s=KILL_TIMEOUT_S)


def kill(node: Node) -> None:
    """Kill -9 one node and wait until it is gone. Raises: CommandFailed."""
    assert node.process is not None, "checked by the caller"
    send_signal(node.process, signal.SIGKILL)
    if not wait_gone(node.process, timeout_s=KILL_TIMEOUT_S):
        raise CommandFailed(
            f"{node.title} (pid {node.process.pid}) does not go after kill -9",
            next_step="it hangs in the operating system, probably on its disk",
        )


def died(node: Node, directory: ClusterDirectory) -> CommandFailed:
    """Tell that a node ended by itself, with the last thing that it said."""
    log = directory.log_of(node)
    last = last_line(log)
    said = f": {last.removeprefix(COMPLAINT)}" if last else ""
    return CommandFailed(f"{node.title} has ended{said}", next_step=f"its log is {log}")


def last_line(log: Path) -> str:
    """Give the last line of a log that says something."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - _LOG_TAIL_BYTES))
            lines = file.read().decode(errors="replace").splitlines()
    except OSError:
        return ""
    return next((line.strip() for line in reversed(lines) if line.strip()), "")


def _accepts(node: Node) -> bool:
    try:
        socket.create_connection((HOST, node.port), timeout=1.0).close()
    except OSError:
        return False
    return True


def in_steps(nodes: Iterable[Node]) -> list[list[Node]]:
    """Give nodes in the order in which they are stopped: each step needs those behind it."""
    nodes = list(nodes)
    return [
        [node for node in nodes if node.name == REGISTRY],
        [node for node in nodes if node.is_broker],
        [node for node in nodes if node.name == COORDINATOR],
    ]


def _terminate_in_order(nodes: Iterable[Node]) -> list[Node]:
    return [killed for step in in_steps(nodes) for killed in _terminate(step)]


def _terminate(nodes: list[Node]) -> list[Node]:
    for node in nodes:
        if node.process is not None and send_signal(node.process, signal.SIGTERM):
            # One that is paused hears nothing before it goes on.
            send_signal(node.process, signal.SIGCONT)
    deadline = time.monotonic() + STOP_TIMEOUT_S
    late = [
        node
        for node in nodes
        if node.process is not None
        and not wait_gone(node.process, timeout_s=max(0.0, deadline - time.monotonic()))
    ]
    for node in late:
        kill(node)
    return late
