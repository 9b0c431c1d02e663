"""What a broker does for its logs from time to time: checkpoints, retention, compaction.

Must never know: requests, who leads, how any of it is done.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import structlog
import trio

from broker.cleaner import Cleaner
from broker.log.errors import DiskFull
from protocol.errors import StorageError

if TYPE_CHECKING:
    from collections.abc import Callable

    from broker.config import BrokerConfig
    from broker.partitions import Partitions

log_events = structlog.get_logger()

CHECKPOINT_INTERVAL_S: Final = 5.0


class Housekeeper:
    """Keeps the house once our losses are told: `losses_told`, for a checkpoint forgets them."""

    def __init__(
        self,
        partitions: Partitions,
        config: BrokerConfig,
        *,
        losses_told: trio.Event,
        storage_failed: Callable[[StorageError], None],
    ) -> None:
        self._partitions = partitions
        self._losses_told = losses_told
        self._storage_failed = storage_failed
        self._retention_s = config.replication.log_retention_check_interval_ms / 1000
        self._cleaner = Cleaner(partitions, config.cleaner)
        self._may_clean = config.cleaner.log_cleaner_enable

    async def run(self) -> None:
        """Write checkpoints and apply retention, for ever; compact, from when there is a need."""
        await self._losses_told.wait()
        next_retention = trio.current_time() + self._retention_s
        async with trio.open_nursery() as nursery:
            while True:
                if self._may_clean and any(one.log.config.compacts for one in self._partitions):
                    self._may_clean = False  # it does from now on
                    nursery.start_soon(self._cleaner.run)
                with trio.move_on_after(CHECKPOINT_INTERVAL_S):
                    await self._partitions.checkpoints.wait_due()
                try:
                    await self._write_checkpoints()
                    if trio.current_time() >= next_retention:
                        next_retention = trio.current_time() + self._retention_s
                        await self._partitions.apply_retention()
                except StorageError as error:
                    self._storage_failed(error)

    async def _write_checkpoints(self) -> None:
        """Write them, or try again the next time where the disk is full: retention goes on."""
        try:
            await self._partitions.write_checkpoints()
        except DiskFull as error:
            log_events.warning("checkpoints_not_written", error=str(error))
