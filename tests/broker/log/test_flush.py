"""Group commit: one sync for all that is dirty, nothing claimed that a sync has not covered."""

from __future__ import annotations

import random

import pytest
import trio

from broker.log.config import LogConfig
from broker.log.flush import PASSES_MAX, QUIET_PASSES, Flusher
from broker.log.log import Log
from protocol.errors import StorageError
from simulation.disk import MemoryDisk

LATENCY_S = 0.01


class Target:
    """A log's owner that notes what it is told."""

    def __init__(self, log: Log) -> None:
        self.log = log
        self.ends: list[int] = []
        self.errors: list[StorageError] = []
        log.on_failure(self.errors.append)

    def flushed(self) -> None:
        self.ends.append(self.log.durable_end_offset)


@pytest.fixture
def disk():
    disk = MemoryDisk(random.Random(5), sync_latency_s=lambda: LATENCY_S)
    disk.make_directory("/data")
    return disk


@pytest.fixture
def targets(disk, wall_ms):
    return [
        Target(Log.create(disk, f"/data/t-{i}", LogConfig(), topic_id=bytes(16), wall_ms=wall_ms))
        for i in range(3)
    ]


@pytest.fixture
async def flusher(disk, nursery):
    flusher = Flusher(disk)
    nursery.start_soon(flusher.run)
    return flusher


def append(target, batch_of):
    target.log.append_as_leader(batch_of(1), leader_epoch=0)


async def test_everything_dirty_is_covered_by_one_sync(
    flusher, disk, targets, batch_of, autojump_clock
):
    for target in targets:
        append(target, batch_of)
        flusher.schedule(target)
        flusher.schedule(target)

    await trio.sleep(LATENCY_S * 10)

    assert [target.ends for target in targets] == [[1], [1], [1]]
    assert disk.syncs == 1


async def test_what_comes_during_a_sync_is_covered_by_the_next(
    flusher, disk, targets, batch_of, autojump_clock
):
    first, second, _ = targets
    append(first, batch_of)
    flusher.schedule(first)
    await trio.sleep(LATENCY_S / 2)
    append(first, batch_of)
    flusher.schedule(first)
    append(second, batch_of)
    flusher.schedule(second)

    await trio.sleep(LATENCY_S)
    assert (first.ends, second.ends) == ([1], [])
    await trio.sleep(LATENCY_S)

    assert (first.ends, second.ends) == ([1, 2], [1])
    assert disk.syncs == 2


async def test_what_was_flushed_survives_a_crash(
    flusher, disk, targets, batch_of, wall_ms, autojump_clock
):
    for target in targets:
        append(target, batch_of)
        flusher.schedule(target)
    await trio.sleep(LATENCY_S * 2)
    append(targets[0], batch_of)

    disk.crash()

    for i in range(3):
        log = Log.open(disk, f"/data/t-{i}", LogConfig(), wall_ms=wall_ms, clean=False)
        assert log.log_end_offset >= 1
        assert log.topic_id == bytes(16)


async def test_a_failed_sync_is_told_to_all_once_and_never_retried(
    flusher, disk, targets, batch_of, autojump_clock
):
    first, second, third = targets
    append(first, batch_of)
    append(second, batch_of)
    disk.fail_next_sync()
    flusher.schedule(first)
    flusher.schedule(second)

    await trio.sleep(LATENCY_S * 10)

    for target in (first, second):
        assert target.ends == []
        assert ["planned" in str(error) for error in target.errors] == [True]
        assert target.log.failed is target.errors[0]
        assert target.log.durable_end_offset == 0
    assert disk.syncs == 1

    append(third, batch_of)
    flusher.schedule(third)
    flusher.schedule(first)
    await trio.sleep(LATENCY_S * 10)

    assert third.ends == [1]
    assert len(first.errors) == 1
    assert first.ends == []


async def test_a_log_deleted_during_a_sync_harms_nobody(
    flusher, disk, targets, batch_of, autojump_clock
):
    first, second, _ = targets
    append(first, batch_of)
    append(second, batch_of)
    flusher.schedule(first)
    flusher.schedule(second)
    await trio.sleep(LATENCY_S / 2)

    first.log.delete()
    flusher.schedule(first)
    await trio.sleep(LATENCY_S * 10)

    assert second.ends == [1]
    assert first.errors == second.errors == []


async def test_a_flusher_with_nothing_to_do_sleeps(flusher, disk, targets, autojump_clock):
    await trio.sleep(3600)

    assert disk.syncs == 0


async def arrive(flusher, target, batch_of, count: int) -> None:
    """Append one batch in each pass of the event loop, as a pipelining producer's come in."""
    for _ in range(count):
        append(target, batch_of)
        flusher.schedule(target)
        await trio.lowlevel.checkpoint()


async def test_batches_that_come_one_after_the_other_share_a_sync_once_some_have(
    flusher, disk, targets, batch_of, autojump_clock
):
    first, _, _ = targets
    await arrive(flusher, first, batch_of, 5)
    await trio.sleep(LATENCY_S * 10)
    assert len(first.ends) == 2  # the first is not kept waiting, and the others come meanwhile
    await arrive(flusher, first, batch_of, 5)
    await trio.sleep(LATENCY_S * 10)
    assert first.ends[1:] == [5, 10]


async def test_a_sync_is_not_put_off_for_ever(flusher, disk, targets, batch_of, autojump_clock):
    first, _, _ = targets
    await arrive(flusher, first, batch_of, 5)
    await trio.sleep(LATENCY_S * 10)
    await arrive(flusher, first, batch_of, PASSES_MAX * 2)
    await trio.sleep(LATENCY_S * 10)
    assert len(first.ends) == 4
    assert first.ends[2] <= 5 + PASSES_MAX + 3


async def test_one_append_to_each_log_waits_for_nobody(
    flusher, disk, targets, batch_of, autojump_clock
):
    for _ in range(2):
        for target in targets:
            append(target, batch_of)
            flusher.schedule(target)
        await trio.sleep(LATENCY_S * 10)
    first, _, _ = targets
    append(first, batch_of)
    flusher.schedule(first)
    for _ in range(QUIET_PASSES):
        await trio.lowlevel.checkpoint()
    append(first, batch_of)
    flusher.schedule(first)
    await trio.sleep(LATENCY_S * 10)
    assert first.ends == [1, 2, 3, 4]
