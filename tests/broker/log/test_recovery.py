"""What is left after an unclean stop, and what is said about it."""

from __future__ import annotations

import random

import pytest
from structlog.testing import capture_logs

from broker.log.batches import crc_ok, iterate_batches
from broker.log.config import LogConfig
from broker.log.directory import Checkpoint, DataDirectory
from broker.log.errors import LogDamaged
from broker.log.log import Log
from protocol.batch import read_header, split_batches
from protocol.errors import CorruptBatch, StorageError
from simulation.disk import MemoryDisk
from tests.broker.log.logs import flush

PATH = "/data/topic-0"
FIRST = f"{PATH}/{0:020d}"
CONFIG = LogConfig(segment_bytes=1500, index_interval_bytes=100)
EVERY_BATCH_INDEXED = LogConfig(segment_bytes=1500, index_interval_bytes=0)


@pytest.fixture
def disk():
    disk = MemoryDisk(random.Random(11))
    disk.make_directory("/data")
    return disk


@pytest.fixture
def open_log(disk, wall_ms):
    def open_again(*, clean=False, config=CONFIG, **checkpoint):
        if not disk.exists(PATH):
            return Log.create(disk, PATH, config, topic_id=bytes(16), wall_ms=wall_ms)
        return Log.open(
            disk, PATH, config, wall_ms=wall_ms, clean=clean, checkpoint=Checkpoint(**checkpoint)
        )

    return open_again


@pytest.fixture
def filled(open_log, batch_of):
    """Six batches of three records in one segment, closed cleanly."""
    log = open_log()
    for i in range(6):
        log.append_as_leader(
            batch_of(3, timestamp_ms=1_700_000_000_000 + i * 10), leader_epoch=i // 2
        )
    log.close()
    return log


def replace(disk, path, data):
    disk.remove(path)
    disk.open(path, create=True).append(data)


def cut_off(disk, path: str) -> None:
    disk.truncate_file(path, disk.file_size_bytes(path) - 1)


def flip(disk, path: str) -> None:
    disk.flip_bit(path, disk.file_size_bytes(path) - 1)


def content(log):
    data = b"".join(s.file.read(0, s.size_bytes) for s in log.segments)
    return [header for header, _ in split_batches(data, check_crc=True)]


def test_a_whole_log_is_kept_whole(filled, open_log):
    log = open_log(high_watermark=18)

    assert (log.log_end_offset, log.durable_end_offset) == (18, 18)
    assert log.recovery.batches_checked == 6
    assert log.recovery.reason is None
    assert not log.recovery.records_lost


def test_a_tail_torn_at_any_byte_is_cut_to_the_last_whole_batch(filled, open_log, disk):
    data = disk.read_file(f"{FIRST}.log")
    headers = [header for header, _ in split_batches(data)]
    last_position = len(data) - headers[-1].size_bytes

    for end in range(last_position, len(data)):
        replace(disk, f"{FIRST}.log", data[:end])

        log = open_log()

        assert content(log) == headers[:-1]
        assert log.log_end_offset == 15
        assert log.recovery.bytes_cut == end - last_position
        assert (log.recovery.reason is None) == (end == last_position)
        assert disk.file_size_bytes(f"{FIRST}.log") == last_position


def test_zeros_at_the_tail_are_cut(filled, open_log, disk):
    disk.open(f"{FIRST}.log").append(bytes(5000))

    log = open_log()

    assert log.log_end_offset == 18
    assert log.recovery.bytes_cut == 5000


def test_a_flipped_bit_is_found_wherever_it_is(filled, open_log, disk):
    data = disk.read_file(f"{FIRST}.log")
    headers = content(filled_again := open_log())
    filled_again.close()
    position = sum(header.size_bytes for header in headers[:3])

    for byte in range(headers[3].size_bytes):
        for bit in range(8):
            if byte in range(12, 16):
                continue  # the leader epoch is outside of the checksum, see below
            replace(disk, f"{FIRST}.log", data)
            disk.flip_bit(f"{FIRST}.log", position + byte, bit)

            log = open_log()

            assert content(log) == headers[:3], (byte, bit)
            assert log.recovery.reason is not None


