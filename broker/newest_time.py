"""Batches given the time of their newest record where their producer named none.

Look-ups by time and retention go by it. Only such batches are opened.
Must never know: requests, topics, where batches go.
Source: Kafka's LogValidator, which sets it in every batch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec.structs import replace

from protocol.batch import HEADER_BYTES, make_batch, read_header
from protocol.raw_records import scan_records

if TYPE_CHECKING:
    from broker.opening import Opening


def set_newest_time(batch: memoryview, opening: Opening) -> memoryview:
    """Give a batch with its newest record's time in the header; the records stay as they are.

    Raises: OpenedEnough, CorruptBatch.
    """
    header = read_header(batch)
    records = scan_records(header, opening.data_of(header, batch))
    newest_ms = header.base_timestamp + max((each.timestamp_delta for each in records), default=0)
    timed = replace(header, max_timestamp=newest_ms)
    changed = memoryview(make_batch(timed, bytes(batch[HEADER_BYTES:])))
    opening.goes_on_as(changed)
    return changed
