"""`ottla up`: a cluster of processes on this machine, in front of the terminal or detached.

Everything that takes long to import waits until the processes have been started.
Must never know: the Kafka protocol, how a process is started.
"""

from __future__ import annotations

import json
import signal
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

import click
from msgspec.structs import replace

from commands.cluster_directory import HOST, Cluster, ClusterDirectory
from commands.columns import count_of
from commands.end_signals import EndSignals, end_signals
from commands.failure import CommandFailed, ExitStatus
from commands.launch import Launcher, stop_all, wait_for_ending, without
from commands.options import PORT_MAX, Pair, directory_option, json_option
from commands.plan import (
    COORDINATOR_PORT_DISTANCE,
    DEFAULT_BROKERS,
    DEFAULT_PORT,
    REGISTRY_PORT_DISTANCE,
    Wishes,
    plan,
)
from commands.ports import find_free, require_any_listens, require_free

if TYPE_CHECKING:
    from commands.cluster_directory import Node

BROKERS_MAX: Final = COORDINATOR_PORT_DISTANCE
READY_TIMEOUT_S: Final = 60.0


OWN_SETTINGS: Final = {
    "node.id": "each broker has its own",
    "broker.id": "each broker has its own",
    "log.dirs": "see --data",
    "log.dir": "see --data",
    "listeners": "see --port",
    "advertised.listeners": "see --port",
    "zookeeper.connect": "see --zookeeper",
}
"""What `ottla up` decides for each broker, and --set cannot."""


def _require_settings(
    _ctx: click.Context, _option: click.Parameter, settings: tuple[tuple[str, str], ...]
) -> tuple[tuple[str, str], ...]:
    """Check settings before anything is started. Raises: click.BadParameter."""
    if not settings:
        return settings
    from broker.config import BrokerConfig
    from protocol.errors import OttlaError

    for key, _ in settings:
        if key in OWN_SETTINGS:
            raise click.BadParameter(f"{key} is not for all brokers alike: {OWN_SETTINGS[key]}")
    try:
        BrokerConfig.parse(dict(settings))
    except OttlaError as error:
        raise click.BadParameter(str(error)) from error
    return settings


@click.command()
@click.option(
    "--brokers",
    type=click.IntRange(1, BROKERS_MAX),
    help=f"How many brokers.  [default: {DEFAULT_BROKERS}, or as many as there were]",
)
@directory_option
@click.option(
    "--port",
    type=click.IntRange(0, PORT_MAX),
    help=f"Port of broker 1; the others follow, the coordinator is {COORDINATOR_PORT_DISTANCE} "
    f"above; 0 takes free ports.  [default: {DEFAULT_PORT}, or as it was]",
)
@click.option(
    "--zookeeper",
    metavar="HOST:PORT,...",
    help="Use this ZooKeeper instead of an embedded coordinator.",
)
@click.option(
    "--set",
    "settings",
    type=Pair(),
    multiple=True,
    metavar="KEY=VALUE",
    callback=_require_settings,
    help="A setting for every broker, by Kafka's name; kept for later starts.",
)
@click.option(
    "--registry/--no-registry",
    default=None,
    help=f"Run a schema registry too, {-REGISTRY_PORT_DISTANCE} ports below broker 1: 8081 beside "
    "9092.  [default: yes, or as it was]",
)
@click.option("--detach", is_flag=True, help="Return once the cluster accepts records.")
@json_option
def up(directory: ClusterDirectory, *, detach: bool, as_json: bool, **wishes: Any) -> None:
    """Start a cluster on this machine, or carry on with the data of an earlier one.

    Every broker is a process of its own, and so are the coordinator that is started for them
    unless --zookeeper names one, and a schema registry. Without --detach a live table is shown
    until Ctrl-C, which stops everything cleanly. DIR/cluster.json tells scripts the addresses and
    pids. What runs already is left as it is; where all of it does, the exit status is 4. Settings
    are kept for the next start, unless this one fails; any --set replaces all of them.

    \b
    Examples:
      $ ottla up
      $ ottla up --brokers 1 --port 19092 --data scratch --detach
    """
    launcher = Launcher(directory)
    cluster, ends = start_cluster(directory, launcher, Wishes(**wishes))
    if detach:
        _announce(cluster, directory, as_json=as_json)
        return
    still_runs = True
    try:  # whoever reads what is shown may go, and so may the terminal
        _announce(cluster, directory, as_json=as_json)
        from commands.live_table import watch

        still_runs = watch(directory, launcher, ends)
    finally:
        if still_runs:
            stop_all(directory, cluster)


