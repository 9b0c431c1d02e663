"""What is committed, followed from step to step: the records of all replicas, a group's offsets.

- What two replicas know to be committed is the same on both, batch by batch.
- A group's committed offset never falls, and is never below one that was acknowledged.

Must never know: faults, clients, who leads.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, NamedTuple, TypeVar

from coordinator import paths
from coordinator.groups.records import decode_offsets
from protocol.batch import split_batches
from protocol.errors import StorageError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from broker.partition import Partition
    from coordinator.groups.image import CommittedOffset
    from coordinator.tree import Tree

W = TypeVar("W")


class Broken(Exception):
    """Something that must always hold does not."""


class _Batch(NamedTuple):
    next_offset: int
    leader_epoch: int
    crc: int
    producer_id: int
    base_sequence: int


class _Looked(NamedTuple):
    """How far a replica, as it was opened once, has been looked at."""

    replica: Partition
    end: int


class CommittedRecords:
    """The batches below a high watermark of each partition, as the first replica showed them."""

    def __init__(self) -> None:
        self._batches: dict[tuple[bytes, int], dict[int, _Batch]] = {}
        self._looked: dict[tuple[int, bytes, int], _Looked] = {}

    def look(self, broker_id: int, replica: Partition) -> None:
        """Compare what a replica has come to know as committed. Raises: Broken."""
        end = min(replica.high_watermark.value, replica.log.log_end_offset)
        key = broker_id, replica.topic_id, replica.index
        known, start = self._looked.get(key), 0
        if known is not None and known.replica is replica:
            start = known.end
            if start == end:
                return
        for offset, batch in _batches(replica, start, end):
            committed = self._batches.setdefault(key[1:], {}).setdefault(offset, batch)
            if committed != batch:
                raise Broken(
                    f"replicas-differ: broker {broker_id} holds {_shown(offset, batch)} in"
                    f" {replica.name}, where {_shown(offset, committed)} is committed"
                )
        self._looked[key] = _Looked(replica, end)


def _batches(replica: Partition, start: int, end: int) -> Iterator[tuple[int, _Batch]]:
    """Read the headers of a replica's batches between two offsets."""
    log = replica.log
    offset = max(start, log.log_start_offset)
    while offset < end:
        try:
            piece = log.read(offset, bytes_max=1 << 30, end_offset=end).read_bytes()
        except StorageError:
            return  # Its disk has failed: it shows nothing to anybody.
        for header, _ in split_batches(piece):
            yield (
                header.base_offset,
                _Batch(
                    header.next_offset,
                    header.partition_leader_epoch,
                    header.crc,
                    header.producer_id,
                    header.base_sequence,
                ),
            )
            offset = header.next_offset


def _shown(offset: int, batch: _Batch) -> str:
    return (
        f"offsets {offset} to {batch.next_offset - 1} of epoch {batch.leader_epoch}"
        f" (producer {batch.producer_id}, sequence {batch.base_sequence})"
    )


class CommittedOffsets(Generic[W]):
    """A group's offsets in a topic, as the coordinator holds them.

    `acknowledged` gives for each partition the highest that a member was told is committed.
    """

    def __init__(
        self, tree: Tree[W], *, group: str, topic: str, acknowledged: Mapping[int, int]
    ) -> None:
        self._tree = tree
        self._group = group
        self._topic = topic
        self._zxid = -1
        self._modified = -1
        self._offsets: dict[int, int] = {}
        self._acknowledged = acknowledged

    def look(self) -> None:
        """Look at them. Raises: Broken."""
        self._look_at_store()
        for number, offset in self._acknowledged.items():
            held = self._offsets.get(number, -1)
            if held < offset:
                raise Broken(
                    f"lost-commit: {offset} was acknowledged to group {self._group!r} in"
                    f" {self._topic}-{number}, and {held} is committed"
                )

    def _look_at_store(self) -> None:
        if self._tree.zxid == self._zxid:
            return
        self._zxid = self._tree.zxid
        group = self._tree.nodes.get(paths.group(self._group))
        for incarnation in () if group is None else sorted(group.children):
            header = paths.group_header(self._group, incarnation)
            path = paths.group_offsets(header, self._topic)
            node = self._tree.nodes.get(path)
            if node is None or node.value is None or node.mzxid == self._modified:
                continue
            self._modified = node.mzxid
            self._compare(decode_offsets(path, node.value).partitions)

    def _compare(self, offsets: Mapping[int, CommittedOffset]) -> None:
        for number, before in self._offsets.items():
            now = offsets.get(number)
            if now is None or now.offset < before:
                told = "is gone" if now is None else f"fell to {now.offset}"
                raise Broken(
                    f"committed-offset-fell: that of group {self._group!r} in"
                    f" {self._topic}-{number} was {before} and {told}"
                )
        self._offsets = {number: found.offset for number, found in offsets.items()}
