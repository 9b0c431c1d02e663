"""Decides which nodes a cluster on this machine shall have: ids, ports, settings. Pure.

Must never know: files, running processes, whether a port is free.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from msgspec import Struct
from msgspec.structs import replace

from commands.cluster_directory import COORDINATOR, REGISTRY, Cluster, Node
from commands.failure import CommandFailed
from commands.options import PORT_MAX

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

DEFAULT_BROKERS: Final = 3
DEFAULT_PORT: Final = 9092
COORDINATOR_PORT_DISTANCE: Final = 100
REGISTRY_PORT_DISTANCE: Final = -1_011
"""From the port of broker 1: 8081 beside 9092."""


class Wishes(Struct, frozen=True):
    """What the user said; None or empty where nothing was said."""

    brokers: int | None = None
    port: int | None = None
    zookeeper: str | None = None
    registry: bool | None = None
    settings: tuple[tuple[str, str], ...] = ()


def _in_quotes(words: str) -> str:
    return f"'ottla {words}'"


def plan(
    known: Cluster | None,
    wishes: Wishes,
    *,
    free_ports: Sequence[int] = (),
    command: Callable[[str], str] = _in_quotes,
) -> Cluster:
    """Give the cluster as it shall be, carrying on with a known one where there is one.

    `free_ports` are used, in order, where the wish is for port 0: one for each broker, one for
    the coordinator, one for the registry. `command` writes a command for this cluster.
    Raises: CommandFailed where a wish goes against what is there, or ports do not reach.
    """
    if known is None:
        cluster = _lay_out(wishes, wishes.brokers or DEFAULT_BROKERS, free_ports)
        if wishes.registry is not False:
            cluster = _with_registry(cluster, free_ports)
    else:
        cluster = _carry_on(known, wishes, free_ports, command)
    _require_ports(cluster)
    return cluster


def _carry_on(
    known: Cluster, wishes: Wishes, free_ports: Sequence[int], command: Callable[[str], str]
) -> Cluster:
    if wishes.zookeeper is not None and wishes.zookeeper != known.zookeeper:
        raise CommandFailed(
            f"this cluster's metadata is in the coordinator at {known.coordinator}",
            next_step="leave --zookeeper as it was, or start a new cluster with another --data",
        )
    count = wishes.brokers or len(known.brokers)
    if count < len(known.brokers):
        raise CommandFailed(
            f"this cluster has {len(known.brokers)} brokers, and records on all of them",
            next_step="leave out --brokers, or start a new cluster with another --data",
        )
    moved = replace(wishes, zookeeper=known.zookeeper)
    cluster = _grow(known, count) if wishes.port is None else _lay_out(moved, count, free_ports)
    if known.registry is not None if wishes.registry is None else wishes.registry:
        stays = known.registry if wishes.port is None else None
        port = stays.port if stays is not None else None
        cluster = _with_registry(cluster, free_ports, port=port)
    elif known.registry is not None and known.registry.is_running:
        raise CommandFailed(
            "the registry of this cluster runs",
            next_step=f"stop it with {command('node stop registry')} before it is left out",
        )
    ports = {node.name: node.port for node in cluster.nodes}
    if known.running and any(ports.get(node.name, node.port) != node.port for node in known.nodes):
        raise CommandFailed(
            f"the cluster runs with its first broker on port {known.brokers[0].port}",
            next_step=f"stop it with {command('down')} before it moves to another port",
        )
    processes = {node.name: node for node in known.nodes}
    nodes = tuple(
        replace(node, process=old.process, started_at=old.started_at)
        if (old := processes.get(node.name))
        else node
        for node in cluster.nodes
    )
    settings = tuple(f"{key}={value}" for key, value in wishes.settings) or known.settings
    return replace(cluster, nodes=nodes, settings=settings)


def _require_ports(cluster: Cluster) -> None:
    """Check that every node has a port that there is. Raises: CommandFailed."""
    beyond = next((node for node in cluster.nodes if not 0 < node.port <= PORT_MAX), None)
    if beyond is None:
        return
    first, ports = cluster.brokers[0].port, [node.port for node in cluster.nodes]
    least, most = 1 + first - min(ports), PORT_MAX + first - max(ports)
    without = "; --no-registry leaves it out" if beyond.name == REGISTRY else ""
    whose = beyond.title if beyond.is_broker else f"the {beyond.title}"
    raise CommandFailed(
        f"port {beyond.port}, which {whose} would have, does not exist",
        next_step=f"choose a --port from {least} to {most}{without}",
    )


def _lay_out(wishes: Wishes, brokers: int, free_ports: Sequence[int]) -> Cluster:
    first = DEFAULT_PORT if wishes.port is None else wishes.port
    ports = list(free_ports) if first == 0 else [*range(first, first + brokers)]
    nodes = [Node(str(index + 1), ports[index]) for index in range(brokers)]
    if wishes.zookeeper is None:
        port = ports[brokers] if first == 0 else first + COORDINATOR_PORT_DISTANCE
        nodes.insert(0, Node(COORDINATOR, port))
    settings = tuple(f"{key}={value}" for key, value in wishes.settings)
    return Cluster(tuple(nodes), wishes.zookeeper, settings)


def _grow(known: Cluster, brokers: int) -> Cluster:
    last = known.brokers[-1]
    added = range(1, brokers - len(known.brokers) + 1)
    nodes = tuple(Node(str(last.broker_id + step), last.port + step) for step in added)
    there = tuple(node for node in known.nodes if node.name != REGISTRY)
    return replace(known, nodes=there + nodes)


def _with_registry(
    cluster: Cluster, free_ports: Sequence[int], *, port: int | None = None
) -> Cluster:
    first = cluster.brokers[0].port
    if port is None and free_ports and first == free_ports[0]:
        port = free_ports[len(cluster.brokers) + 1]
    elif port is None:
        port = first + REGISTRY_PORT_DISTANCE
    return replace(cluster, nodes=(*cluster.nodes, Node(REGISTRY, port)))
