"""Keys, without which a compacted topic takes no record: nothing could ever replace it.

Only batches for compacted topics are opened, and of their records only what leads to the keys.
Must never know: requests, which topics are compacted, what is kept of a key.
Source: Kafka's documentation, "Log Compaction".
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from broker.errors import RefusedRecords
from protocol.batch import read_header
from protocol.raw_records import scan_records

if TYPE_CHECKING:
    from broker.opening import Opening

NAMED_MAX: Final = 1_000
"""How many of a batch's records without a key are named; it may hold a million."""

_REASON: Final = "it has no key, and this topic is compacted: only the newest of each key stays"


def require_keys(batch: memoryview, opening: Opening) -> None:
    """Refuse a producer's batch if any of its records has no key.

    Raises: RefusedRecords, OpenedEnough, CorruptBatch.
    """
    header = read_header(batch)
    keyless: list[int] = []
    for index, record in enumerate(scan_records(header, opening.data_of(header, batch))):
        if record.key is None and len(keyless) < NAMED_MAX:
            keyless.append(index)
    if keyless:
        raise RefusedRecords(f"record {keyless[0]}: {_REASON}", dict.fromkeys(keyless, _REASON))
