"""What tests of one log look at: a small configuration, and all that a log holds."""

from __future__ import annotations

from broker.log.config import LogConfig
from protocol.batch import split_batches

TOPIC_ID = bytes(range(16))
SMALL = LogConfig(segment_bytes=2000, index_interval_bytes=200)


def headers_of(log, *, offset=None, end_offset=None, bytes_max=1 << 20):
    """Read everything from `offset` on, slice by slice."""
    offset = log.log_start_offset if offset is None else offset
    end_offset = log.log_end_offset if end_offset is None else end_offset
    found = []
    while piece := log.read(offset, bytes_max=bytes_max, end_offset=end_offset):
        found += [header for header, _ in split_batches(piece.read_bytes(), check_crc=True)]
        offset = found[-1].next_offset
    return found


def flush(log, disk):
    """Make everything durable, as a flusher does."""
    ticket = log.begin_flush()
    for file in ticket.files:
        file.sync()
    for path in ticket.directories:
        disk.sync_directory(path)
    log.end_flush(ticket)
