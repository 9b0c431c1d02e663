"""What is committed, followed from step to step: the records of all replicas, a group's offsets.

- What two replicas know to be committed is the same on both, batch by batch; for compacted topics
  see committed_keys.py.
- A group's committed offset never falls, and is never below one that was acknowledged.

Must never know: faults, clients, who leads.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, NamedTuple, TypeVar

from coordinator import paths
from coordinator.groups.records import decode_offsets
from protocol.batch import split_batches
from protocol.errors import CorruptBatch, StorageError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from broker.partition import Partition
    from coordinator.groups.image import CommittedOffset
    from coordinator.tree import Tree
    from protocol.batch import BatchHeader

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
        try:
            self._compare(broker_id, replica, start, end)
        except StorageError:
            return  # Its disk has failed: it shows nothing to anybody.
        except CorruptBatch as error:
            raise Broken(
                f"unreadable: broker {broker_id} cannot read {replica.name} between {start} and"
                f" {end}, which is committed: {error}"
            ) from error
        self._looked[key] = _Looked(replica, end)

    def _compare(self, broker_id: int, replica: Partition, start: int, end: int) -> None:
        known = self._batches.setdefault((replica.topic_id, replica.index), {})
        for header, _ in batches_of(replica, start, end):
            batch = _Batch(
                header.next_offset,
                header.partition_leader_epoch,
                header.crc,
                header.producer_id,
                header.base_sequence,
            )
            committed = known.setdefault(header.base_offset, batch)
            if committed != batch:
                raise Broken(
                    f"replicas-differ: broker {broker_id} holds"
                    f" {_shown(header.base_offset, batch)} in {replica.name}, where"
                    f" {_shown(header.base_offset, committed)} is committed"
                )


def batches_of(
    replica: Partition, start: int, end: int, *, check_crc: bool = False
) -> Iterator[tuple[BatchHeader, memoryview]]:
    """Read a replica's batches between two offsets. Raises: StorageError, CorruptBatch."""
    log = replica.log
    offset = max(start, log.log_start_offset)
    while offset < end:
        piece = log.read(offset, bytes_max=1 << 30, end_offset=end).read_bytes()
        if not piece:
            return  # compaction has left nothing from here to `end`
        for header, batch in split_batches(piece, check_crc=check_crc):
            yield header, batch
            offset = header.next_offset


def _shown(offset: int, batch: _Batch) -> str:
    return (
        f"offsets {offset} to {batch.next_offset - 1} of epoch {batch.leader_epoch}"
        f" (producer {batch.producer_id}, sequence {batch.base_sequence})"
    )


class CommittedOffsets(Generic[W]):
    """The offsets of all groups in a topic, as the coordinator holds them.

    `acknowledged` gives, by group and partition, the highest that a member was told is committed.
    """

    def __init__(
        self, tree: Tree[W], *, topic: str, acknowledged: Mapping[tuple[str, int], int]
    ) -> None:
        self._tree = tree
        self._topic = topic
        self._acknowledged = acknowledged
        self._zxid = -1
        self._modified: dict[str, int] = {}
        self._offsets: dict[tuple[str, int], int] = {}

    @property
    def changed(self) -> bool:
        """Whether the coordinator's tree is another than when it was looked at last."""
        return self._tree.zxid != self._zxid

    def look(self) -> None:
        """Look at them. Raises: Broken."""
        if self.changed:
            self._zxid = self._tree.zxid
            for name in self._children(paths.GROUPS):
                self._look_at_group(paths.group_id(name))
        for (group, number), offset in self._acknowledged.items():
            held = self._offsets.get((group, number), -1)
            if held < offset:
                raise Broken(
                    f"lost-commit: {offset} was acknowledged to group {group!r} in"
                    f" {self._topic}-{number}, and {held} is committed"
                )

    def _children(self, path: str) -> list[str]:
        node = self._tree.nodes.get(path)
        return [] if node is None else sorted(node.children)

    def _look_at_group(self, group: str) -> None:
        for incarnation in self._children(paths.group(group)):
            path = paths.group_offsets(paths.group_header(group, incarnation), self._topic)
            node = self._tree.nodes.get(path)
            if node is None or node.value is None or node.mzxid == self._modified.get(path):
                continue
            self._modified[path] = node.mzxid
            self._compare(group, decode_offsets(path, node.value).partitions)

    def _compare(self, group: str, offsets: Mapping[int, CommittedOffset]) -> None:
        for number, found in offsets.items():
            before = self._offsets.get((group, number), -1)
            if found.offset < before:
                raise Broken(
                    f"committed-offset-fell: that of group {group!r} in {self._topic}-{number}"
                    f" fell from {before} to {found.offset}"
                )
            self._offsets[group, number] = found.offset
