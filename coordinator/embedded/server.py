"""The embedded server: recover, listen, serve until cancelled.

Must never know: what requests mean, the wire format, which disk, which network.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import structlog
import trio

from coordinator.embedded.connection import Connection
from coordinator.embedded.recovery import make_durable, recover
from coordinator.embedded.service import Service

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from coordinator.embedded.config import EmbeddedConfig
    from coordinator.embedded.journal import JournalDisk
    from coordinator.embedded.service import Client, Randomness
    from coordinator.tree import Tree

log = structlog.get_logger()


async def serve_embedded(
    listeners: Sequence[trio.abc.Listener[trio.abc.Stream]],
    *,
    disk: JournalDisk,
    wall_ms: Callable[[], int],
    random: Randomness,
    config: EmbeddedConfig,
    task_status: trio.TaskStatus[Service] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Serve ZooKeeper's client protocol on the listeners until cancelled.

    Started when clients can connect. `wall_ms` gives ms since the Unix epoch; `random` makes
    session ids and passwords, so it should be hard to guess outside of simulation.
    Raises: StorageError if the state on disk is damaged; in a group if the disk fails later,
    for then nothing more can be promised.
    """
    disk.make_directory(config.directory)
    lock = disk.lock(f"{config.directory}/lock")
    try:
        tree = await _recover(disk, config.directory)
        service = Service(tree, disk=disk, wall_ms=wall_ms, random=random, config=config)
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(service.run)
                accept = _Acceptor(service).accept
                await nursery.start(trio.serve_listeners, accept, list(listeners))
                task_status.started(service)
        finally:
            service.journal.close()
    finally:
        lock.release()


async def _recover(disk: JournalDisk, directory: str) -> Tree[Client]:
    began = trio.current_time()
    recovered = recover(disk, directory)
    await make_durable(disk, directory, recovered)
    log.info(
        "recovered",
        directory=directory,
        zxid=f"{recovered.tree.zxid:#x}",
        transactions_replayed=recovered.transactions_replayed,
        bytes_cut=recovered.bytes_cut,
        seconds=round(trio.current_time() - began, 3),
    )
    return recovered.tree


class _Acceptor:
    """Counts connections, so that there are never more than configured."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._connections = 0

    async def accept(self, stream: trio.abc.Stream) -> None:
        """Serve one connection, or close it where there are too many."""
        if self._connections >= self._service.config.connections_max:
            log.warning("connection_refused", connections=self._connections)
            await trio.aclose_forcefully(stream)
            return
        self._connections += 1
        try:
            await Connection(stream, self._service).serve()
        finally:
            self._connections -= 1