def start_cluster(
    directory: ClusterDirectory, launcher: Launcher, wishes: Wishes
) -> tuple[Cluster, EndSignals]:
    """Start what does not run yet of a directory's cluster, and wait until it accepts records.

    Returns: the cluster, and where it is noted from now on that the end is asked for.
    Raises: CommandFailed, OSError, KeyboardInterrupt; what was started is stopped again then.
    """
    for signum in end_signals():
        signal.signal(signum, signal.default_int_handler)  # as Ctrl-C: nothing is started yet
    directory.path.mkdir(parents=True, exist_ok=True)
    with directory.changing():
        known = directory.load() if directory.exists() else None
        settings_before = known.settings if known else ()
        cluster = _plan(known, wishes, directory)
        wait_for_ending(cluster)
        missing = _missing(cluster, directory)
        require_free(HOST, [node.port for node in missing])
        if cluster.zookeeper is not None:
            require_any_listens(cluster.zookeeper)
        ends = EndSignals()
        try:
            cluster = launcher.start(cluster, missing)
            _wait_ready(cluster, launcher, ends)
            if cluster.registry is not None:
                launcher.wait_listening(cluster.registry, timeout_s=READY_TIMEOUT_S, ends=ends)
            for node in cluster.nodes:
                launcher.require_own_port(node)
            ends.raise_if_told()
        except BaseException:
            launcher.stop_started()
            with suppress(OSError, CommandFailed):  # a full disk must not hide what went wrong
                cluster = without(directory.load(), missing)
                directory.save(replace(cluster, settings=settings_before))
            raise
    return cluster, ends


def _plan(known: Cluster | None, wishes: Wishes, directory: ClusterDirectory) -> Cluster:
    free_ports = find_free(HOST, BROKERS_MAX + 2) if wishes.port == 0 else ()
    return plan(known, wishes, free_ports=free_ports, command=directory.command)


def _missing(cluster: Cluster, directory: ClusterDirectory) -> list[Node]:
    missing = [node for node in cluster.nodes if not node.is_running]
    if not missing:
        raise CommandFailed(
            f"the cluster in {directory.path} is running already, at {cluster.bootstrap}",
            next_step=f"see it with {directory.command('status')},"
            f" stop it with {directory.command('down')}",
            exit_status=ExitStatus.ALREADY_RUNNING,
        )
    return missing


def _wait_ready(cluster: Cluster, launcher: Launcher, ends: EndSignals) -> None:
    import trio

    from client.environment import Environment
    from commands.readiness import Readiness
    from commands.session import interrupt_when_told

    async def wait() -> None:
        addresses = {node.broker_id: (HOST, node.port) for node in cluster.brokers}
        readiness = Readiness(Environment.real().network, addresses)
        with trio.open_signal_receiver(*end_signals()) as signals:
            ends.raise_if_told()
            async with trio.open_nursery() as nursery:
                nursery.start_soon(interrupt_when_told, signals)
                await readiness.wait(
                    check_alive=lambda: launcher.require_alive(cluster), timeout_s=READY_TIMEOUT_S
                )
                nursery.cancel_scope.cancel()

    trio.run(wait)


def _announce(cluster: Cluster, directory: ClusterDirectory, *, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps(directory.describe(cluster), indent=2))
        return
    brokers = count_of(len(cluster.brokers), "broker")
    registry = f", registry at http://{cluster.registry.address}" if cluster.registry else ""
    click.echo(f"{brokers} at {cluster.bootstrap}{registry}, data in {directory.path}")
