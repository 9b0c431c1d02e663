"""Laws of a log whose disk refuses: a full disk harms nothing, any other refusal is the end."""

from __future__ import annotations

import random

import pytest
from structlog.testing import capture_logs

from broker.log.config import LogConfig
from broker.log.directory import Checkpoint
from broker.log.epochs import EpochCache
from broker.log.errors import DiskFull, LogOffline
from broker.log.flush import Flusher
from broker.log.index_files import INDEX_SUFFIXES
from broker.log.log import Log
from broker.log.recovery import EPOCHS_FILE, write_again
from broker.log.storage import Storage
from protocol.batch import split_batches
from protocol.errors import StorageError
from simulation.disk import MemoryDisk
from tests.broker.log.logs import flush


@pytest.fixture
def disk():
    disk = MemoryDisk(random.Random(1))
    disk.make_directory("/d")
    return disk


@pytest.fixture
def log(disk, wall_ms):
    return Log.create(disk, "/d/t-0", LogConfig(), topic_id=bytes(16), wall_ms=wall_ms)


def fill(disk):
    """Leave not a byte free."""
    disk.capacity_bytes = 1 << 40
    disk.capacity_bytes -= disk.free_bytes("")


def kept_epochs(disk):
    """Give (epoch, start offset) as the file has them."""
    return [tuple(e) for e in EpochCache.parse(disk.read_file(f"/d/t-0/{EPOCHS_FILE}")).entries]


def test_a_full_disk_refuses_an_append_and_leaves_the_log_as_it_was(disk, log, batch_of):
    told = []
    log.on_failure(told.append)
    disk.capacity_bytes = 1000
    log.append_as_leader(batch_of(1, value=bytes(500)), leader_epoch=0)

    with pytest.raises(DiskFull):
        log.append_as_leader(batch_of(1, value=bytes(500)), leader_epoch=0)

    assert log.failed is None
    assert told == []
    assert log.log_end_offset == 1
    disk.capacity_bytes = 10_000
    log.append_as_leader(batch_of(1, value=bytes(500)), leader_epoch=0)
    found = log.read(0, bytes_max=1 << 20, end_offset=2).read_bytes()
    assert [header.base_offset for header, _ in split_batches(found, check_crc=True)] == [0, 1]


def test_a_full_disk_is_freed_by_retention(disk, log, batch_of):
    log.reconfigure(LogConfig(segment_bytes=600, retention_bytes=600))
    for epoch in range(4):
        log.append_as_leader(batch_of(1, value=bytes(500)), leader_epoch=epoch)
    fill(disk)

    assert log.apply_retention(high_watermark=4) == 2

    assert log.failed is None
    assert (log.log_start_offset, log.log_end_offset) == (2, 4)
    disk.capacity_bytes = None
    log.append_as_leader(batch_of(1), leader_epoch=3)
    assert [start for _, start in kept_epochs(disk)] == [2, 3]


def test_a_full_disk_hides_what_is_to_be_deleted(disk, log, batch_of):
    log.append_as_leader(batch_of(3), leader_epoch=0)
    fill(disk)

    log.advance_log_start(2)

    assert log.failed is None
    assert log.log_start_offset == 2


def test_a_full_disk_keeps_the_last_segment_where_all_is_old(disk, log, batch_of, wall_ms):
    log.reconfigure(LogConfig(segment_bytes=600, retention_ms=1000))
    for _ in range(2):
        log.append_as_leader(batch_of(1, value=bytes(500)), leader_epoch=0)
    wall_ms.now_ms += 10_000
    fill(disk)

    assert log.apply_retention(high_watermark=2) == 1
    assert log.apply_retention(high_watermark=2) == 1, "the first one's room is enough"

    assert (log.failed, log.log_start_offset, log.log_end_offset) == (None, 2, 2)


