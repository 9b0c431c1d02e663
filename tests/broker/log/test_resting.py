"""What is not read any more costs neither descriptors nor memory."""

from __future__ import annotations

import gc
from pathlib import Path

import pytest

from broker.log.index_files import IndexFiles
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
