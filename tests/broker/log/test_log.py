"""Laws of one partition's log: reading, looking up, cutting, ageing."""

from __future__ import annotations

import random

import pytest
from msgspec.structs import replace

from broker.log import timestamps
from broker.log.config import LogConfig
from broker.log.errors import LogOffline, OffsetOutOfRange
from broker.log.index import POSITION_MAX
from broker.log.log import Log
from broker.log.placement import Placed
from protocol.batch import HEADER_BYTES, make_batch, read_header, split_batches
from protocol.compression import Compression
from protocol.errors import StorageError
from simulation.disk import MemoryDisk
from simulation.memory_file import MemoryFile
from tests.broker.log.logs import SMALL, TOPIC_ID, flush, headers_of

# Reading.


@pytest.fixture
def filled(log, batch_of):
    for i in range(60):
        log.append_as_leader(batch_of(1 + i % 4, value=bytes(i)), leader_epoch=i // 20)
    assert len(log.segments) > 3
    return log


def test_every_offset_leads_to_the_batch_that_holds_it(filled):
    headers = headers_of(filled)
    assert [h.base_offset for h in headers[1:]] == [h.next_offset for h in headers[:-1]]

    for header in headers:
        for offset in range(header.base_offset, header.next_offset):
            piece = filled.read(offset, bytes_max=1, end_offset=filled.log_end_offset)
            assert read_header(piece.read_bytes()) == header
            assert len(piece) == header.size_bytes


def test_slices_are_whole_batches_within_the_bound(filled):
    for offset in range(0, filled.log_end_offset, 7):
        for bytes_max in (70, 300, 1000, 5000):
            piece = filled.read(offset, bytes_max=bytes_max, end_offset=filled.log_end_offset)
            batches = split_batches(piece.read_bytes(), check_crc=True)
            assert batches[0][0].base_offset <= offset < batches[0][0].next_offset
            assert len(piece) <= bytes_max or len(batches) == 1


def test_nothing_at_or_beyond_the_end_offset_is_read(filled):
    boundaries = [0, *(h.next_offset for h in headers_of(filled))]
    for end_offset in boundaries:
        headers = headers_of(filled, end_offset=end_offset)
        assert (headers[-1].next_offset if headers else 0) == end_offset


def test_a_first_batch_over_the_bound_is_read_only_where_one_is_wanted(filled):
    wanted = filled.read(0, bytes_max=1, end_offset=9, at_least_one=True)
    unwanted = filled.read(0, bytes_max=1, end_offset=9, at_least_one=False)

    assert len(split_batches(wanted.read_bytes())) == 1
    assert len(unwanted) == 0
    assert unwanted.read_bytes() == b""


def test_reading_at_the_end_is_empty_and_beyond_is_out_of_range(filled):
    end = filled.log_end_offset

    assert not filled.read(end, bytes_max=1000, end_offset=end)
    with pytest.raises(OffsetOutOfRange) as caught:
        filled.read(end + 1, bytes_max=1000, end_offset=end)

    assert (caught.value.offset, caught.value.log_end_offset) == (end + 1, end)


def test_reading_below_the_log_start_is_out_of_range(filled):
    filled.advance_log_start(30)

    assert filled.read(30, bytes_max=1000, end_offset=100)
    with pytest.raises(OffsetOutOfRange):
        filled.read(29, bytes_max=1000, end_offset=100)


def test_a_gap_between_segments_leads_on_to_the_next(log, batch_of):
    log.append_as_follower(batch_of(1, base_offset=0, leader_epoch=0, value=bytes(1900)))
    log.append_as_follower(batch_of(1, base_offset=10, leader_epoch=0, value=bytes(1900)))
    assert len(log.segments) == 2

    assert [h.base_offset for h in headers_of(log, offset=1)] == [10]
    assert [h.base_offset for h in headers_of(log, offset=0)] == [0, 10]


def test_a_slice_stays_readable_when_its_segment_is_deleted(filled):
    piece = filled.read(0, bytes_max=500, end_offset=100)
    expected = piece.read_bytes()

    filled.delete()

    assert piece.read_bytes() == expected


class CountingFile(MemoryFile):
    def read(self, position, size):
        self._disk.reads.append(size)
        return super().read(position, size)


class CountingDisk(MemoryDisk):
    """Counts what is read of open files."""

    def open(self, path, *, create=False):
        super().open(path, create=create)
        return CountingFile(self, self._content(path), path)


def test_a_read_at_the_tail_scans_no_more_than_an_index_interval(batch_of, wall_ms):
    disk = CountingDisk(random.Random(1))
    disk.reads = []
    disk.make_directory("/d")
    config = LogConfig(index_interval_bytes=4096)
    log = Log.create(disk, "/d/t-0", config, topic_id=TOPIC_ID, wall_ms=wall_ms)
    for _ in range(3000):
        log.append_as_leader(batch_of(1, value=bytes(100)), leader_epoch=0)

    for offset in (2999, 2990, 2940):
        log.read(offset, bytes_max=500, end_offset=3000)
    assert disk.reads == []

    log.close()
    log = Log.open(disk, "/d/t-0", config, wall_ms=wall_ms, clean=True)
    for offset in (2999, 1500, 1):
        disk.reads.clear()
        log.read(offset, bytes_max=1 << 20, end_offset=3000)
        assert len(disk.reads) <= 1
        assert sum(disk.reads) <= 2 * 4096


# Timestamps.


def test_a_look_up_by_time_is_exact_to_the_record(open_log, batch_of, wall_ms):
    generator = random.Random(5)
    log = open_log()
    records = []
    for _ in range(80):
        time = wall_ms.now_ms - 1000 + generator.randrange(500)
        count = generator.randrange(1, 5)
        kind = generator.choice([Compression.NONE, Compression.GZIP])
        log.append_as_leader(batch_of(count, timestamp_ms=time, compression=kind), leader_epoch=3)
        records += [time + i for i in range(count)]

    for start in (0, 100):
        log.advance_log_start(start)
        for time in range(min(records) - 1, max(records) + 2):
            found = log.offset_for_timestamp(time)
            expected = next((o for o in range(start, len(records)) if records[o] >= time), None)
            assert (found and found.offset) == expected
            assert found is None or found.timestamp_ms == records[found.offset]
    newest = max(records[100:])
    assert log.max_timestamp() == (100 + records[100:].index(newest), newest, 3)


def test_a_look_up_by_time_opens_one_batch_also_where_headers_claim_too_much(
    log, batch_of, monkeypatch, wall_ms
):
    sent = batch_of(5)
    claimed = wall_ms.now_ms + 1000
    claims = make_batch(replace(read_header(sent), max_timestamp=claimed), sent[HEADER_BYTES:])
    for _ in range(50):
        log.append_as_leader(claims, leader_epoch=3)
    opened = []
    scan = timestamps.scan_records
    monkeypatch.setattr(
        timestamps, "scan_records", lambda header, data: opened.append(header) or scan(header, data)
    )

    assert log.offset_for_timestamp(claimed) == (0, claimed, 3)
    assert len(opened) == 1
    log.advance_log_start(7)
    assert log.offset_for_timestamp(claimed) == (10, claimed, 3)
    assert len(opened) == 3, "of a batch that begins before the log does that is not said"


def test_an_empty_log_holds_no_time(log):
    assert log.offset_for_timestamp(0) is None
    assert log.max_timestamp() is None


# Cutting.


def test_truncation_leaves_exactly_what_is_below(filled, disk):
    headers = headers_of(filled)
    flush(filled, disk)
    for header in reversed(headers[::5]):
        filled.truncate_to(header.base_offset)

        assert filled.log_end_offset == filled.durable_end_offset == header.base_offset
        assert headers_of(filled) == [h for h in headers if h.base_offset < header.base_offset]


def test_a_batch_that_is_cut_in_two_goes_as_a_whole(log, batch_of):
    log.append_as_leader(batch_of(3), leader_epoch=0)
    log.append_as_leader(batch_of(3), leader_epoch=0)

    log.truncate_to(5)

    assert log.log_end_offset == 3


def test_truncation_forgets_the_epochs_that_began_beyond(filled):
    end_of_first = filled.end_offset_for_epoch(0)[1]

    filled.truncate_to(end_of_first)

    assert filled.latest_epoch == 0
    assert filled.end_offset_for_epoch(1) == (-1, -1)


def test_truncation_at_the_end_forgets_an_epoch_that_wrote_nothing(log, batch_of):
    log.append_as_leader(batch_of(3), leader_epoch=1)
    log.start_epoch(2)
    assert log.latest_epoch == 2

    log.truncate_to(3)

    assert log.latest_epoch == 1
    assert log.log_end_offset == 3


def test_a_reset_log_begins_anew(filled, open_log, batch_of):
    filled.reset_to(5000)

    assert (filled.log_start_offset, filled.log_end_offset) == (5000, 5000)
    assert filled.latest_epoch == -1
    filled.append_as_leader(batch_of(2), leader_epoch=9)
    filled.close()
    log = open_log()
    assert (log.log_start_offset, log.log_end_offset, log.latest_epoch) == (5000, 5002, 9)


def test_truncation_below_the_first_segment_is_a_reset(filled):
    filled.reset_to(5000)

    filled.truncate_to(4000)

    assert (filled.log_start_offset, filled.log_end_offset) == (4000, 4000)


def test_retention_removes_old_segments_below_the_high_watermark(filled, disk, wall_ms):
    filled.reconfigure(LogConfig(segment_bytes=2000, retention_ms=1000))
    third = filled.segments[2].base_offset
    wall_ms.now_ms += 2000

    assert filled.apply_retention(third) == 2
    assert filled.log_start_offset == third == filled.segments[0].base_offset
    assert headers_of(filled)[0].base_offset == third
    assert filled.epoch_at(third) >= 0

    end = filled.log_end_offset
    assert filled.apply_retention(end) > 0
    assert (filled.log_start_offset, filled.log_end_offset, filled.size_bytes) == (end, end, 0)
    assert filled.apply_retention(end) == 0
    assert len([n for n in disk.list(filled.directory) if n.endswith(".log")]) == 1


def test_a_segment_is_closed_when_its_time_has_come(open_log, batch_of, wall_ms):
    log = open_log(LogConfig(segment_ms=1000))
    log.append_as_leader(batch_of(1, timestamp_ms=wall_ms.now_ms), leader_epoch=0)
    log.append_as_leader(batch_of(1, timestamp_ms=wall_ms.now_ms + 1000), leader_epoch=0)
    assert len(log.segments) == 1

    log.append_as_leader(batch_of(1, timestamp_ms=wall_ms.now_ms + 1001), leader_epoch=0)

    assert [s.base_offset for s in log.segments] == [0, 2]


# Durability.


def test_the_durable_end_moves_only_when_a_flush_has_ended(log, batch_of, disk):
    log.append_as_leader(batch_of(3), leader_epoch=0)
    ticket = log.begin_flush()
    log.append_as_leader(batch_of(2), leader_epoch=0)
    assert log.durable_end_offset == 0

    log.end_flush(ticket)
    assert log.durable_end_offset == log.recovery_point == 3

    flush(log, disk)
    assert log.durable_end_offset == 5


def test_what_is_appended_after_a_truncation_is_not_covered_by_an_older_flush(log, batch_of):
    for _ in range(4):
        log.append_as_leader(batch_of(1), leader_epoch=0)
    ticket = log.begin_flush()
    log.truncate_to(2)
    for _ in range(4):
        log.append_as_leader(batch_of(1), leader_epoch=1)

    log.end_flush(ticket)

    assert log.durable_end_offset == 2


def test_a_flush_covers_the_segment_that_was_completed(log, batch_of):
    while len(log.segments) < 3:
        log.append_as_leader(batch_of(3), leader_epoch=0)

    files = {file.path for file in log.begin_flush().files}

    assert {segment.file.path for segment in log.segments} <= files


def test_flush_os_counts_records_as_stored_at_once(open_log, batch_of, disk):
    log = open_log(LogConfig(flush="os", segment_bytes=300))
    log.append_as_leader(batch_of(3), leader_epoch=0)
    assert (log.durable_end_offset, log.recovery_point) == (3, 0)

    while len(log.segments) < 3:
        log.append_as_leader(batch_of(3), leader_epoch=0)
    flush(log, disk)

    assert log.durable_end_offset == log.log_end_offset
    assert log.recovery_point == log.segments[-1].base_offset


def test_closing_after_preparing_and_flushing_syncs_nothing(log, batch_of, disk):
    log.append_as_leader(batch_of(3), leader_epoch=0)
    log.prepare_close()
    flush(log, disk)
    syncs = getattr(disk, "syncs", 0)

    log.close()

    assert getattr(disk, "syncs", 0) == syncs


# Epochs, identity, end.


def test_the_newest_epoch_ends_at_the_log_end_even_if_it_wrote_nothing(log, batch_of):
    log.append_as_leader(batch_of(3), leader_epoch=1)
    log.start_epoch(4)

    assert log.end_offset_for_epoch(1) == (1, 3)
    assert log.end_offset_for_epoch(3) == (1, 3)
    assert log.end_offset_for_epoch(4) == (4, 3)
    assert log.end_offset_for_epoch(5) == (-1, -1)
    assert (log.epoch_at(0), log.epoch_at(2), log.epoch_at(3)) == (1, 1, 4)


def test_a_log_knows_its_topic(log, open_log, disk, root, wall_ms):
    log.close()

    assert open_log().topic_id == TOPIC_ID
    with pytest.raises(StorageError, match="another topic"):
        Log.create(disk, f"{root}/topic-0", SMALL, topic_id=bytes(16), wall_ms=wall_ms)


def test_a_deleted_log_leaves_nothing_and_one_set_aside_stays(filled, log, disk, root, open_log):
    path = filled.set_aside()
    assert disk.list(root) == [path.rpartition("/")[2]]
    assert path.endswith("-stray")

    again = open_log()
    again.delete()

    assert disk.list(root) == [path.rpartition("/")[2]]
    with pytest.raises(LogOffline):
        again.read(0, bytes_max=1, end_offset=0)
    assert again.begin_flush().files == ()


def test_what_lies_beyond_what_an_index_can_name_is_not_indexed(log):
    """A compacted segment may grow: deltas of timestamps get longer with the delete horizon."""
    segment = log.segments[0]
    far = POSITION_MAX - 10_000
    for number in range(40):
        segment.note(Placed(number, number, 1000, number), far + number * 1000)

    assert segment.size_bytes > POSITION_MAX
    assert segment.next_offset == 40
