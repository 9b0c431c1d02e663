"""Opens the logs that a broker finds in its data directory when it starts, or says why it cannot.

Must never know: what the cluster decided, what becomes of a replica.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import structlog

from broker.log.errors import DiskFull
from broker.log.log import Log
from broker.log.offline import OfflineLog
from broker.log.recovery import write_again
from broker.log.storage import Storage
from protocol.errors import StorageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from broker.checkpoints import Checkpoints
    from broker.log.config import LogConfig
    from broker.log.directory import Checkpoint, DataDirectory
    from broker.log.disk import Disk

log_events = structlog.get_logger()


def open_logs(
    disk: Disk,
    directory: DataDirectory,
    checkpoints: Checkpoints,
    config: LogConfig,
    *,
    wall_ms: Callable[[], int],
    clean: bool,
) -> Iterator[tuple[tuple[str, int], Log | OfflineLog]]:
    """Open every log, recovering those not closed cleanly; by topic and number of the partition.

    One that was just being made is removed. Raises: StorageError where it is the directory that
    cannot be used.
    """
    directory.finish_deletes()
    if not clean:
        # Thousands of recoveries each sync some files: after this there is little left to do.
        disk.write_back()
    checkpoints.read()
    again = not (clean or directory.trusts_syncs())
    all_opened = True
    for topic, index in directory.partitions():
        storage = Storage(disk, directory.partition_path(topic, index), config, wall_ms)
        checkpoint = checkpoints.get((topic, index))
        log = _open_log(storage, directory, checkpoint, clean=clean, again=again)
        if isinstance(log, OfflineLog):
            all_opened = False
            log_events.error("replica_offline", partition=f"{topic}-{index}", error=str(log.error))
        elif log.topic_id is None and log.log_end_offset == 0:
            log.delete()
            log_events.info("unfinished_log_removed", partition=f"{topic}-{index}")
            continue
        yield (topic, index), log
    if all_opened:
        directory.trust_syncs()


def _open_log(
    untouched: Storage,
    directory: DataDirectory,
    checkpoint: Checkpoint,
    *,
    clean: bool,
    again: bool,
) -> Log | OfflineLog:
    disk, path, config = untouched.disk, untouched.directory, untouched.config
    wall_ms = untouched.wall_ms
    try:
        if again:
            log_events.warning("written_again_after_failure", directory=path)
            write_again(Storage(disk, path, config, wall_ms), checkpoint)
        return Log.open(disk, path, config, wall_ms=wall_ms, clean=clean, checkpoint=checkpoint)
    except StorageError as error:
        # A sync may have failed that makes the next one a lie, also if we are killed now.
        directory.distrust_syncs()
        if isinstance(error, DiskFull):
            raise  # that is no matter of one log
        return OfflineLog(untouched, error, checkpoint.topic_id)
