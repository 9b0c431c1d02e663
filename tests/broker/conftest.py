"""What the tests of hosted replicas share: a disk that holds some, and the broker's part."""

from __future__ import annotations

import random

import pytest

from broker.log.config import LogConfig
from broker.log.directory import DataDirectory
from broker.log.flush import Flusher
from broker.log.log import Log
from broker.partition_context import PartitionContext
from broker.partitions import Partitions
from broker.replication.fetchers import Fetchers
from broker.replication.throttle import Throttles
from protocol.records import Record, encode_batch
from simulation.disk import MemoryDisk
from tests.broker.hosting import DATA, SEGMENT_BYTES, TOPIC_ID, US, Fetcher


@pytest.fixture
def disk():
    """Holds `orders-0` and `orders-1`, of several segments each, after a clean stop."""
    disk = MemoryDisk(random.Random(3))
    disk.make_directory(DATA)
    for index in range(2):
        log = Log.create(
            disk,
            f"{DATA}/orders-{index}",
            LogConfig(segment_bytes=SEGMENT_BYTES),
            topic_id=TOPIC_ID,
            wall_ms=lambda: 0,
        )
        while log.log_end_offset < 12:
            records = [Record(i, 0, None, b"value", ()) for i in range(3)]
            log.append_as_leader(encode_batch(records), leader_epoch=0)
        assert len(log.segments) > 1
        log.close()
    return disk


@pytest.fixture
def directory(disk):
    return DataDirectory(disk, DATA)


@pytest.fixture
def fetcher():
    return Fetcher()


@pytest.fixture
def open_partitions(disk, directory, fetcher):
    def open_again(*, clean: bool = True) -> Partitions:
        context = PartitionContext(
            broker_id=US,
            flusher=Flusher(disk),
            lease_held=lambda: True,
            storage_failed=lambda _, error: pytest.fail(str(error)),
            is_borne=lambda *_: False,
            throttles=Throttles(),
            isr_due=lambda _: None,
            checkpoint_due=lambda: partitions.checkpoints.write_soon(),  # noqa: PLW0108 - made below
        )
        partitions = Partitions(
            disk=disk,
            directory=directory,
            context=context,
            fetchers=Fetchers(lambda _: fetcher),
            topic_defaults={"segment.bytes": str(1 << 20)},
            wall_ms=lambda: 0,
        )
        partitions.load(clean=clean)
        return partitions

    return open_again
