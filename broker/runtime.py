"""The real world: the only place that builds disks, sockets, clocks, randomness and stores.

Must never know: how a broker works, when a process ends.
"""

from __future__ import annotations

import random
from functools import partial
from typing import TYPE_CHECKING

import structlog
import trio
from msgspec.structs import replace

from broker.detours import DetouredNetwork, detour_servers, detours_of
from broker.log.real_disk import RealDisk
from client.environment import Environment

if TYPE_CHECKING:
    from broker.broker import Broker
    from broker.config import BrokerConfig

log_events = structlog.get_logger()

FILES_PER_CONNECTION = 2
"""One of these is its socket. So clients have half of all file descriptors, and the other half is
left for segments, checkpoints and connections to others: a log that cannot be opened for want of a
descriptor stops the broker, a client that has to wait for one does not."""

MORE_FILES_HINT = "raise the hard limit of open files (LimitNOFILE, ulimit -Hn) for more"


def make_broker(config: BrokerConfig, *, open_files_max: int) -> Broker:
    """Make a broker on this machine's disk, network and clock; nothing is done yet.

    `open_files_max` is how many files and sockets the process may have open at a time.
    """
    # The coordinator's process has no use for these, and they would cost it memory.
    from broker.broker import Broker  # noqa: PLC0415
    from coordinator.zookeeper import connect_zookeeper  # noqa: PLC0415

    if config.without_effect:
        log_events.warning("settings_without_effect", keys=sorted(config.without_effect))
    connections_possible = _connections_possible(config, open_files_max)
    environment, servers = Environment.real(), config.node.zookeeper_connect
    if detours := detours_of(config.node.node_id, config.network.fault_detours):
        log_events.warning("connections_take_detours", count=len(detours))
        network = DetouredNetwork(environment.network, detours)
        environment = replace(environment, network=network)
        servers = detour_servers(servers, detours)
    return Broker(
        config,
        environment=environment,
        disk=RealDisk(),
        connections_possible=connections_possible,
        # A broker that stops does not wait for what is parsed for its sake.
        run_in_thread=partial(trio.to_thread.run_sync, abandon_on_cancel=True),
        connect_store=partial(
            connect_zookeeper,
            servers,
            session_timeout_s=config.node.zookeeper_session_timeout_ms / 1000,
        ),
    )


def _connections_possible(config: BrokerConfig, open_files_max: int) -> int:
    """Say how many connections there are descriptors for; tell it where more are asked for."""
    possible = max(open_files_max // FILES_PER_CONNECTION, 1)
    if config.network.max_connections > possible:
        is_asked_for = "max.connections" in config.explicit
        tell = log_events.warning if is_asked_for else log_events.info
        tell(
            "connections_bounded",
            connections=possible,
            open_files=open_files_max,
            hint=MORE_FILES_HINT,
        )
    return possible


async def serve_with_coordinator(broker: Broker, directory: str, host: str, port: int) -> None:
    """Serve a broker until it ends, and its coordinator in the same process for as long.

    Raises: OttlaError, OSError (a port is taken), also in groups.
    """
    async with trio.open_nursery() as nursery:
        await nursery.start(serve_coordinator, directory, host, port)
        await broker.run()
        nursery.cancel_scope.cancel()


async def serve_coordinator(
    directory: str,
    host: str,
    port: int,
    *,
    task_status: trio.TaskStatus[object] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Serve the embedded coordinator until cancelled; started when clients can connect.

    Raises: OttlaError, OSError.
    """
    # A broker has no use for it, and it would cost its memory.
    from coordinator.embedded.config import EmbeddedConfig  # noqa: PLC0415
    from coordinator.embedded.server import serve_embedded  # noqa: PLC0415

    environment = Environment.real()
    listener = await environment.network.listen(host, port)
    await serve_embedded(
        [listener],
        disk=RealDisk(),
        config=EmbeddedConfig(directory=directory),
        wall_ms=environment.wall_ms,
        random=random.SystemRandom(),  # session passwords must not be guessed
        task_status=task_status,
    )
