"""Whose data directory it is: which broker's, of which cluster. Nobody else gets it.

Must never know: logs, sessions, what a broker does with it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec.structs import replace

from broker.errors import ConfigError
from broker.log.directory import DirectoryId

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AsyncExitStack

    from broker.log.directory import DataDirectory

ID_BYTES = 16


def take_directory(
    directory: DataDirectory,
    *,
    broker_id: int,
    random_bytes: Callable[[int], bytes],
    stack: AsyncExitStack,
) -> DirectoryId:
    """Lock the directory until the stack ends; a new one becomes this broker's.

    Raises: ConfigError where it is another broker's, DirectoryInUse, StorageError.
    """
    stack.callback(directory.lock().release)
    identity = directory.read_identity()
    if identity is None:
        identity = DirectoryId(
            directory_id=random_bytes(ID_BYTES), cluster_id="", broker_id=broker_id
        )
        directory.write_identity(identity)
    if identity.broker_id != broker_id:
        raise ConfigError(
            f"{directory.path} belongs to broker {identity.broker_id}, not {broker_id};"
            " give this broker a directory of its own"
        )
    return identity


def adopt_cluster(directory: DataDirectory, cluster_id: str) -> None:
    """Note which cluster the data belongs to, and refuse to join another one with it.

    Raises: ConfigError, StorageError.
    """
    identity = directory.read_identity()
    assert identity is not None, "written before the first session"
    if identity.cluster_id == "":
        directory.write_identity(replace(identity, cluster_id=cluster_id))
    elif identity.cluster_id != cluster_id:
        raise ConfigError(
            f"{directory.path} belongs to cluster {identity.cluster_id}, the coordinator"
            f" leads cluster {cluster_id}; give this broker an empty directory, or its own"
            " coordinator back"
        )