def test_a_log_whose_disk_failed_is_used_no_more(disk, log, batch_of):
    log.append_as_leader(batch_of(1), leader_epoch=0)
    disk.crash()

    with pytest.raises(StorageError):
        log.append_as_leader(batch_of(1), leader_epoch=0)

    assert log.failed is not None
    for act in (
        lambda: log.append_as_leader(batch_of(1), leader_epoch=0),
        lambda: log.append_as_follower(batch_of(1, base_offset=1)),
        lambda: log.read(0, bytes_max=1, end_offset=1),
        lambda: log.truncate_to(0),
        log.begin_flush,
        log.prepare_close,
    ):
        with pytest.raises(LogOffline):
            act()
    log.close()


@pytest.mark.parametrize(
    "act",
    [
        lambda log, batch: log.append_as_leader(batch, leader_epoch=0),
        lambda log, _: log.read(0, bytes_max=1, end_offset=1),
        lambda log, _: log.offset_for_timestamp(0),
        lambda log, _: log.truncate_to(0),
        lambda log, _: log.start_epoch(1),
    ],
    ids=["append", "read", "look up", "truncate", "start epoch"],
)
def test_the_owner_of_a_log_is_told_of_a_failure_once_and_before_the_caller(
    act, disk, log, batch_of
):
    told = []
    log.append_as_leader(batch_of(1), leader_epoch=0)
    log.on_failure(told.append)
    disk.crash()
    disk.capacity_bytes = 0

    for _ in range(2):
        with pytest.raises(StorageError):
            act(log, batch_of(1))
        assert told == [log.failed]


@pytest.mark.parametrize("again", [False, True])
async def test_what_a_failed_flush_may_have_dropped_lasts_once_it_is_written_again(
    disk, log, batch_of, wall_ms, autojump_clock, again
):
    flusher = Flusher(disk)
    target = Target(log)
    for leader_epoch in range(3):
        log.append_as_leader(batch_of(2, value=bytes(100)), leader_epoch=leader_epoch)
        disk.fail_next_sync(leader_epoch == 2)
        await flusher.flush([target])
    assert log.failed is not None
    log.close(clean=False)
    checkpoint = Checkpoint(recovery_point=2)
    storage = Storage(disk, "/d/t-0", LogConfig(), wall_ms)

    def opened() -> Log:
        return Log.open(
            disk, "/d/t-0", LogConfig(), wall_ms=wall_ms, clean=False, checkpoint=checkpoint
        )

    disk.open("/d/t-0/notes.log", create=True).append(b"somebody else's")
    if again:
        write_again(storage, checkpoint)
    read = opened()
    assert read.log_end_offset == 6, "the kernel shows what it has not written"
    read.close(clean=False)
    disk.crash()

    assert opened().log_end_offset == (6 if again else 4)


class Target:
    """Whoever has a log flushed."""

    def __init__(self, log: Log) -> None:
        self.log = log

    def flushed(self) -> None:
        pass


async def test_a_log_of_which_a_file_cannot_be_opened_fails_alone(
    disk, log, batch_of, wall_ms, autojump_clock, monkeypatch
):
    """The epochs were written before anybody had the log flushed, and are opened for that."""
    told = []
    log.on_failure(told.append)
    other = Log.create(disk, "/d/u-0", LogConfig(), topic_id=bytes(16), wall_ms=wall_ms)
    for each in (log, other):
        each.append_as_leader(batch_of(3), leader_epoch=0)
    open_file = disk.open

    def refuse(path, *, create=False):
        if path == f"/d/t-0/{EPOCHS_FILE}":
            raise StorageError(f"cannot open {path}: too many open files")
        return open_file(path, create=create)

    monkeypatch.setattr(disk, "open", refuse)
    await Flusher(disk).flush([Target(log), Target(other)])

    assert [str(error) for error in told] == [str(log.failed)]
    assert "too many open files" in str(log.failed)
    assert log.durable_end_offset == 0
    assert (other.failed, other.durable_end_offset) == (None, 3)


@pytest.mark.parametrize("cut", [Log.truncate_to, Log.reset_to])
def test_a_full_disk_refuses_a_cut_and_harms_nothing(disk, log, batch_of, cut):
    log.append_as_leader(batch_of(3), leader_epoch=0)
    log.append_as_leader(batch_of(3), leader_epoch=0)
    flush(log, disk)
    fill(disk)

    with pytest.raises(DiskFull):
        cut(log, 3)
    assert log.log_end_offset == 6

    disk.capacity_bytes = None
    cut(log, 3)
    assert log.log_end_offset == 3


