"""What is not read any more costs neither descriptors nor memory."""

from __future__ import annotations

import gc
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from broker.log.index_files import IndexFiles
from protocol.errors import StorageError
from simulation.disk import MemoryDisk
from tests.broker.log.logs import flush, headers_of


def descriptors_below(root: str) -> int:
    """Count the files that this process has open there."""
    links = list(Path("/proc/self/fd").iterdir())
    return sum(str(link.readlink()).startswith(f"{root}/") for link in links if link.is_symlink())


def indexes_held() -> int:
    gc.collect()
    return sum(isinstance(one, IndexFiles) for one in gc.get_objects())


@pytest.fixture
def log(open_log, batch_of):
    log = open_log()
    while len(log.segments) < 6:
        log.append_as_leader(batch_of(3), leader_epoch=0)
    return log


def read(log) -> list[bytes]:
    """Read in each segment from its middle on, and then all that there is."""
    pieces = [
        log.read(segment.base_offset + 1, bytes_max=1 << 20, end_offset=log.log_end_offset)
        for segment in log.segments
    ]
    return [*(piece.read_bytes() for piece in pieces), headers_of(log)]


def test_a_complete_segment_holds_no_indexes_before_it_is_read(log):
    before = indexes_held()

    assert read(log)

    assert indexes_held() > before


def test_what_was_not_used_between_two_calls_is_let_go_and_can_be_read_again(log, disk, root):
    flush(log, disk)
    found = read(log)
    held, opened = indexes_held(), descriptors_below(root)

    log.rest()
    assert (indexes_held(), descriptors_below(root)) == (held, opened), "it was read just now"
    log.rest()

    assert held - indexes_held() == len(log.segments) - 1
    if opened:  # on a real disk
        assert opened - descriptors_below(root) == len(log.segments) - 1
    assert read(log) == found


def test_what_is_not_durable_yet_is_still_made_so(log, disk, open_log):
    found = read(log)
    log.rest()
    log.rest()
    flush(log, disk)
    assert log.durable_end_offset == log.log_end_offset
    if hasattr(disk, "crash"):
        disk.crash()

    assert read(open_log()) == found


def test_a_complete_segment_whose_end_is_another_than_it_was_is_damaged(log, disk):
    segment = log.segments[0]
    (*_, last) = (header for header, _ in segment.headers(0))
    flip(disk, segment, segment.size_bytes - last.size_bytes + 6)  # of its base offset
    log.rest()
    log.rest()

    for _ in range(2):
        with pytest.raises(StorageError, match="is damaged"):
            segment.load()
        assert segment.next_offset == last.next_offset
        assert segment.size_bytes > last.size_bytes


def test_a_segment_that_is_damaged_is_told_so_at_once_and_keeps_what_was_known(log, disk):
    segment = log.segments[0]
    known = segment.next_offset, segment.size_bytes, segment.max_timestamp
    flip(disk, segment, 8)  # the length of the first batch
    disk.remove(segment.path(".index"))
    log.rest()
    log.rest()

    for _ in range(2):
        with pytest.raises(StorageError, match="is damaged"):
            segment.load()
    assert (segment.next_offset, segment.size_bytes, segment.max_timestamp) == known


def test_what_lies_below_the_log_start_goes_whether_or_not_it_can_be_read(log, disk):
    first = log.segments[0]
    flip(disk, first, 8)
    disk.remove(first.path(".index"))
    log.rest()
    log.rest()
    log.advance_log_start(log.segments[1].base_offset)

    assert log.apply_retention(log.log_end_offset) == 1
    assert first not in log.segments


def test_a_segment_without_timestamps_is_not_rebuilt_whenever_it_is_loaded(open_log, batch_of):
    log = open_log()
    while len(log.segments) < 3:
        log.append_as_leader(batch_of(1, timestamp_ms=-1), leader_epoch=0)

    with capture_logs() as events:
        for segment in log.segments[:-1]:
            assert segment.max_timestamp_ms == -1
            segment.load()
            assert segment.max_timestamp_ms == -1

    assert [event["event"] for event in events] == []


def flip(disk, segment, position: int) -> None:
    """Flip a bit of a segment's file, on whichever disk."""
    path = segment.path(".log")
    if isinstance(disk, MemoryDisk):
        disk.flip_bit(path, position, 4)
        return
    with Path(path).open("r+b") as file:
        file.seek(position)
        byte = file.read(1)[0]
        file.seek(position)
        file.write(bytes([byte ^ 1 << 4]))
