"""`ottla status`: what runs, who leads, and what is wrong.

Must never know: how the facts are found out (commands/cluster_view.py).
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click
import trio

from client.environment import Environment
from commands.cluster_view import ClusterView, observe
from commands.columns import columns, count_of, mebibytes
from commands.failure import COMPLAINT, ExitStatus
from commands.launch import last_line
from commands.options import directory_option, json_option

if TYPE_CHECKING:
    from collections.abc import Iterator

    from commands.cluster_directory import ClusterDirectory
    from commands.cluster_view import NodeView


@click.command()
@directory_option
@json_option
def status(directory: ClusterDirectory, *, as_json: bool) -> ExitStatus:
    """Show the processes of a cluster and what its brokers say.

    The exit status is 0 where everything is well, 1 where something is not, and 3 where nothing
    runs.

    \b
    Example:
      $ ottla status
    """
    cluster = directory.load()
    view = trio.run(observe, cluster, Environment.real().network)
    if as_json:
        facts = directory.describe(cluster)
        click.echo(json.dumps(facts | describe_view(view, nodes=facts["nodes"]), indent=2))
    else:
        click.echo(table(view))
        click.echo(summary(view, directory))
        for line in _last_words(view, directory):
            click.echo(line)
        if view.is_up:
            click.echo(f"bootstrap {cluster.bootstrap}, coordinator {cluster.coordinator}")
            if cluster.registry is not None:
                click.echo(f"registry http://{cluster.registry.address}")
    if not view.is_up:
        return ExitStatus.NOT_RUNNING
    return ExitStatus.OK if view.is_well else ExitStatus.FAILURE


def table(view: ClusterView) -> str:
    """Write the processes in columns."""
    header = ("NODE", "STATE", "PID", "PORT", "ROLE", "LEADERS", "REPLICAS", "MEMORY")
    return columns(header, [_row(node) for node in view.nodes])


def summary(view: ClusterView, directory: ClusterDirectory) -> str:
    """Say in one line how the partitions are."""
    if not view.is_up:
        return f"nothing is running; start it with {directory.command('up')}"
    if view.cluster_id is None:
        return "no broker answers"
    line = f"{count_of(view.topics, 'topic')}, {count_of(view.partitions, 'partition')}"
    if view.without_leader:
        line += f", {view.without_leader} WITHOUT A LEADER"
    if view.under_replicated:
        line += f", {view.under_replicated} under-replicated"
    return line


def role_of(view: NodeView) -> str:
    """Name what a process does: broker, controller (a broker too), coordinator or registry."""
    if view.is_controller:
        return "controller"
    return view.node.role


def describe_view(view: ClusterView, *, nodes: list[dict[str, Any]]) -> dict[str, Any]:
    """Give the view as plain values, added to what `cluster.json` says of the nodes."""
    controller = next((v.node.broker_id for v in view.nodes if v.is_controller), None)
    return {
        "well": view.is_well,
        "cluster_id": view.cluster_id,
        "controller_id": controller,
        "topics": view.topics,
        "partitions": view.partitions,
        "partitions_without_leader": view.without_leader,
        "under_replicated_partitions": view.under_replicated,
        "nodes": [
            node
            | {
                "state": found.state,
                "memory_bytes": found.memory_bytes,
                "controller": found.is_controller,
                "leaders": found.leaders,
                "replicas": found.replicas,
            }
            for node, found in zip(nodes, view.nodes, strict=True)
        ],
    }


def _last_words(view: ClusterView, directory: ClusterDirectory) -> Iterator[str]:
    """Say of each dead process why it ended, where it has said so itself."""
    for found in view.nodes:
        said = last_line(directory.log_of(found.node)) if found.state == "dead" else ""
        if said.startswith(COMPLAINT):
            yield f"{found.node.title} has ended: {said.removeprefix(COMPLAINT)}"


def _row(view: NodeView) -> list[str]:
    node = view.node
    pid = str(node.process.pid) if node.process and view.state != "dead" else "-"
    counts = [str(view.leaders), str(view.replicas)] if node.is_broker else ["-", "-"]
    memory = mebibytes(view.memory_bytes)
    return [node.title, view.state, pid, str(node.port), role_of(view), *counts, memory]
