"""What the replicas of an ended cluster hold, read from their segments.

Must never know: running brokers, what is judged.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from chaos.anomaly import Anomaly
from chaos.history import Partition, Replica
from chaos.naming import name_of
from protocol.batch import split_batches
from protocol.errors import OttlaError
from protocol.records import decode_batch

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def read_replicas(
    directory: Path, place: Partition, *, start: int = 0, end: int, count: int
) -> tuple[list[Replica], list[Anomaly]]:
    """Read all replicas of a partition in a cluster's directory; [`start`, `end`) is committed.

    What is below that was deleted, and may be there until its whole segment goes.

    Returns: those that can be read, and what is wrong with others: a segment that holds something
    else than whole batches, or another number of replicas than `count`.
    """
    found, wrong = [], []
    replicas = sorted(directory.glob(f"broker-*/{place}"))
    if len(replicas) != count:
        facts = f"{len(replicas)} replicas instead of {count}"
        wrong.append(Anomaly("unreadable", str(place), facts))
    for replica in replicas:
        name = replica.parent.name
        try:
            records = tuple(one for one in _records(replica) if one[0] >= start)
        except OttlaError as error:
            wrong.append(Anomaly("unreadable", f"{place} on {name}", str(error)))
            continue
        found.append(Replica(place, int(name.removeprefix("broker-")), start, end, records))
    return found, wrong


def _records(replica: Path) -> Iterator[tuple[int, bytes]]:
    for segment in sorted(replica.glob("*.log")):
        for _, batch in split_batches(segment.read_bytes(), check_crc=True):
            for record in decode_batch(batch):
                yield record.offset, name_of(record)
