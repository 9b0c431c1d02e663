"""`ottla node`: kill, stop, start, pause and resume one process of a cluster.

Must never know: what the process does.
"""

from __future__ import annotations

import json
import signal
from typing import TYPE_CHECKING

import click

from commands.cluster_directory import HOST
from commands.failure import CommandFailed, ExitStatus
from commands.launch import Launcher, kill, stop
from commands.options import directory_option, json_option
from commands.ports import require_free
from commands.process import is_paused, send_signal

if TYPE_CHECKING:
    from collections.abc import Callable

    from commands.cluster_directory import ClusterDirectory, Node
    from commands.process import Identity

START_TIMEOUT_S = 30.0


@click.group()
def node() -> None:
    """Kill, stop, start, pause and resume single processes of a cluster.

    NODE is a broker's id, 'coordinator' or 'registry'.

    \b
    Example:
      $ ottla node kill 1 && ottla status
    """


def node_command(name: str) -> Callable[[Callable[..., None]], click.Command]:
    """Make a command of the group that acts on one node."""

    def decorate(act: Callable[..., None]) -> click.Command:
        command = json_option(directory_option(click.argument("name", metavar="NODE")(act)))
        return node.command(name)(command)

    return decorate


@node_command("kill")
def kill_node(directory: ClusterDirectory, name: str, *, as_json: bool) -> None:
    """Kill a node at once (SIGKILL): it says goodbye to nobody.

    \b
    Example:
      $ ottla node kill 2
    """
    with directory.changing():
        target = directory.load().node(name)
        require_running(directory, target)
        kill(target)
    tell(target, "killed", as_json=as_json)


@node_command("stop")
def stop_node(directory: ClusterDirectory, name: str, *, as_json: bool) -> None:
    """Stop a node cleanly (SIGTERM): a broker hands its partitions over first.

    \b
    Example:
      $ ottla node stop 2
    """
    with directory.changing():
        target = directory.load().node(name)
        require_running(directory, target)
        late = stop(directory, [target])
    tell(target, "killed, for it did not stop in time" if late else "stopped", as_json=as_json)


@node_command("start")
def start_node(directory: ClusterDirectory, name: str, *, as_json: bool) -> None:
    """Start a node that was killed or stopped, and wait until it answers.

    \b
    Example:
      $ ottla node start 2
    """
    with directory.changing():
        cluster = directory.load()
        target = cluster.node(name)
        if target.is_running:
            raise _running_already(directory, target)
        require_free(HOST, [target.port])
        launcher = Launcher(directory)
        target = launcher.start(cluster, [target]).node(name)
        launcher.wait_listening(target, timeout_s=START_TIMEOUT_S)
        launcher.require_own_port(target)
    tell(target, "started", as_json=as_json)


@node_command("pause")
def pause_node(directory: ClusterDirectory, name: str, *, as_json: bool) -> None:
    """Freeze a node (SIGSTOP): its connections stay open, and nothing answers.

    \b
    Example:
      $ ottla node pause 2
    """
    target = directory.load().node(name)
    send_signal(require_running(directory, target), signal.SIGSTOP)
    tell(target, "paused", as_json=as_json)


@node_command("resume")
def resume_node(directory: ClusterDirectory, name: str, *, as_json: bool) -> None:
    """Let a paused node go on (SIGCONT).

    \b
    Example:
      $ ottla node resume 2
    """
    target = directory.load().node(name)
    process = require_running(directory, target)
    if not is_paused(process):
        raise CommandFailed(
            f"{target.title} is not paused",
            next_step=f"pause it with {directory.command(f'node pause {target.name}')}",
        )
    send_signal(process, signal.SIGCONT)
    tell(target, "resumed", as_json=as_json)


def require_running(directory: ClusterDirectory, target: Node) -> Identity:
    """Give the live process of a node. Raises: CommandFailed (NOT_RUNNING)."""
    if target.process is None or not target.is_running:
        raise CommandFailed(
            f"{target.title} is not running",
            next_step=f"start it with {directory.command(f'node start {target.name}')}",
            exit_status=ExitStatus.NOT_RUNNING,
        )
    return target.process


def _running_already(directory: ClusterDirectory, target: Node) -> CommandFailed:
    if target.process is not None and is_paused(target.process):
        cause, command = "paused", f"node resume {target.name}"
        next_step = f"let it go on with {directory.command(command)}"
    else:
        cause, next_step = "running already", f"see it with {directory.command('status')}"
    return CommandFailed(
        f"{target.title} is {cause}",
        next_step=next_step,
        exit_status=ExitStatus.ALREADY_RUNNING,
    )


def tell(target: Node, outcome: str, *, as_json: bool) -> None:
    """Say what was done to a node."""
    pid = target.process.pid if target.process else None
    if as_json:
        click.echo(json.dumps({"node": target.name, "pid": pid, "outcome": outcome}))
    else:
        click.echo(f"{target.title} (pid {pid}) {outcome}")
