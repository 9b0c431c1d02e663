"""The committed records of compacted topics, followed from step to step on every replica.

- Where two replicas have a record at one offset, it is the same one, with epoch and sequence.
- The newest committed record of a key is on every replica that has come as far; a tombstone may be
  gone, but not before all older values of its key are.
- Compaction does not move a log's end.

Replicas are compacted at different times, so batches may differ, and be missing.
Must never know: faults, clients, who leads, how logs are compacted.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from msgspec import Struct, field

from protocol.errors import CorruptBatch, StorageError
from protocol.records import decode_batch
from simulation.committed import Broken, batches_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from broker.log.segment import Segment
    from broker.partition import Partition
    from protocol.batch import BatchHeader
    from protocol.records import Record

Place: TypeAlias = "tuple[bytes, int]"


class _Committed(NamedTuple):
    """A record, and what its batch says of it."""

    record: Record
    leader_epoch: int
    producer_id: int
    producer_epoch: int
    sequence: int

    def __str__(self) -> str:
        kind = "a tombstone" if self.record.value is None else repr(self.record.value)
        return (
            f"{kind} of {self.record.key!r} at {self.record.offset}, epoch {self.leader_epoch},"
            f" producer {self.producer_id}, sequence {self.sequence}"
        )


class _Known(Struct):
    """What is known to be committed of one partition: all of it, and the newest of each key."""

    records: dict[int, _Committed] = field(default_factory=dict)
    newest: dict[bytes, _Committed] = field(default_factory=dict)


class _Looked(Struct):
    """How a replica was when it was looked at last; `held` is its newest record of each key."""

    replica: Partition
    end: int = 0
    log_end_offset: int = 0
    segments: tuple[Segment, ...] = ()
    held: dict[bytes, _Committed] = field(default_factory=dict)


class CommittedKeys:
    """The records below a high watermark of each partition, as the first replica showed them.

    Batches that were seen before are not decoded again: all replicas have the same ones, and most
    stay as they are when a segment is rewritten.
    """

    def __init__(self) -> None:
        self._known: dict[Place, _Known] = {}
        self._decoded: dict[bytes, list[_Committed]] = {}
        self._looked: dict[tuple[int, Place], _Looked] = {}

    def look(self, broker_id: int, replica: Partition) -> None:
        """Look at what a replica has come to know as committed, or all of it once it is rewritten.

        Raises: Broken.
        """
        place = replica.topic_id, replica.index
        looked = self._looked.get((broker_id, place))
        if looked is None or looked.replica is not replica:
            looked = self._looked[broker_id, place] = _Looked(replica)
        if _is_rewritten(looked):
            _demand_end(broker_id, looked)
            looked.end, looked.held = 0, {}
        end = min(replica.high_watermark.value, replica.log.log_end_offset)
        if looked.end != end:
            try:
                self._look_on(f"broker {broker_id}", looked, end)
            except StorageError:
                return  # Its disk has failed: it shows nothing to anybody.
        looked.segments = replica.log.segments
        looked.log_end_offset = replica.log.log_end_offset

    def _look_on(self, who: str, looked: _Looked, end: int) -> None:
        replica = looked.replica
        known = self._known.setdefault((replica.topic_id, replica.index), _Known())
        try:
            for found in self._records_of(replica, looked.end, end):
                self._compare(who, replica, found, known)
                looked.held[found.record.key or b""] = found
        except CorruptBatch as error:
            raise Broken(
                f"unreadable: {who} cannot read {replica.name} between {looked.end} and {end},"
                f" which is committed: {error}"
            ) from error
        looked.end = end
        self._demand_newest(who, looked, known)

    def _compare(self, who: str, replica: Partition, found: _Committed, known: _Known) -> None:
        offset, key = found.record.offset, found.record.key or b""
        committed = known.records.setdefault(offset, found)
        if committed is not found and committed != found:
            raise Broken(
                f"replicas-differ: {who} holds {found} in {replica.name}, where {committed} is"
                " committed"
            )
        newest = known.newest.get(key)
        if newest is None or newest.record.offset < offset:
            known.newest[key] = found

    def _records_of(self, replica: Partition, start: int, end: int) -> Iterator[_Committed]:
        for header, view in batches_of(replica, start, end):
            batch = bytes(view)
            found = self._decoded.get(batch)
            if found is None:
                found = self._decoded[batch] = _decode(header, batch)
            yield from (each for each in found if start <= each.record.offset)

    def _demand_newest(self, who: str, looked: _Looked, known: _Known) -> None:
        start, name = looked.replica.log.log_start_offset, looked.replica.name
        for key, newest in known.newest.items():
            held = looked.held.get(key)
            if not start <= newest.record.offset < looked.end or held == newest:
                continue
            if held is not None and held.record.value is not None:
                raise Broken(f"resurrected: {who} holds {held} in {name}, and not {newest}")
            if newest.record.value is not None:
                raise Broken(
                    f"newest-lost: {who} does not hold {newest} in {name}, though it has come to"
                    f" {looked.end}"
                )


def _is_rewritten(looked: _Looked) -> bool:
    """Say whether segments that were there are gone."""
    segments = looked.replica.log.segments
    return segments != looked.segments and not set(looked.segments) <= set(segments)


def _demand_end(broker_id: int, looked: _Looked) -> None:
    """Where the newest segment is the same, nothing was cut: the end has not moved either."""
    log = looked.replica.log
    moved = log.log_end_offset != looked.log_end_offset
    if moved and log.segments[-1] is looked.segments[-1]:
        raise Broken(
            f"log-end-moved: that of {looked.replica.name} at broker {broker_id} from"
            f" {looked.log_end_offset} to {log.log_end_offset}, while older segments were rewritten"
        )


def _decode(header: BatchHeader, batch: bytes) -> list[_Committed]:
    return [
        _Committed(
            record,
            header.partition_leader_epoch,
            header.producer_id,
            header.producer_epoch,
            header.base_sequence + record.offset - header.base_offset,
        )
        for record in decode_batch(batch)
    ]
