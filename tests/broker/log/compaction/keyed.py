"""Logs whose records have keys, and passes over them, for the tests of compaction."""

from __future__ import annotations

import trio

from broker.log.config import LogConfig
from broker.log.log import OFFSET_MAX
from protocol.batch import split_batches
from protocol.records import Record, decode_batch, encode_batch

COMPACTED = LogConfig(
    segment_bytes=600,
    index_interval_bytes=100,
    cleanup_policy=frozenset({"compact"}),
    min_cleanable_dirty_ratio=0.0,
    delete_retention_ms=1000,
)


def keyed_batch(pairs, *, timestamp_ms=1_700_000_000_000, base_offset=0, **header):
    """Make a batch of (key, value) pairs, one millisecond apart."""
    records = [
        Record(base_offset + i, timestamp_ms + i, key, value, ())
        for i, (key, value) in enumerate(pairs)
    ]
    return encode_batch(records, base_offset=base_offset, **header)


def batches_of(log, *, end_offset=None):
    """Read all batches, slice by slice: (header, bytes)."""
    offset = log.log_start_offset
    end_offset = log.log_end_offset if end_offset is None else end_offset
    found = []
    while piece := log.read(offset, bytes_max=300, end_offset=end_offset):
        found += split_batches(piece.read_bytes(), check_crc=True)
        offset = found[-1][0].next_offset
    assert offset == end_offset, "reading gets to the end"
    return found


def records_of(log):
    """Read all records, by offset."""
    return {record.offset: record for _, batch in batches_of(log) for record in decode_batch(batch)}


def pairs_of(log):
    """Read all records as (offset, key, value)."""
    return [(offset, one.key, one.value) for offset, one in records_of(log).items()]


def newest_of(records):
    """Give the newest offset of each key."""
    return {record.key: offset for offset, record in records.items()}


def flush(disk, log):
    """Make durable what was appended."""
    ticket = log.begin_flush()
    trio.run(disk.sync, ticket.files, ticket.directories)
    log.end_flush(ticket)


async def no_pause(_size_bytes):
    """Work on at once."""


def compact(
    log, *, limit=None, pace=no_pause, key_bytes_max=1 << 20, replicated=lambda: OFFSET_MAX
):
    """Run a pass over what is due. Returns: what it came to, None where nothing is due."""
    limit = log.log_end_offset if limit is None else limit
    cleanable = log.find_cleanable(limit, replicated_offset=replicated())
    if cleanable is None:
        return None

    async def run():
        return await log.compact(
            cleanable, pace=pace, key_bytes_max=key_bytes_max, replicated_offset=replicated
        )

    return trio.run(run)
