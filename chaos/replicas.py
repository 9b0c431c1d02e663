"""What the replicas of an ended cluster hold, read from their segments.

Must never know: running brokers, what is judged.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from chaos.history import Partition, Replica
from chaos.naming import name_of
from protocol.batch import split_batches
from protocol.records import decode_batch

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def read_replicas(directory: Path, place: Partition, *, end: int) -> list[Replica]:
    """Read all replicas of a partition in a cluster's directory; [0, `end`) is committed.

    Raises: ProtocolError, where a segment holds something else than whole batches.
    """
    found = []
    for replica in sorted(directory.glob(f"broker-*/{place}")):
        broker_id = int(replica.parent.name.removeprefix("broker-"))
        records = tuple(_records(replica))
        found.append(Replica(place, broker_id, 0, end, records))
    return found


def _records(replica: Path) -> Iterator[tuple[int, bytes]]:
    for segment in sorted(replica.glob("*.log")):
        for _, batch in split_batches(segment.read_bytes(), check_crc=True):
            for record in decode_batch(batch):
                yield record.offset, name_of(record)
