"""Indexes that were built anew are durable where nothing would build them again after a crash."""

from __future__ import annotations

import random

import pytest

from broker.log.config import LogConfig
from broker.log.directory import Checkpoint
from broker.log.index_files import INDEX_SUFFIXES
from broker.log.log import Log
from simulation.disk import MemoryDisk
from tests.broker.log.logs import TOPIC_ID, flush

PATH = "/data/topic-0"
CONFIG = LogConfig(segment_bytes=1500, index_interval_bytes=100)


@pytest.fixture
def disk():
    disk = MemoryDisk(random.Random(2))
    disk.make_directory("/data")
    return disk


@pytest.fixture
def indexes(disk, wall_ms, batch_of):
    """What the indexes of complete segments held, by path: a log that is durable has lost them."""
    log = Log.create(disk, PATH, CONFIG, topic_id=TOPIC_ID, wall_ms=wall_ms)
    while len(log.segments) < 5:
        log.append_as_leader(batch_of(3), leader_epoch=0)
    flush(log, disk)
    paths = [segment.path(suffix) for segment in log.segments[:4] for suffix in INDEX_SUFFIXES]
    held = {path: disk.read_file(path) for path in paths}
    for path in paths:
        disk.remove(path)
    disk.sync_directory(PATH)
    return held


def test_indexes_that_a_recovery_builds_outlast_a_power_failure(disk, wall_ms, indexes):
    Log.open(disk, PATH, CONFIG, wall_ms=wall_ms, clean=False)

    assert {path: disk.remember(path) for path in indexes} == indexes


def test_indexes_that_are_built_when_they_are_needed_outlast_a_power_failure(
    disk, wall_ms, indexes
):
    checkpoint = Checkpoint(recovery_point=2**40)
    log = Log.open(disk, PATH, CONFIG, wall_ms=wall_ms, clean=False, checkpoint=checkpoint)
    assert not any(disk.exists(path) for path in indexes)

    assert [segment.make_sure() for segment in log.segments] == [True] * 4 + [False]

    assert {path: disk.remember(path) for path in indexes} == indexes
