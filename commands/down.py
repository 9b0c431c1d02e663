"""`ottla down`: stop everything that runs in a cluster's directory.

Must never know: how a process is stopped (commands/launch.py).
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click

from commands.failure import CommandFailed, ExitStatus
from commands.launch import in_steps, stop, tell_killed
from commands.options import directory_option, json_option

if TYPE_CHECKING:
    from commands.cluster_directory import ClusterDirectory


@click.command()
@json_option
@directory_option
def down(directory: ClusterDirectory, *, as_json: bool) -> None:
    """Stop a cluster cleanly: the registry, then the brokers, then the coordinator.

    The data stays, and 'ottla up' carries on with it. Where nothing runs the exit status is 3.

    \b
    Example:
      $ ottla down
    """
    cluster = directory.load()
    with directory.changing():
        running = cluster.running
        killed = stop(directory, cluster.nodes)
    if not running:
        raise CommandFailed(
            f"nothing is running in {directory.path}",
            next_step=f"start it with {directory.command('up')}",
            exit_status=ExitStatus.NOT_RUNNING,
        )
    tell_killed(killed)
    in_order = [node for step in in_steps(running) for node in step]
    if as_json:
        nodes = {"stopped": in_order, "killed": killed}
        click.echo(json.dumps({how: [each.name for each in nodes[how]] for how in nodes}))
    else:
        click.echo(f"stopped {', '.join(node.title for node in in_order)}")