@pytest.mark.parametrize("offset", [3, 6])
def test_a_full_disk_refuses_no_cut_of_what_is_not_durable(disk, log, batch_of, offset):
    log.append_as_leader(batch_of(3), leader_epoch=0)
    flush(log, disk)
    log.append_as_leader(batch_of(3), leader_epoch=1)
    log.start_epoch(2)
    fill(disk)

    log.truncate_to(offset)

    assert log.failed is None
    assert (log.log_end_offset, log.latest_epoch) == (offset, offset // 3 - 1)
    disk.capacity_bytes = None
    log.append_as_leader(batch_of(1), leader_epoch=2)
    assert kept_epochs(disk)[-1] == (2, offset)


def test_indexes_that_a_full_disk_did_not_take_after_a_cut_are_written_later(
    disk, log, batch_of, wall_ms
):
    config = LogConfig(index_interval_bytes=0)
    log.reconfigure(config)
    for _ in range(20):
        log.append_as_leader(batch_of(3), leader_epoch=0)
    paths = [log.segments[0].path(suffix) for suffix in INDEX_SUFFIXES]
    fill(disk)
    log.truncate_to(57)
    assert log.failed is None
    assert not any(disk.exists(path) for path in paths), "what they held was cut"

    disk.capacity_bytes = None
    log.append_as_leader(batch_of(3), leader_epoch=0)
    log.close()
    with capture_logs() as events:
        log = Log.open(disk, "/d/t-0", config, wall_ms=wall_ms, clean=True)

    assert events == [], "nothing had to be built again"
    assert [len(disk.read_file(path)) for path in paths] == [19 * 8, 12]
    assert log.max_timestamp() == (2, wall_ms.now_ms + 2, 0)


@pytest.fixture
def found(log, batch_of):
    """A slice of the log."""
    log.append_as_leader(batch_of(1), leader_epoch=0)
    return log.read(0, bytes_max=1 << 20, end_offset=1)


def test_a_slice_that_the_disk_does_not_give_fails_its_log(disk, log, found, batch_of):
    told = []
    log.on_failure(told.append)
    disk.fail_next_read()

    with pytest.raises(StorageError) as failed:
        found.read_bytes()

    assert told == [failed.value]
    with pytest.raises(LogOffline):
        log.append_as_leader(batch_of(1), leader_epoch=0)


def test_a_slice_that_outlives_its_log_fails_nothing(disk, log, found):
    told = []
    log.on_failure(told.append)
    log.close()
    disk.fail_next_read()

    with pytest.raises(StorageError):
        found.read_bytes()
    assert told == []


def test_an_empty_log_begins_later_on_a_full_disk(disk, log, batch_of):
    flush(log, disk)
    fill(disk)

    log.reset_to(2000)

    assert log.failed is None
    assert (log.log_start_offset, log.log_end_offset) == (2000, 2000)
    disk.capacity_bytes = None
    log.append_as_leader(batch_of(1), leader_epoch=3)
    assert kept_epochs(disk) == [(3, 2000)]


def test_a_full_disk_serves_what_has_no_index_any_more(disk, log, batch_of):
    log.reconfigure(LogConfig(segment_bytes=2000, index_interval_bytes=0))
    while len(log.segments) < 3:
        log.append_as_leader(batch_of(3), leader_epoch=0)
    flush(log, disk)
    old = log.segments[0]
    end = log.log_end_offset
    for _ in range(2):
        log.rest()
    for suffix in INDEX_SUFFIXES:
        disk.remove(old.path(suffix))
    fill(disk)

    found = log.read(old.next_offset - 1, bytes_max=1, end_offset=end).read_bytes()

    assert [header.last_offset for header, _ in split_batches(found)] == [old.next_offset - 1]
    assert log.apply_retention(end) == 0
    assert log.failed is None
    disk.capacity_bytes = None
    log.close()
    assert all(disk.exists(old.path(suffix)) for suffix in INDEX_SUFFIXES)
