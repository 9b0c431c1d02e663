"""Producer snapshots: few batches are read again after a cut, and none is believed too long."""

from __future__ import annotations

import random

from broker.log.config import LogConfig
from broker.log.log import Log
from broker.log.segments import Segments
from broker.log.snapshots import (
    _KEPT,
    _KEPT_AT_SEGMENTS,
    INTERVAL_BYTES_MIN,
    PRODUCERS_FREE,
    SNAPSHOT_SUFFIX,
    SNAPSHOTS_PER_SEGMENT,
)
from simulation.disk import MemoryDisk
from tests.broker.log.logs import TOPIC_ID

ONE_SEGMENT = LogConfig(segment_bytes=INTERVAL_BYTES_MIN * SNAPSHOTS_PER_SEGMENT)
PATH = "/data/topic-0"


def numbered(batch_of, first: int, count: int, *, producer_id: int = 1):
    for sequence in range(first, first + count):
        yield batch_of(producer_id=producer_id, producer_epoch=0, base_sequence=sequence)


def snapshots(disk, root) -> list[int]:
    names = disk.list(f"{root}/topic-0")
    return [int(n.removesuffix(SNAPSHOT_SUFFIX)) for n in names if n.endswith(SNAPSHOT_SUFFIX)]


def is_known(log, batch: bytes) -> bool:
    return log.append_as_leader(batch, leader_epoch=2).duplicate


def test_a_cut_reads_few_batches_again(open_log, batch_of, monkeypatch):
    log = open_log(ONE_SEGMENT)
    batches = list(numbered(batch_of, 0, 500))
    for batch in batches:
        log.append_as_leader(batch, leader_epoch=1)
    read = []
    headers = Segments.headers
    monkeypatch.setattr(
        Segments, "headers", lambda self, at: (read.append(h) or h for h in headers(self, at))
    )

    log.truncate_to(498)

    assert len(read) <= INTERVAL_BYTES_MIN / len(batches[0]) + 1
    assert is_known(log, batches[493])
    assert is_known(log, batches[497])
    assert not is_known(log, batches[498])


def test_a_follower_writes_them_as_its_leader_does(open_log, batch_of, disk, root):
    log = open_log(ONE_SEGMENT)
    for offset in range(500):
        batch = batch_of(producer_id=1, producer_epoch=0, base_sequence=offset, base_offset=offset)
        log.append_as_follower(batch)

    assert len(snapshots(disk, root)) == _KEPT


def test_nothing_is_written_where_no_producer_is_known(open_log, batch_of, disk, root):
    log = open_log(ONE_SEGMENT)
    for _ in range(200):
        log.append_as_leader(batch_of(), leader_epoch=1)

    assert snapshots(disk, root) == []


def test_few_are_kept_and_those_where_segments_begin(open_log, batch_of, disk, root):
    log = open_log(LogConfig(segment_bytes=4 * INTERVAL_BYTES_MIN * 10))
    for batch in numbered(batch_of, 0, 10_000):
        log.append_as_leader(batch, leader_epoch=1)

    found = snapshots(disk, root)
    begun = [segment.base_offset for segment in log.segments]
    assert len(begun) > _KEPT_AT_SEGMENTS
    assert set(begun[-_KEPT_AT_SEGMENTS:]) <= set(found)
    assert len(found) <= _KEPT + _KEPT_AT_SEGMENTS


def test_a_full_disk_only_delays_them(batch_of, wall_ms):
    disk = MemoryDisk(random.Random(1))
    disk.make_directory("/data")
    log = Log.create(disk, PATH, ONE_SEGMENT, topic_id=TOPIC_ID, wall_ms=wall_ms)
    batches = list(numbered(batch_of, 0, 600))
    write_file = disk.write_file
    refused = []

    def refuse(path, data, *, durable=True):
        if path.endswith(SNAPSHOT_SUFFIX) and len(refused) < 3:
            refused.append(path)
            disk.capacity_bytes = 0
        write_file(path, data, durable=durable)

    disk.write_file = refuse
    for batch in batches:
        log.append_as_leader(batch, leader_epoch=1)
        disk.capacity_bytes = None

    assert len(refused) == 3
    assert log.log_end_offset == 600
    assert len(snapshots(disk, "/data")) > 3


def test_none_comes_back_over_other_batches_than_it_knew(batch_of, wall_ms):
    """A cut removes them before anything else is written where they knew something."""
    reached = 0
    for seed in range(60):
        disk = MemoryDisk(random.Random(seed))
        disk.make_directory("/data")
        log = Log.create(disk, PATH, ONE_SEGMENT, topic_id=TOPIC_ID, wall_ms=wall_ms)
        for batch in numbered(batch_of, 0, 100):
            log.append_as_leader(batch, leader_epoch=1)
        log.close()
        log = Log.open(disk, PATH, ONE_SEGMENT, wall_ms=wall_ms, clean=True)
        log.truncate_to(20)
        for batch in numbered(batch_of, 0, 100, producer_id=2):
            log.append_as_leader(batch, leader_epoch=2)

        disk.crash()
        log = Log.open(disk, PATH, ONE_SEGMENT, wall_ms=wall_ms, clean=False)

        reached += log.log_end_offset > 100
        (following,) = numbered(batch_of, 20, 1)
        assert not is_known(log, following)
    assert reached, "the last snapshot is never within the log again"


def test_one_from_before_the_first_batch_is_not_believed(batch_of, wall_ms):
    """What the producer wrote between the two is gone: its next batch would be out of order."""
    disk = MemoryDisk(random.Random(1))
    disk.make_directory("/data")
    config = LogConfig(segment_bytes=ONE_SEGMENT.segment_bytes, retention_bytes=0)
    log = Log.create(disk, PATH, config, topic_id=TOPIC_ID, wall_ms=wall_ms)
    for batch in numbered(batch_of, 0, 100):
        log.append_as_leader(batch, leader_epoch=1)
    log.apply_retention(100)
    assert log.log_start_offset == 100
    log.close(clean=False)
    disk.write_file(f"{PATH}/{100:020d}{SNAPSHOT_SUFFIX}", b"torn")

    log = Log.open(disk, PATH, config, wall_ms=wall_ms, clean=False)

    (following,) = numbered(batch_of, 100, 1)
    assert not is_known(log, following)


def test_with_many_producers_they_come_less_often(open_log, batch_of, disk, root):
    log = open_log(ONE_SEGMENT)
    for producer_id in range(PRODUCERS_FREE + 100):
        (batch,) = numbered(batch_of, 0, 1, producer_id=producer_id)
        log.append_as_leader(batch, leader_epoch=1)
    for batch in numbered(batch_of, 1, 500):
        log.append_as_leader(batch, leader_epoch=1)

    assert snapshots(disk, root) == []
