"""Batches whose header may be wrong about the time of their newest record: they are given it.

Look-ups by time, retention and compaction go by it. sarama before 1.45.1 says -1; kafkajs names the
greatest of the times that it was given, though records without one get the present; kafka-go's
`Conn` that of the last record. Kafka's brokers open every batch. Here those are opened that
contradict themselves, and those that come by an old version of Produce, as theirs do, and are not
of the last seconds: what claims to be as new as that is wrong by seconds at most.
Must never know: requests, topics, where batches go.
Source: Kafka's LogValidator.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from msgspec import Struct
from msgspec.structs import replace

from protocol.batch import HEADER_BYTES, make_batch, read_header, timestamps_of
from protocol.raw_records import scan_records

if TYPE_CHECKING:
    from broker.opening import Opening

BELIEVED_SINCE: Final = 9
"""Produce's first flexible version: who speaks it is not known to name a wrong time."""

PRESENT_MS: Final = 5_000


class Times(Struct, frozen=True):
    """What the times in one request's batches are held against."""

    api_version: int
    now_ms: int

    def doubt(self, batch: memoryview) -> bool:
        """Say whether some record may be newer than its batch says. Raises: CorruptBatch."""
        first_ms, newest_ms = timestamps_of(batch)
        if newest_ms < first_ms:
            return True
        if self.api_version >= BELIEVED_SINCE or newest_ms >= self.now_ms - PRESENT_MS:
            return False
        return newest_ms != first_ms or read_header(batch).record_count > 1


def set_newest_time(batch: memoryview, opening: Opening) -> memoryview:
    """Give a batch with its newest record's time in the header; the records stay as they are.

    Raises: OpenedEnough, CorruptBatch.
    """
    header = read_header(batch)
    records = scan_records(header, opening.data_of(header, batch))
    newest_ms = header.base_timestamp + max((each.timestamp_delta for each in records), default=0)
    if newest_ms == header.max_timestamp:
        return batch
    timed = replace(header, max_timestamp=newest_ms)
    changed = memoryview(make_batch(timed, bytes(batch[HEADER_BYTES:])))
    opening.goes_on_as(changed)
    return changed