@pytest.mark.parametrize("bit", range(32))
def test_an_offset_too_far_for_the_index_is_found(filled, open_log, disk, bit):
    headers = content(open_log())
    position = sum(header.size_bytes for header in headers[:3])
    disk.flip_bit(f"{FIRST}.log", position + bit // 8, bit % 8)

    log = open_log(config=EVERY_BATCH_INDEXED, clean=False)

    assert content(log) == headers[:3]
    assert log.recovery.reason is not None


def test_an_offset_that_is_wrong_in_an_old_segment_is_damage(open_log, batch_of, disk):
    log = open_log(config=EVERY_BATCH_INDEXED)
    while len(log.segments) < 2:
        log.append_as_leader(batch_of(3), leader_epoch=0)
    position = log.segments[0].position_of(9)
    log.close()
    disk.flip_bit(f"{FIRST}.log", position)
    disk.remove(f"{FIRST}.index")

    log = open_log(config=EVERY_BATCH_INDEXED, clean=True)

    with pytest.raises(LogDamaged, match="follows offset 8"):
        log.read(10, bytes_max=1, end_offset=12)


def test_where_a_log_begins_anew_survives_a_power_failure(wall_ms):
    for seed in range(50):
        disk = MemoryDisk(random.Random(seed))
        disk.make_directory("/d")
        log = Log.create(disk, "/d/t-0", CONFIG, topic_id=bytes(16), wall_ms=wall_ms)
        log.reset_to(1000)
        assert log.durable_end_offset == 1000
        disk.crash()

        checkpoint = Checkpoint(recovery_point=1000, log_start_offset=1000)
        log = Log.open(disk, "/d/t-0", CONFIG, wall_ms=wall_ms, clean=False, checkpoint=checkpoint)

        assert (log.topic_id, log.log_start_offset, log.log_end_offset) == (bytes(16), 1000, 1000)


def test_a_cut_within_a_batch_counts_for_the_whole_of_it(open_log, batch_of, disk):
    log = open_log()
    log.append_as_leader(batch_of(10), leader_epoch=1)
    log.append_as_leader(batch_of(4), leader_epoch=2)
    flush(log, disk)
    log.truncate_to(12)
    assert log.log_end_offset == 10
    log.close(clean=False)

    log = open_log(recovery_point=14)

    assert (log.log_end_offset, log.recovery.records_lost) == (10, False)


def test_a_leader_epoch_that_goes_back_is_found(filled, open_log, disk):
    data = disk.read_file(f"{FIRST}.log")
    headers = content(open_log())
    position = sum(header.size_bytes for header in headers[:3])
    disk.flip_bit(f"{FIRST}.log", position + 15, 0)  # epoch 1 of the fourth batch becomes 0

    log = open_log()

    assert read_header(data, position).partition_leader_epoch == 1
    assert log.log_end_offset == 9


def test_a_cut_below_the_high_watermark_is_told_with_the_facts(filled, open_log, disk):
    size = disk.file_size_bytes(f"{FIRST}.log")
    disk.flip_bit(f"{FIRST}.log", size - 1)

    with capture_logs() as events:
        log = open_log(recovery_point=3, high_watermark=18)

    assert log.recovery.records_lost
    (event,) = [e for e in events if e["event"] == "durable_records_lost"]
    assert event["log_level"] == "warning"
    assert (event["high_watermark"], event["log_end_offset"]) == (18, 15)
    assert event["directory"] == PATH
    assert "checksum" in event["reason"]


def test_what_was_durable_is_lost_also_where_it_was_not_committed_then(filled, open_log, disk):
    disk.flip_bit(f"{FIRST}.log", disk.file_size_bytes(f"{FIRST}.log") - 1)

    assert open_log(recovery_point=18, high_watermark=15).recovery.records_lost


def test_a_cut_above_the_high_watermark_is_no_warning(filled, open_log, disk):
    disk.flip_bit(f"{FIRST}.log", disk.file_size_bytes(f"{FIRST}.log") - 1)

    with capture_logs() as events:
        log = open_log(high_watermark=15)

    assert not log.recovery.records_lost
    assert [e["event"] for e in events if e["log_level"] == "warning"] == []


def test_segments_below_the_recovery_point_are_not_read(open_log, batch_of, disk):
    log = open_log()
    while len(log.segments) < 4:
        log.append_as_leader(batch_of(3), leader_epoch=0)
    bases = [segment.base_offset for segment in log.segments]
    end = log.log_end_offset
    log.close()
    disk.flip_bit(f"{FIRST}.log", 70)

    log = open_log(recovery_point=bases[2])

    assert log.log_end_offset == end
    assert log.recovery.batches_checked == (end - bases[2]) // 3
    assert open_log(recovery_point=0).log_end_offset == 0


@pytest.mark.parametrize("newest_bytes", [b"", b"torn", bytes(90)], ids=["empty", "torn", "zeros"])
@pytest.mark.parametrize("damage", [cut_off, flip])
def test_the_last_batches_of_a_log_are_read_also_where_its_newest_segment_has_none(
    open_log, batch_of, disk, newest_bytes, damage
):
    log = open_log()
    while len(log.segments) < 3:
        log.append_as_leader(batch_of(3), leader_epoch=0)
    *_, last, newest = log.segments
    end = newest.base_offset
    log.close()
    replace(disk, newest.path(".log"), newest_bytes)
    damage(disk, last.path(".log"))

    log = open_log(recovery_point=end, high_watermark=end)

    assert log.log_end_offset == end - 3
    assert log.recovery.records_lost
    assert last.path(".log") in str(log.recovery.reason)
    assert log.recovery.segments_removed == 1


@pytest.mark.parametrize("newest_bytes", [b"", b"torn", bytes(90)], ids=["empty", "torn", "zeros"])
def test_where_the_newest_segment_has_no_batch_nothing_else_is_cut(
    open_log, batch_of, disk, newest_bytes
):
    log = open_log()
    while len(log.segments) < 3:
        log.append_as_leader(batch_of(3), leader_epoch=0)
    bases = [segment.base_offset for segment in log.segments]
    log.close()
    replace(disk, log.segments[-1].path(".log"), newest_bytes)

    log = open_log(recovery_point=bases[-1], high_watermark=bases[-1])

    assert log.log_end_offset == bases[-1]
    assert [segment.base_offset for segment in log.segments] == bases
    assert log.recovery.bytes_cut == len(newest_bytes)
    assert not log.recovery.records_lost


def test_segments_after_a_bad_one_are_removed(open_log, batch_of, disk):
    log = open_log()
    while len(log.segments) < 4:
        log.append_as_leader(batch_of(3), leader_epoch=0)
    second = log.segments[1]
    log.close()
    disk.flip_bit(second.path(".log"), 70)

    log = open_log()

    assert log.log_end_offset == second.base_offset
    assert [s.base_offset for s in log.segments] == [0, second.base_offset]
    assert log.recovery.segments_removed == 2
    assert [n for n in disk.list(PATH) if ".log" in n] == [
        f"{0:020d}.log",
        f"{second.base_offset:020d}.log",
    ]


@pytest.mark.parametrize("clean", [True, False])
@pytest.mark.parametrize(
    "damage",
    [
        lambda disk, path: disk.remove(path),
        lambda disk, path: replace(disk, path, b"\1\2\3"),
        lambda disk, path: replace(disk, path, bytes(24)),
        lambda disk, path: replace(disk, path, b"\x7f" * 24),
        lambda disk, path: replace(disk, path, b""),
    ],
    ids=["missing", "cut", "zeros", "nonsense", "empty"],
)
@pytest.mark.parametrize("suffix", [".index", ".timeindex"])
def test_a_bad_index_is_built_again(open_log, batch_of, disk, suffix, damage, clean):
    log = open_log()
    times = [1_700_000_000_000 + (i * 37) % 61 for i in range(60)]
    for time in times:
        log.append_as_leader(batch_of(3, timestamp_ms=time), leader_epoch=0)
    log.close()
    paths = [segment.path(suffix) for segment in log.segments]
    for path in paths:
        damage(disk, path)

    log = open_log(clean=clean)

    for offset in range(0, 180, 3):
        piece = log.read(offset, bytes_max=1, end_offset=180)
        assert read_header(piece.read_bytes()).base_offset == offset
    newest = max(times)
    assert log.max_timestamp() == (3 * times.index(newest) + 2, newest + 2, 0)
    for segment in log.segments:
        assert segment.max_timestamp_ms == 2 + max(
            times[segment.base_offset // 3 : segment.next_offset // 3]
        )


@pytest.mark.parametrize("clean", [True, False])
def test_newest_timestamps_are_found_by_the_ends_of_the_indexes(open_log, batch_of, clean):
    log = open_log()
    times = [1_700_000_000_000 + (i * 37) % 61 for i in range(60)]
    for time in times:
        log.append_as_leader(batch_of(3, timestamp_ms=time), leader_epoch=0)
    log.close()

    log = open_log(clean=clean)

    found = [segment.max_timestamp for segment in log.segments]
    assert [segment.make_sure() for segment in log.segments] == [clean] * 3 + [False]
    assert found == [segment.max_timestamp for segment in log.segments]
    assert max(found)[0] == max(times) + 2
    assert not any(segment.make_sure() for segment in log.segments)


def test_nothing_is_deleted_on_the_word_of_a_damaged_index(open_log, batch_of, disk, wall_ms):
    log = open_log()
    for i in range(60):
        log.append_as_leader(batch_of(3, timestamp_ms=wall_ms() - i % 15 * 1000), leader_epoch=0)
    log.close()
    for segment in log.segments:
        replace(disk, segment.path(".timeindex"), bytes(24))

    log = open_log(clean=True, config=LogConfig(segment_bytes=1500, retention_ms=900))

    assert len(log.segments) > 2
    assert log.segments[0].max_timestamp_ms < wall_ms() - 900, "only the end was read"
    assert log.apply_retention(log.log_end_offset) == 0
    assert log.segments[0].max_timestamp_ms == wall_ms() + 2


def test_a_log_damaged_after_a_clean_stop_is_recovered(filled, open_log, disk):
    size = disk.file_size_bytes(f"{FIRST}.log")
    disk.open(f"{FIRST}.log").truncate(size - 5)

    with capture_logs() as events:
        log = open_log(clean=True, high_watermark=18)

    assert log.log_end_offset == 15
    assert not log.recovery.clean
    assert "durable_records_lost" in [e["event"] for e in events]


@pytest.mark.parametrize("checkpoint", [None, b"", b"0\n1\n", b"0\n3\n0 0\n1 6\n2 12\n"])
def test_epochs_are_rebuilt_from_the_batches(filled, open_log, disk, checkpoint):
    disk.remove(f"{PATH}/leader-epoch-checkpoint")
    if checkpoint is not None:
        disk.write_file(f"{PATH}/leader-epoch-checkpoint", checkpoint)

    log = open_log(recovery_point=18)

    assert [log.end_offset_for_epoch(e) for e in (0, 1, 2, 3)] == [
        (0, 6),
        (1, 12),
        (2, 18),
        (-1, -1),
    ]


def test_a_stale_checkpoint_of_epochs_yields_to_the_batches(filled, open_log, disk):
    disk.write_file(f"{PATH}/leader-epoch-checkpoint", b"0\n2\n0 0\n7 9\n")

    log = open_log()

    assert log.latest_epoch == 2
    assert log.end_offset_for_epoch(1) == (1, 12)


def test_epochs_beyond_the_cut_are_forgotten(filled, open_log, disk):
    disk.open(f"{FIRST}.log").truncate(disk.file_size_bytes(f"{FIRST}.log") // 2)

    log = open_log()

    assert (log.log_end_offset, log.latest_epoch) == (9, 1)


def test_the_epoch_of_a_log_found_shorter_than_it_should_start_begins_where_that_ends(
    filled, open_log, batch_of
):
    log = open_log(recovery_point=30, log_start_offset=30)
    assert (log.log_start_offset, log.log_end_offset, log.latest_epoch) == (18, 18, 2)

    log.append_as_follower(batch_of(12, base_offset=18, leader_epoch=2))

    assert log.epoch_at(18) == 2
    assert log.end_offset_for_epoch(1) == (1, 18)


def test_an_epoch_begun_at_the_very_end_is_remembered(filled, open_log):
    log = open_log()
    log.start_epoch(9)

    assert open_log().latest_epoch == 9


def test_a_damaged_snapshot_is_replaced_by_an_older_one_and_a_replay(open_log, batch_of, disk):
    log = open_log()
    batches = [batch_of(3, producer_id=1, producer_epoch=0, base_sequence=i * 3) for i in range(40)]
    for batch in batches:
        log.append_as_leader(batch, leader_epoch=0)
    log.close()
    newest = [n for n in disk.list(PATH) if n.endswith(".snapshot")][-1]
    assert newest == f"{120:020d}.snapshot"
    replace(disk, f"{PATH}/{newest}", b"torn")

    with capture_logs() as events:
        log = open_log()

    assert "producer_snapshot_damaged" in [e["event"] for e in events]
    assert log.append_as_leader(batches[-1], leader_epoch=0) == (117, 119, -1, 0, True)


def test_a_checkpoint_from_before_a_truncation_is_not_believed(open_log, batch_of, disk):
    log = open_log()
    for _ in range(4):
        log.append_as_leader(batch_of(3), leader_epoch=0)
    log.close()
    log = open_log(clean=True)
    log.truncate_to(3)
    log.append_as_leader(batch_of(3), leader_epoch=1)
    log.append_as_leader(batch_of(3), leader_epoch=1)
    position = sum(header.size_bytes for header in content(log)[:1])
    disk.flip_bit(f"{FIRST}.log", position + 70)

    log = open_log(recovery_point=12, high_watermark=3)

    assert log.log_end_offset == 3
    log.close()
    assert "truncation-point" not in disk.list(PATH)


def test_a_cut_is_forgotten_once_a_checkpoint_of_after_it_is_durable(open_log, batch_of, disk):
    log = open_log()
    for _ in range(4):
        log.append_as_leader(batch_of(3), leader_epoch=0)
    assert log.cuts == 0
    log.close()
    log = open_log(clean=True)
    log.truncate_to(9)
    captured = log.cuts
    log.truncate_to(3)
    log.checkpointed(cuts=captured)
    assert "truncation-point" in disk.list(PATH), "it was cut again meanwhile"

    log.checkpointed(cuts=log.cuts)
    assert "truncation-point" not in disk.list(PATH)
    log.truncate_to(2)
    assert "truncation-point" in disk.list(PATH)

    log = open_log(recovery_point=2)
    assert log.cuts == 1, "it is known by the file again"
    log.checkpointed(cuts=1)
    assert "truncation-point" not in disk.list(PATH)


def test_leftovers_of_half_done_changes_are_cleared_away(filled, open_log, disk):
    for name in (f"{7:020d}.log.deleted", f"{7:020d}.index", f"{7:020d}.timeindex", "x.tmp"):
        disk.write_file(f"{PATH}/{name}", b"junk")

    log = open_log()

    assert log.log_end_offset == 18
    assert not [n for n in disk.list(PATH) if n.startswith(f"{7:020d}") or n == "x.tmp"]


def test_a_log_start_is_kept_by_the_checkpoint(filled, open_log):
    log = open_log(log_start_offset=7)

    assert log.log_start_offset == 7
    assert log.epoch_at(7) == 1
    assert open_log(log_start_offset=99).log_start_offset == 18


def test_damage_below_the_recovery_point_is_found_when_it_is_verified(filled, open_log, disk):
    disk.flip_bit(f"{FIRST}.log", 70)

    log = open_log(clean=True)
    segment = log.segments[0]
    found = [crc_ok(batch) for _, _, batch in iterate_batches(segment.file, end=segment.size_bytes)]

    assert found == [False, True, True, True, True, True]


def test_damage_that_hides_where_batches_begin_takes_the_log_offline(open_log, batch_of, disk):
    log = open_log()
    while len(log.segments) < 3:
        log.append_as_leader(batch_of(3), leader_epoch=0)
    log.close()
    disk.flip_bit(f"{FIRST}.log", 8, 4)  # the length of the first batch
    disk.remove(f"{FIRST}.index")
    log = open_log(clean=True)

    with pytest.raises(StorageError, match="is damaged.*move the directory away"):
        log.read(3, bytes_max=100, end_offset=9)

    assert log.failed is not None


def test_batches_are_iterated_with_their_positions(filled, disk):
    file = disk.open(f"{FIRST}.log")
    found = list(iterate_batches(file, end=file.size_bytes))

    positions = [position for _, position, _ in found]
    assert positions == [sum(h.size_bytes for h, _, _ in found[:i]) for i in range(6)]
    with pytest.raises(CorruptBatch, match="cut"):
        list(iterate_batches(file, end=file.size_bytes - 1))


@pytest.mark.parametrize("seed", range(8))
def test_what_a_killed_process_left_to_the_kernel_outlives_a_later_power_failure(
    seed, wall_ms, batch_of
):
    disk = MemoryDisk(random.Random(seed))
    directory = DataDirectory(disk, "/data")
    disk.make_directory("/data")
    Log.create(disk, PATH, CONFIG, topic_id=b"t" * 16, wall_ms=wall_ms).start_epoch(3)
    # Killed here; the next process acknowledges records, then the power fails.
    directory.take_clean_marker()
    log = Log.open(disk, PATH, CONFIG, wall_ms=wall_ms, clean=False)
    log.append_as_leader(batch_of(3), leader_epoch=4)
    for file in log.begin_flush().files:
        file.sync()
    disk.crash()

    log = Log.open(disk, PATH, CONFIG, wall_ms=wall_ms, clean=False)

    assert log.topic_id == b"t" * 16
    assert log.log_end_offset == 3
