"""A pass that a kill or a power failure ends at any step loses nothing and leaves nothing."""

from __future__ import annotations

import random
from contextlib import suppress

import pytest
import trio

from broker.log.compaction.compact import Interrupted
from broker.log.directory import Checkpoint
from broker.log.log import Log
from simulation.disk import MemoryDisk
from tests.broker.log.compaction.keyed import (
    COMPACTED,
    batches_of,
    compact,
    flush,
    keyed_batch,
    newest_of,
    no_pause,
    records_of,
)

NOW_MS = 1_700_000_000_000
PATH = "/data/topic-0"
CHANGES = ("open", "rename", "remove", "write_file", "sync_directory", "sync")


class PowerCut(BaseException):
    """Nothing runs any more."""


class DyingDisk:
    """A disk that is gone at the n-th call of those that may change something."""

    def __init__(self, disk, calls_left):
        self._disk = disk
        self.calls_left = calls_left

    def __getattr__(self, name):
        value = getattr(self._disk, name)
        if name not in CHANGES:
            return value

        def call(*args, **kwargs):
            if not self.calls_left:
                raise PowerCut
            self.calls_left -= 1
            return value(*args, **kwargs)

        return call


def filled_log(seed):
    """Make a log with tombstones, epochs and a producer, of which much was compacted before."""
    rng = random.Random(seed)
    disk = DyingDisk(MemoryDisk(rng), -1)
    disk.make_directory("/data")
    clock = [NOW_MS]
    log = Log.create(disk, PATH, COMPACTED, topic_id=bytes(16), wall_ms=lambda: clock[0])
    sequence = 0
    for round_ in range(2):
        for i in range(30):
            pairs = [
                (b"k%d" % rng.randrange(7), None if rng.random() < 0.2 else b"v%d" % i)
                for _ in range(rng.randrange(1, 4))
            ]
            header = {}
            if rng.random() < 0.3:
                header = {"producer_id": 4, "producer_epoch": 0, "base_sequence": sequence}
                sequence += len(pairs)
            batch = keyed_batch(pairs, timestamp_ms=NOW_MS + i, **header)
            log.append_as_leader(batch, leader_epoch=1 + (round_ * 30 + i) // 20)
        flush(disk, log)
        if not round_:
            compact(log)
            clock[0] += 600
    checkpoint = Checkpoint(
        log.recovery_point, log.log_end_offset, 0, first_dirty_offset=log.first_dirty_offset
    )
    return disk, log, checkpoint


def values_of(log):
    """Give what a reader of the whole log knows at its end: the newest value of each key."""
    records = records_of(log)
    newest = {key: records[offset].value for key, offset in newest_of(records).items()}
    return {key: value for key, value in newest.items() if value is not None}


def facts_of(log):
    return (
        log.log_end_offset,
        values_of(log),
        [log.end_offset_for_epoch(epoch) for epoch in (1, 2, 3)],
        log.producers.entry(4).batches,
    )


def count_calls(seed):
    disk, log, _ = filled_log(seed)
    facts_of(log)  # which opens files
    disk.calls_left = 10**6
    assert compact(log) is not None
    return 10**6 - disk.calls_left


@pytest.mark.parametrize("loses_power", [pytest.param(False, marks=pytest.mark.slow), True])
@pytest.mark.parametrize("seed", [0, *(pytest.param(s, marks=pytest.mark.slow) for s in (1, 2))])
def test_every_step_may_be_the_last(seed, loses_power):
    calls = count_calls(seed)
    assert calls > 20
    for calls_left in range(calls):
        disk, log, checkpoint = filled_log(seed)
        before, records = facts_of(log), records_of(log)
        disk.calls_left = calls_left
        with pytest.raises(PowerCut):
            compact(log)
        survivor = disk._disk
        if loses_power:
            survivor.crash()
        again = Log.open(
            survivor,
            PATH,
            COMPACTED,
            wall_ms=lambda: NOW_MS + 2000,
            clean=False,
            checkpoint=checkpoint,
        )
        assert facts_of(again) == before, calls_left
        assert again.recovery.bytes_cut == 0
        assert records_of(again).items() <= records.items()
        names = survivor.list(PATH)
        assert not [name for name in names if "cleaned" in name or "swap" in name]
        assert len([name for name in names if name.endswith(".log")]) == len(again.segments)
        compact(again)
        assert facts_of(again) == before, calls_left
        ends = [segment.next_offset for segment in again.segments]
        assert [segment.base_offset for segment in again.segments[1:]] == ends[:-1]
        assert batches_of(again)[-1][0].next_offset == ends[-1]


@pytest.mark.parametrize("clean", [True, False])
def test_a_log_that_is_closed_or_cut_in_the_middle_of_a_swap(clean):
    """The pass waits for syncs meanwhile; each of them may be where the log is closed."""
    for nth in range(1, 12):
        disk, log, checkpoint = filled_log(nth)
        before = facts_of(log)
        cleanable = log.find_cleanable(log.log_end_offset)

        async def end_at_sync(disk=disk, log=log, cleanable=cleanable, nth=nth):
            syncs = 0

            async def sync(files, directories=()):
                nonlocal syncs
                await MemoryDisk.sync(disk._disk, files, directories)
                syncs += 1
                if syncs == nth:
                    if clean:
                        log.prepare_close()
                        await trio.lowlevel.checkpoint()
                    log.close(clean=clean)

            disk._disk.sync = sync
            await log.compact(cleanable, pace=no_pause, key_bytes_max=1 << 20)

        with suppress(Interrupted):  # unless the pass was done before
            trio.run(end_at_sync)
        disk = disk._disk
        del disk.sync
        again = Log.open(
            disk, PATH, COMPACTED, wall_ms=lambda: NOW_MS, clean=clean, checkpoint=checkpoint
        )
        assert facts_of(again) == before
        names = disk.list(PATH)
        assert not [name for name in names if "cleaned" in name or "swap" in name]
        assert len([name for name in names if name.endswith(".log")]) == len(again.segments)
