"""Compacts the logs of the topics that ask for it, one by one, where most is new first.

Must never know: how a log is compacted, who leads.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from weakref import WeakSet

import structlog
import trio

from broker.log.compaction.compact import Interrupted
from broker.log.errors import COPY_ANEW, DiskFull
from protocol.errors import CorruptBatch, StorageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from broker.config import CleanerConfig
    from broker.log.compaction.cleanable import Cleanable
    from broker.log.log import Log
    from broker.partition import Partition

log_events = structlog.get_logger()


class Cleaner:
    """Looks at all replicas from time to time; a damaged log is left alone until it is reopened."""

    def __init__(self, partitions: Iterable[Partition], config: CleanerConfig) -> None:
        self._partitions = partitions
        self._config = config
        self._damaged: WeakSet[Log] = WeakSet()

    async def run(self) -> None:
        """Compact what is due, for ever."""
        while True:
            await trio.sleep(self._config.log_cleaner_backoff_ms / 1000)
            await self.compact_all()

    async def compact_all(self) -> None:
        """Compact once whatever is due now."""
        due = sorted(self._due(), key=lambda one: one[1].dirty_ratio, reverse=True)
        for partition, _ in due:
            if (cleanable := self._find(partition)) is not None:
                await self._compact(partition, cleanable)
                await _remove_expired(partition)

    def _due(self) -> Iterator[tuple[Partition, Cleanable]]:
        for partition in self._partitions:
            if (cleanable := self._find(partition)) is not None:
                yield partition, cleanable

    def _find(self, partition: Partition) -> Cleanable | None:
        log = partition.log
        if partition.offline is not None or not log.config.compacts or log in self._damaged:
            return None
        segment_count = len(log.segments)
        try:
            found = log.find_cleanable(
                partition.high_watermark.value, replicated_offset=partition.replicated_end_offset
            )
        except StorageError:
            return None  # the partition was told, and is offline now
        if len(log.segments) != segment_count:
            partition.flush_soon()  # nothing else might ever: what is compacted has to last
        return found

    async def _compact(self, partition: Partition, cleanable: Cleanable) -> None:
        log, began_at = partition.log, trio.current_time()
        try:
            done = await log.compact(
                cleanable,
                pace=_Pace(self._config.log_cleaner_io_max_bytes_per_second).wait,
                key_bytes_max=self._config.log_cleaner_dedupe_buffer_size,
                replicated_offset=lambda: partition.replicated_end_offset,
            )
        except Interrupted:
            log_events.info("compaction_interrupted", partition=partition.name)
        except CorruptBatch as error:
            self._damaged.add(log)
            log_events.error(  # noqa: TRY400 - where our code found it is of no use
                "damaged_log_not_compacted",
                partition=partition.name,
                error=str(error),
                hint=COPY_ANEW,
            )
        except DiskFull as error:
            log_events.warning("log_not_compacted", partition=partition.name, error=str(error))
        except StorageError:
            return  # as above
        else:
            took_s = round(trio.current_time() - began_at, 3)
            log_events.info(
                "log_compacted", partition=partition.name, took_s=took_s, **done._asdict()
            )


async def _remove_expired(partition: Partition) -> None:
    """Do what retention has left undone, not to interrupt the pass."""
    try:
        while partition.apply_retention():
            await trio.lowlevel.checkpoint()
    except StorageError:
        return  # the partition was told, or is closed


class _Pace:
    """Rests as long as it has worked, so that others find the loop free, and obeys a bound."""

    def __init__(self, bytes_per_second: int) -> None:
        self._bytes_per_second = bytes_per_second
        self._worked_since = trio.current_time()

    async def wait(self, size_bytes: int) -> None:
        worked_s = trio.current_time() - self._worked_since
        await trio.sleep(max(worked_s, size_bytes / self._bytes_per_second))
        self._worked_since = trio.current_time()
