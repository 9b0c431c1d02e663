"""A broker's data directory: whose it is, how it was left, and which partitions it holds.

Must never know: what is in a log, the cluster's opinion of it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import crc32c
import msgpack
from msgspec import Struct
from msgspec.structs import astuple

from broker.log.errors import FileMissing
from protocol.errors import StorageError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from broker.log.disk import DirectoryLock, Disk

_IDENTITY: Final = "meta.ottla"
_CLEAN_MARKER: Final = ".clean-shutdown"
_SYNCS_MARKER: Final = ".syncs-succeeded"
CHECKPOINTS: Final = "checkpoints.ottla"
DELETE_SUFFIX: Final = "-delete"
STRAY_SUFFIX: Final = "-stray"


class DirectoryId(Struct, frozen=True):
    """Who a data directory belongs to, written once. `directory_id` is 16 random bytes."""

    directory_id: bytes
    cluster_id: str
    broker_id: int


class Checkpoint(Struct, frozen=True):
    """What was known of a log at some time: all is durable and whole below `recovery_point`.

    Below `first_dirty_offset` it was compacted. `lacks_records` says that it had lost some that
    were durable, or was a copy, and had not caught up yet. `topic_id` is empty where it is unknown.
    """

    recovery_point: int = 0
    high_watermark: int = 0
    log_start_offset: int = 0
    first_dirty_offset: int = 0
    lacks_records: bool = False
    topic_id: bytes = b""

    @property
    def reaches_to(self) -> int:
        """The offset that the log reached: below it all was durable, or committed."""
        return max(self.recovery_point, self.high_watermark)


class DataDirectory:
    """The files of a data directory that are not one partition's. Names are `<topic>-<number>`."""

    def __init__(self, disk: Disk, path: str) -> None:
        self._disk = disk
        self.path = path

    def lock(self) -> DirectoryLock:
        """Make it, and take it for this process. Raises: DirectoryInUse, StorageError."""
        self._disk.make_directory(self.path)
        return self._disk.lock(f"{self.path}/.lock")

    def partition_path(self, topic: str, partition: int) -> str:
        """Return the directory of a partition."""
        return f"{self.path}/{topic}-{partition}"

    def partitions(self) -> list[tuple[str, int]]:
        """List the partitions that have a directory here, by topic and number."""
        found = (parse_partition(name) for name in self._disk.list(self.path))
        return sorted(one for one in found if one is not None)

    def free_bytes(self) -> int:
        """Space left for us on its volume. Raises: StorageError."""
        return self._disk.free_bytes(self.path)

    def total_bytes(self) -> int:
        """Size of its volume. Raises: StorageError."""
        return self._disk.total_bytes(self.path)

    def finish_deletes(self) -> int:
        """Remove the logs whose deletion was cut short. Returns: how many. Raises: StorageError."""
        names = [name for name in self._disk.list(self.path) if name.endswith(DELETE_SUFFIX)]
        for name in names:
            self._disk.remove(f"{self.path}/{name}")
        return len(names)

    def read_identity(self) -> DirectoryId | None:
        """Return whose directory this is; None where nobody's yet. Raises: StorageError."""
        values = self._read(_IDENTITY)
        return None if values is None else DirectoryId(*values)

    def write_identity(self, identity: DirectoryId) -> None:
        """Take the directory for a broker, durably. Raises: StorageError."""
        self._disk.make_directory(self.path)
        self._disk.write_file(f"{self.path}/{_IDENTITY}", _sealed(astuple(identity)))

    def has_clean_marker(self) -> bool:
        """Say whether the last stop was clean, and nobody has started since."""
        return self._disk.exists(f"{self.path}/{_CLEAN_MARKER}")

    def take_clean_marker(self) -> bool:
        """Say whether the last stop was clean, and remove the sign durably: now we are running.

        Raises: StorageError.
        """
        was_clean = self.has_clean_marker()
        self._disk.remove(f"{self.path}/{_CLEAN_MARKER}")
        # Also for the logs that a killed process has created: they count as durable from now on.
        self._disk.sync_directory(self.path)
        return was_clean

    def write_clean_marker(self) -> None:
        """Say that every log was closed cleanly. Raises: StorageError."""
        self._disk.write_file(f"{self.path}/{_CLEAN_MARKER}", b"")

    def distrust_syncs(self) -> None:
        """Say that a write or a sync has failed here, by removing what says the opposite.

        That takes no space. It need not last: what it warns of is gone with the kernel's memory,
        as it may be itself. Raises: StorageError.
        """
        self._disk.remove(f"{self.path}/{_SYNCS_MARKER}")

    def trusts_syncs(self) -> bool:
        """Say whether all that could be read of an unclean stop can be made durable by a sync."""
        return self._disk.exists(f"{self.path}/{_SYNCS_MARKER}")

    def trust_syncs(self) -> None:
        """Say that no sync has failed here, or that all has been written again since.

        Raises: StorageError.
        """
        if not self.trusts_syncs():
            self._disk.write_file(f"{self.path}/{_SYNCS_MARKER}", b"", durable=False)

    def read_checkpoints(self) -> dict[tuple[str, int], Checkpoint]:
        """Read what was known of every log; empty where there is nothing. Raises: StorageError."""
        return {
            (topic, partition): Checkpoint(*values)
            for topic, partition, *values in self._read(CHECKPOINTS) or ()
        }

    async def write_checkpoints(self, checkpoints: Mapping[tuple[str, int], Checkpoint]) -> None:
        """Replace what is known of every log, durably, off the loop. Raises: StorageError."""
        rows = [[*partition, *astuple(one)] for partition, one in sorted(checkpoints.items())]
        await self._disk.replace_file(f"{self.path}/{CHECKPOINTS}", _sealed(rows))

    def _read(self, name: str) -> list[Any] | None:
        path = f"{self.path}/{name}"
        try:
            return _unsealed(self._disk.read_file(path))
        except FileMissing:
            return None
        except (ValueError, msgpack.UnpackException) as error:
            raise StorageError(
                f"{path} is damaged ({error}); restore it, or start this broker on an empty data"
                " directory and let the other replicas fill it"
            ) from error


def _sealed(values: Sequence[Any]) -> bytes:
    """Lay values out, and a checksum: by a wrong log start records would be deleted."""
    body: bytes = msgpack.packb(values)
    return body + _checksum(body)


def _unsealed(data: bytes) -> list[Any]:
    """Read what `_sealed` laid out; before there were checksums a file ended with the values.

    Raises: ValueError, UnpackException where it is damaged.
    """
    unpacker = msgpack.Unpacker(max_buffer_size=0)
    unpacker.feed(data)
    values = unpacker.unpack()
    end = unpacker.tell()
    if not isinstance(values, list) or data[end:] not in (b"", _checksum(data[:end])):
        raise ValueError("its checksum does not match")
    return values


def _checksum(body: bytes) -> bytes:
    """Begins as no value does, and has five bytes: no flipped length takes it for values."""
    return b"\xc1" + crc32c.crc32c(body).to_bytes(4, "big")


def parse_partition(name: str) -> tuple[str, int] | None:
    """Split `<topic>-<number>`; None for any other name."""
    topic, dash, number = name.rpartition("-")
    if not (topic and dash and number.isascii() and number.isdigit()):
        return None
    return topic, int(number)
