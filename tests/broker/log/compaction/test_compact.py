"""What a pass keeps, what it removes, and that nobody notices."""

from __future__ import annotations

from dataclasses import replace

import pytest

from broker.log.compaction import compact as module
from broker.log.compaction.compact import Interrupted
from broker.log.errors import DiskFull
from broker.log.log import Log
from protocol.batch import split_batches
from protocol.compression import Compression
from protocol.errors import CorruptBatch
from simulation.disk import MemoryDisk
from tests.broker.log.compaction.keyed import (
    COMPACTED,
    batches_of,
    compact,
    flush,
    keyed_batch,
    newest_of,
    pairs_of,
    records_of,
)


@pytest.fixture
def log(open_log):
    return open_log(COMPACTED)


@pytest.fixture
def fill(disk, log, wall_ms):
    """Appends many batches over few keys, all durable."""

    def fill(count=40, *, keys=5, value=b"v%d", log=log, **header):
        epoch = max(log.latest_epoch, 1)
        for i in range(count):
            pairs = [(b"k%d" % (i % keys), value % i if value else None), (b"k0", b"w%d" % i)]
            batch = keyed_batch(pairs, timestamp_ms=wall_ms(), **header)
            log.append_as_leader(batch, leader_epoch=epoch + i // 15)
        flush(disk, log)

    return fill


def test_the_newest_record_of_each_key_stays_at_its_offset(log, fill):
    fill()
    before = records_of(log)
    compacted_to = log.segments[-1].base_offset
    done = compact(log)
    after = records_of(log)
    old = {offset: record for offset, record in before.items() if offset < compacted_to}
    newest = newest_of(old)
    assert after == {
        offset: record
        for offset, record in before.items()
        if offset >= compacted_to or newest[record.key] == offset
    }
    assert len(newest) == 5 < len(old)
    assert (done.end_offset, done.keys) == (compacted_to, 5)
    assert done.bytes_after < done.bytes_before / 4
    assert log.log_end_offset == 80
    assert log.first_dirty_offset == compacted_to


def test_segments_become_one_and_leave_no_files_behind(disk, root, log, fill):
    fill()
    many = len(log.segments)
    done = compact(log)
    assert many > 5
    assert (done.segments_before, len(log.segments)) == (many - 1, done.segments_after + 1)
    kept = {f"{segment.base_offset:020d}.log" for segment in log.segments}
    names = disk.list(f"{root}/topic-0")
    assert {name for name in names if ".log" in name} == kept
    assert {name for name in names if "cleaned" in name or "swap" in name} == set()


def test_it_can_be_read_from_every_offset(log, fill):
    fill()
    compact(log)
    ends = [header.next_offset for header, _ in batches_of(log)]
    for offset in range(log.log_end_offset):
        piece = log.read(offset, bytes_max=1, end_offset=log.log_end_offset)
        (header, _), *_ = split_batches(piece.read_bytes())
        assert header.next_offset == next(end for end in ends if end > offset)


def test_nothing_is_due_until_more_is_written(log, fill):
    assert compact(log) is None
    fill()
    assert compact(log) is not None
    assert compact(log) is None
    fill(20)
    assert compact(log) is not None


def test_a_segment_that_would_stay_the_same_is_left_alone(disk, log):
    def send(key, value):
        log.append_as_leader(keyed_batch([(key, value)]), leader_epoch=1)

    send(b"first", b"of its epoch")
    for segment in range(3):
        for i in range(3):
            send(b"unique-%d-%d" % (segment, i), b"v" * 30)
        send(b"again", b"v" * 100)
    flush(disk, log)
    compact(log)
    first = log.segments[0]
    (*_, (last, _)) = split_batches(first.file.read(0, first.size_bytes))
    assert last.record_count == 0, "it stands for its end alone"
    for i in range(12):
        send(b"new-%d" % i, b"v" * 100)
    flush(disk, log)
    assert compact(log) is not None
    assert log.segments[0] is first


def test_nothing_above_the_limit_is_touched(log, fill):
    fill()
    before = records_of(log)
    end_offset = log.segments[3].base_offset
    limit = log.segments[4].base_offset - 1
    assert compact(log, limit=limit).end_offset == end_offset
    after = records_of(log)
    assert all(after[offset] == before[offset] for offset in before if offset >= end_offset)


def test_what_is_not_durable_is_not_touched(log, wall_ms):
    for i in range(40):
        batch = keyed_batch([(b"k", b"%d" % i)], timestamp_ms=wall_ms())
        log.append_as_leader(batch, leader_epoch=1)
    assert len(log.segments) > 2
    assert compact(log) is None


def test_records_without_a_key_stay(disk, log):
    for i in range(40):
        log.append_as_leader(keyed_batch([(None, b"%d" % i), (b"k", b"")]), leader_epoch=1)
    flush(disk, log)
    before = [one for one in pairs_of(log) if one[1] is None]
    compact(log)
    assert [one for one in pairs_of(log) if one[1] is None] == before
    assert len([one for one in pairs_of(log) if one[1] == b"k"]) < 20


def test_a_tombstone_outlasts_what_it_deletes_for_a_while(disk, log, fill, wall_ms):
    log.append_as_leader(keyed_batch([(b"gone", b"value")], timestamp_ms=5), leader_epoch=1)
    batch = keyed_batch([(b"gone", None), (b"stays", b"1")], timestamp_ms=70, base_offset=0)
    log.append_as_leader(batch, leader_epoch=1)
    fill()
    compact(log)
    at_first = records_of(log)
    assert [(one.value, one.timestamp_ms) for one in at_first.values() if one.key == b"gone"] == [
        (None, 70)
    ]
    (header,) = [header for header, _ in batches_of(log) if header.delete_horizon_ms is not None]
    assert header.delete_horizon_ms == wall_ms() + 1000
    assert header.max_timestamp == 71
    wall_ms.now_ms += 999
    fill(20)
    compact(log)
    assert [one.value for one in records_of(log).values() if one.key == b"gone"] == [None]
    wall_ms.now_ms += 1
    assert compact(log) is not None, "the tombstone alone is worth a pass"
    after = records_of(log)
    assert [one for one in after.values() if one.key == b"gone"] == []
    (kept,) = [one for one in after.values() if one.key == b"stays"]
    assert (kept.value, kept.timestamp_ms) == (b"1", 71)
    assert all(header.delete_horizon_ms is None for header, _ in batches_of(log))
    assert compact(log) is None


def test_a_tombstone_waits_until_every_replica_has_it(log, fill, wall_ms):
    log.append_as_leader(keyed_batch([(b"gone", b"value")]), leader_epoch=1)
    log.append_as_leader(keyed_batch([(b"gone", None)]), leader_epoch=1)
    fill()
    compact(log, replicated=lambda: 1)
    wall_ms.now_ms += 1000
    assert compact(log, replicated=lambda: -1) is None, "nobody knows"
    compact(log, replicated=lambda: 1)
    assert compact(log, replicated=lambda: 1) is None, "it has been tried"
    assert [one.value for one in records_of(log).values() if one.key == b"gone"] == [None]
    assert compact(log, replicated=lambda: 2) is not None
    assert [one for one in records_of(log).values() if one.key == b"gone"] == []


def test_a_tombstone_stays_where_a_replica_begins_anew_meanwhile(log, fill, wall_ms):
    log.append_as_leader(keyed_batch([(b"gone", b"value")]), leader_epoch=1)
    log.append_as_leader(keyed_batch([(b"gone", None)]), leader_epoch=1)
    fill()
    compact(log)
    wall_ms.now_ms += 1000
    ends = iter((100, 100, 1))

    with pytest.raises(Interrupted):
        compact(log, replicated=lambda: next(ends, 1))

    assert [one.value for one in records_of(log).values() if one.key == b"gone"] == [None]
    assert compact(log) is not None
    assert [one for one in records_of(log).values() if one.key == b"gone"] == []


@pytest.mark.parametrize("compression", list(Compression))
def test_compressed_batches_stay_compressed(disk, log, compression):
    for i in range(40):
        pairs = [(b"k%d" % i, b"x" * 90), (b"k", b"y" * 90)]
        log.append_as_leader(keyed_batch(pairs, compression=compression), leader_epoch=1)
    flush(disk, log)
    size_bytes = log.size_bytes
    assert compact(log) is not None
    assert log.size_bytes < size_bytes
    kept = [header for header, _ in batches_of(log) if header.record_count == 1]
    assert len(kept) > 10
    assert {header.compression for header in kept} == {compression}
    assert len([one for one in pairs_of(log) if one[1] != b"k"]) == 40


def test_keys_beyond_the_memory_wait_for_the_next_pass(disk, log):
    for _ in range(3):
        for i in range(20):
            log.append_as_leader(keyed_batch([(b"key-%d" % i, b"v" * 20)]), leader_epoch=1)
    log.append_as_leader(keyed_batch([(b"end", b"v" * 500)]), leader_epoch=1)
    flush(disk, log)
    passes = 0
    while (done := compact(log, key_bytes_max=8 * 175)) is not None:
        passes += 1
        assert done.keys <= 8
    assert passes >= 7
    assert [offset for offset, _, _ in pairs_of(log)] == list(range(40, 61))


def test_epochs_are_the_same_after_an_unclean_start(disk, root, log, fill, open_log):
    fill()
    epochs = [log.end_offset_for_epoch(epoch) for epoch in (1, 2, 3)]
    compact(log)
    for name in ("leader-epoch-checkpoint", None):
        if name is not None:
            disk.remove(f"{root}/topic-0/{name}")
        again = open_log(COMPACTED, clean=False)
        assert again.recovery.bytes_cut == 0
        assert [again.end_offset_for_epoch(epoch) for epoch in (1, 2, 3)] == epochs


def test_a_producer_may_send_its_last_batches_again(disk, root, log, fill, open_log):
    sent = [
        keyed_batch([(b"k0", b"p%d" % i)], producer_id=9, producer_epoch=0, base_sequence=i)
        for i in range(8)
    ]
    offsets = [log.append_as_leader(batch, leader_epoch=1).base_offset for batch in sent]
    fill()
    compact(log)
    assert not [one for one in pairs_of(log) if one[2].startswith(b"p")]
    for name in disk.list(f"{root}/topic-0"):
        if name.endswith(".snapshot"):
            disk.remove(f"{root}/topic-0/{name}")
    again = open_log(COMPACTED, clean=False)
    for batch, offset in list(zip(sent, offsets, strict=True))[-5:]:
        appended = again.append_as_leader(batch, leader_epoch=3)
        assert (appended.duplicate, appended.base_offset) == (True, offset)


def test_a_producer_is_known_as_well_where_the_log_is_cut_later(disk, root, log, open_log):
    def send(sequence, text):
        batch = keyed_batch(
            [(b"k", text * 60)], producer_id=9, producer_epoch=0, base_sequence=sequence
        )
        return log.append_as_leader(batch, leader_epoch=1)

    offsets = [send(i, b"a").base_offset for i in range(8)]
    end_offset = log.log_end_offset
    log.append_as_leader(keyed_batch([(b"k", b"b" * 500)]), leader_epoch=1)
    for i in range(8, 80):
        send(i, b"c")
    flush(disk, log)
    assert compact(log, limit=end_offset).end_offset == end_offset
    log.truncate_to(end_offset)
    for i, offset in list(enumerate(offsets))[-5:]:
        appended = send(i, b"a")
        assert (appended.duplicate, appended.base_offset) == (True, offset)
    assert not send(8, b"d").duplicate


def test_a_follower_can_copy_a_compacted_log(disk, root, log, fill):
    fill()
    compact(log)
    follower = Log.create(disk, f"{root}/topic-1", COMPACTED, topic_id=bytes(16), wall_ms=lambda: 0)
    while piece := log.read(follower.log_end_offset, bytes_max=200, end_offset=log.log_end_offset):
        follower.append_as_follower(piece.read_bytes())
    assert follower.log_end_offset == log.log_end_offset
    assert records_of(follower) == records_of(log)
    for epoch in (1, 2, 3):
        assert follower.end_offset_for_epoch(epoch) == log.end_offset_for_epoch(epoch)


def test_times_are_found(log, fill, wall_ms):
    start_ms = wall_ms()
    for _ in range(4):
        wall_ms.now_ms += 1000
        fill(10)
    compact(log)
    records = records_of(log)
    for since_ms in range(start_ms - 1, wall_ms.now_ms + 3, 250):
        newer = [offset for offset, one in records.items() if one.timestamp_ms >= since_ms]
        found = log.offset_for_timestamp(since_ms)
        assert (found and found.offset) == (newer[0] if newer else None)


def test_the_newest_time_is_that_of_a_record_that_is_left(disk, log, wall_ms):
    for i in range(40):
        header = {"producer_id": 9, "producer_epoch": 0, "base_sequence": i}
        batch = keyed_batch([(b"k", b"x" * 60)], timestamp_ms=10_000 - i, **header)
        log.append_as_leader(batch, leader_epoch=1)
    flush(disk, log)
    compact(log)
    records = records_of(log)
    newest = log.max_timestamp()
    assert newest.timestamp_ms == max(one.timestamp_ms for one in records.values())
    assert records[newest.offset].timestamp_ms == newest.timestamp_ms


def test_a_record_that_is_left_is_found_by_the_brokers_time(disk, open_log, wall_ms):
    log = open_log(replace(COMPACTED, message_timestamp_type="LogAppendTime"))
    for i in range(40):
        pairs = [(b"k", b"x" * 30), (b"k%d" % i, b"y" * 30)]
        log.append_as_leader(keyed_batch(pairs), leader_epoch=1)
        wall_ms.now_ms += 10
    flush(disk, log)
    compact(log)
    records = records_of(log)
    assert (1 in records, 0 in records) == (True, False)
    for offset, record in records.items():
        at_ms = record.timestamp_ms
        found = log.offset_for_timestamp(at_ms)
        assert found.timestamp_ms == at_ms
        assert found.offset == min(o for o, r in records.items() if r.timestamp_ms == at_ms)
        assert found.offset <= offset


def test_a_cut_ends_the_pass_and_the_log_goes_on(log, fill, monkeypatch):
    fill()
    before = records_of(log)

    async def cut(_size_bytes):
        log.truncate_to(30)

    monkeypatch.setattr(module, "_SLICE_BYTES", 1)
    with pytest.raises(Interrupted):
        compact(log, pace=cut)
    assert records_of(log) == {offset: one for offset, one in before.items() if offset < 30}
    fill()
    assert compact(log) is not None


def test_a_pass_ends_where_the_topic_is_compacted_no_more(log, fill, monkeypatch):
    fill()
    before = records_of(log)

    async def change(_size_bytes):
        log.reconfigure(replace(COMPACTED, cleanup_policy=frozenset({"delete"})))
        for _ in range(2):
            log.rest()  # closes the files that nobody uses

    monkeypatch.setattr(module, "_SLICE_BYTES", 1)
    with pytest.raises(Interrupted):
        compact(log, pace=change)
    assert log.failed is None
    assert records_of(log) == before


def test_retention_waits_for_the_end_of_a_pass(log, fill, monkeypatch):
    config = replace(COMPACTED, cleanup_policy=frozenset({"compact", "delete"}), retention_bytes=1)
    log.reconfigure(config)
    fill()
    removed = []

    async def remove(_size_bytes):
        removed.append(log.apply_retention(log.log_end_offset))

    monkeypatch.setattr(module, "_SLICE_BYTES", 1)
    assert compact(log, pace=remove) is not None
    assert set(removed) == {0}
    assert log.first_dirty_offset > 0
    assert log.apply_retention(log.log_end_offset) > 0


@pytest.mark.parametrize("position", [1, 21, 80])
def test_a_damaged_batch_is_never_copied(disk, root, log, fill, position):
    if not isinstance(disk, MemoryDisk):
        pytest.skip("bits are flipped in memory only")
    fill()
    path = f"{root}/topic-0/{log.segments[2].base_offset:020d}.log"
    disk.flip_bit(path, position)
    data = disk.read_file(path)
    with pytest.raises(CorruptBatch):
        compact(log)
    assert disk.read_file(path) == data
    assert log.failed is None
    assert not [name for name in disk.list(f"{root}/topic-0") if "cleaned" in name]


def test_a_full_disk_leaves_the_log_as_it_is(disk, root, log, fill):
    if not isinstance(disk, MemoryDisk):
        pytest.skip("only the disk in memory can be made small")
    fill()
    before = records_of(log)
    disk.capacity_bytes = disk.total_bytes(root) and 0
    with pytest.raises(DiskFull):
        compact(log)
    assert log.failed is None
    assert records_of(log) == before
    disk.capacity_bytes = None
    assert compact(log) is not None


def test_a_full_disk_does_not_end_a_log_whose_newest_segment_is_old(disk, root, log, fill, wall_ms):
    if not isinstance(disk, MemoryDisk):
        pytest.skip("only the disk in memory can be made small")
    fill(3)
    wall_ms.now_ms += COMPACTED.segment_ms + 1
    disk.capacity_bytes = 0
    assert log.find_cleanable(log.log_end_offset) is None
    assert log.failed is None
    disk.capacity_bytes = None
    assert compact(log) is not None


def test_no_room_for_the_indexes_of_what_was_compacted_is_no_harm(
    disk, root, log, fill, open_log, monkeypatch
):
    fill()
    flush(disk, log)
    write_file = disk.write_file

    def refuse_indexes(path, data, *, durable=True):
        if path.endswith("index"):
            raise DiskFull(f"no room for {path}")
        write_file(path, data, durable=durable)

    monkeypatch.setattr(disk, "write_file", refuse_indexes)
    assert compact(log) is not None
    monkeypatch.undo()
    left = records_of(log)
    assert log.failed is None
    log.close()

    assert records_of(open_log(COMPACTED)) == left


@pytest.mark.parametrize("step", ["make_durable", "remove_superseded"])
def test_whatever_is_refused_once_it_has_its_place_ends_the_log(
    disk, log, fill, open_log, monkeypatch, step
):
    """Else what it superseded stays behind, and the next pass forgets about it."""
    fill()
    flush(disk, log)
    before = newest_of(records_of(log))

    def refuse(*_):
        raise DiskFull("no room, though there is nothing to write")

    monkeypatch.setattr(f"broker.log.compaction.swap.{step}", refuse)
    with pytest.raises(DiskFull):
        compact(log)
    assert isinstance(log.failed, DiskFull)
    monkeypatch.undo()
    log.close(clean=False)

    log = open_log(COMPACTED, clean=False)
    assert newest_of(records_of(log)) == before
    assert not log.recovery.records_lost


def test_an_old_segment_is_begun_anew_so_that_it_can_be_compacted(log, fill, wall_ms):
    fill(3)
    assert len(log.segments) == 1
    wall_ms.now_ms += COMPACTED.segment_ms + 1
    assert compact(log) is not None
    assert len(log.segments) == 2
