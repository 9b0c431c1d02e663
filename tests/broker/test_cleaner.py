"""Which logs the cleaner takes up, in which order, and what it leaves alone."""

from __future__ import annotations

import random
from dataclasses import dataclass, replace

import pytest
import trio
from structlog.testing import capture_logs

from broker.cleaner import Cleaner
from broker.config import CleanerConfig
from broker.log.log import OFFSET_MAX, Log
from broker.watermark import Watermark
from protocol.errors import StorageError
from simulation.disk import MemoryDisk
from tests.broker.log.compaction.keyed import COMPACTED, keyed_batch

NOW_MS = 1_700_000_000_000


@dataclass(eq=False)
class Replica:
    """What the cleaner asks of a partition."""

    name: str
    log: Log
    high_watermark: Watermark
    replicated_end_offset: int = OFFSET_MAX
    offline: StorageError | None = None

    def apply_retention(self):
        return self.log.apply_retention(self.high_watermark.value, count_max=1) > 0


@pytest.fixture
def disk():
    disk = MemoryDisk(random.Random(3))
    disk.make_directory("/data")
    return disk


@pytest.fixture
def replica_of(disk):
    """Makes a replica with so many batches of one key, all durable and committed."""

    async def make(name, count, *, config=COMPACTED):
        log = Log.create(disk, f"/data/{name}", config, topic_id=bytes(16), wall_ms=lambda: NOW_MS)
        await write(disk, log, count)
        return Replica(name, log, Watermark(log.log_end_offset))

    return make


async def write(disk, log, count):
    for i in range(count):
        log.append_as_leader(keyed_batch([(b"k", b"%d" % i * 20)]), leader_epoch=1)
    ticket = log.begin_flush()
    await disk.sync(ticket.files, ticket.directories)
    log.end_flush(ticket)


async def test_every_compacted_log_is_taken_up_and_no_other(replica_of):
    compacted = await replica_of("a-0", 30)
    deleted = await replica_of("b-0", 30, config=replace(COMPACTED, cleanup_policy={"delete"}))
    both = await replica_of(
        "c-0", 30, config=replace(COMPACTED, cleanup_policy=frozenset({"compact", "delete"}))
    )
    await Cleaner([compacted, deleted, both], CleanerConfig()).compact_all()
    for one in (compacted, both):
        assert one.log.first_dirty_offset == one.log.segments[-1].base_offset > 0
    assert deleted.log.first_dirty_offset == 0
    assert deleted.log.size_bytes > compacted.log.size_bytes


async def test_what_retention_has_left_for_the_pass_goes_after_it(replica_of, monkeypatch):
    config = replace(COMPACTED, cleanup_policy=frozenset({"compact", "delete"}), retention_bytes=1)
    replica = await replica_of("a-0", 30, config=config)
    await Cleaner([replica], CleanerConfig()).compact_all()
    assert len(replica.log.segments) == 1


async def test_the_log_with_most_that_is_new_comes_first(disk, replica_of, monkeypatch):
    replicas = [await replica_of(f"t-{i}", 30) for i in range(3)]
    cleaner = Cleaner(replicas, CleanerConfig())
    await cleaner.compact_all()
    for one, count in zip(replicas, (10, 60, 30), strict=True):
        await write(disk, one.log, count)
        one.high_watermark.advance(one.log.log_end_offset)
    order = []
    compact = Log.compact

    async def noted(log, cleanable, **options):
        order.append(log.directory)
        return await compact(log, cleanable, **options)

    monkeypatch.setattr(Log, "compact", noted)
    await cleaner.compact_all()
    assert order == ["/data/t-1", "/data/t-2", "/data/t-0"]


async def test_nothing_above_the_high_watermark_is_compacted(replica_of):
    replica = await replica_of("a-0", 30)
    replica.high_watermark = Watermark(replica.log.segments[2].base_offset)
    await Cleaner([replica], CleanerConfig()).compact_all()
    assert replica.log.first_dirty_offset == replica.high_watermark.value


async def test_a_damaged_log_is_left_alone_and_the_others_go_on(disk, replica_of):
    damaged, whole = await replica_of("a-0", 60), await replica_of("b-0", 30)
    disk.flip_bit(f"/data/a-0/{damaged.log.segments[0].base_offset:020d}.log", 80)
    cleaner = Cleaner([damaged, whole], CleanerConfig())
    with capture_logs() as events:
        await cleaner.compact_all()
    (told,) = [event for event in events if event["event"] == "damaged_log_not_compacted"]
    assert "move the directory away" in told["hint"]
    assert "exc_info" not in told
    assert whole.log.first_dirty_offset > 0
    before = disk.list("/data/a-0")
    disk.fail_next_read(1000)
    await cleaner.compact_all()  # which reads nothing of it
    assert damaged.log.failed is None
    assert disk.list("/data/a-0") == before


async def test_a_log_on_a_failing_disk_goes_offline_alone(disk, replica_of):
    failing, whole = await replica_of("a-0", 60), await replica_of("b-0", 30)
    failing.log.on_failure(lambda error: setattr(failing, "offline", error))
    disk.fail_next_read()
    await Cleaner([failing, whole], CleanerConfig()).compact_all()
    assert failing.offline is not None
    assert whole.log.first_dirty_offset > 0


async def test_it_looks_again_and_again(disk, replica_of, autojump_clock):
    replica = await replica_of("a-0", 30)
    cleaner = Cleaner([replica], CleanerConfig(log_cleaner_backoff_ms=10_000))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(cleaner.run)
        await trio.sleep(9.9)
        assert replica.log.first_dirty_offset == 0
        await trio.sleep(0.2)
        first = replica.log.first_dirty_offset
        assert first > 0
        await write(disk, replica.log, 30)
        replica.high_watermark.advance(replica.log.log_end_offset)
        await trio.sleep(10)
        assert replica.log.first_dirty_offset > first
        nursery.cancel_scope.cancel()


async def test_the_bound_on_bytes_is_kept(replica_of, autojump_clock):
    replica = await replica_of("a-0", 1500)
    size_bytes = sum(segment.size_bytes for segment in replica.log.segments[:-1])
    began_at = trio.current_time()
    config = CleanerConfig(log_cleaner_io_max_bytes_per_second=100_000)
    await Cleaner([replica], config).compact_all()
    assert replica.log.first_dirty_offset > 0
    # Every byte is read twice, for its key and to be kept or not.
    assert trio.current_time() - began_at == pytest.approx(2 * size_bytes / 100_000, rel=0.2)
