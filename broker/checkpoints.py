"""What a broker notes from time to time of how far its logs last: read once, replaced as a whole.

Must never know: how a replica comes to be hosted or offline, who is told of what was noted.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import trio

from broker.log.directory import Checkpoint

if TYPE_CHECKING:
    from collections.abc import Container, Iterable, Iterator, Mapping

    from broker.log.directory import DataDirectory
    from broker.partition import Partition


class Checkpoints:
    """The checkpoints of one data directory, by topic and number of the partition."""

    def __init__(self, directory: DataDirectory) -> None:
        self._directory = directory
        self._noted: dict[tuple[str, int], Checkpoint] = {}
        self._under_way: dict[tuple[str, int], Checkpoint] = {}
        """What is being written, and may be what is found after a crash."""
        self._writing = trio.Lock()
        self._due = trio.Event()

    def read(self) -> None:
        """Read what was noted before. Raises: StorageError."""
        self._noted = self._directory.read_checkpoints()

    def __contains__(self, key: tuple[str, int]) -> bool:
        return key in self._noted or key in self._under_way

    def __iter__(self) -> Iterator[tuple[tuple[str, int], Checkpoint]]:
        return iter(self._noted.items())

    def get(self, key: tuple[str, int]) -> Checkpoint:
        """Give what is noted of a log; of an unknown one, nothing is known."""
        return self._noted.get(key, Checkpoint())

    def gone(self, here: Mapping[tuple[str, int], bytes | None]) -> frozenset[tuple[bytes, int]]:
        """Name the replicas that had records, and of whose topic there is no log `here`."""
        return frozenset(
            (noted.topic_id, key[1])
            for key, noted in self._noted.items()
            if noted.reaches_to > noted.log_start_offset and here.get(key) != noted.topic_id
        )

    async def write(
        self, partitions: Iterable[Partition], *, offline: Container[tuple[str, int]]
    ) -> Mapping[Partition, Checkpoint]:
        """Note how far each log is committed and durable. Returns: that. Raises: StorageError.

        What was known of an offline one stays noted, for the day when it can be opened again.
        """
        async with self._writing:
            if self._due.is_set():  # whoever waits for it waits for this one
                self._due = trio.Event()
            checkpoints = {key: known for key, known in self._noted.items() if key in offline}
            hosted = {partition: _checkpoint_of(partition) for partition in partitions}
            cuts = {partition: partition.log.cuts for partition in hosted if partition.log.cuts}
            checkpoints |= {(p.topic, p.index): checkpoint for p, checkpoint in hosted.items()}
            if checkpoints != self._noted:
                self._under_way = checkpoints
                try:
                    await self._directory.write_checkpoints(checkpoints)
                    self._noted = checkpoints
                finally:
                    self._under_way = {}
            for partition, count in cuts.items():
                partition.log.checkpointed(cuts=count)
            return hosted

    def write_soon(self) -> None:
        """Say that something must not wait for the next round to be noted."""
        self._due.set()

    async def wait_due(self) -> None:
        """Return once something must be noted now."""
        await self._due.wait()


def _checkpoint_of(partition: Partition) -> Checkpoint:
    # No more than is durable here: what a power failure may take was never promised by us, and a
    # log that is found shorter than this has lost what was.
    recovery_point = partition.log.recovery_point
    return Checkpoint(
        recovery_point=recovery_point,
        high_watermark=min(partition.high_watermark.value, recovery_point),
        log_start_offset=partition.log.log_start_offset,
        first_dirty_offset=partition.log.first_dirty_offset,
        lacks_records=partition.losses.any,
        topic_id=partition.topic_id,
    )
