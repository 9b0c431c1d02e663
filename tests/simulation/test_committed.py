"""What is followed from step to step is noticed where it goes wrong."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from coordinator import paths
from coordinator.groups.image import CommittedOffset
from coordinator.groups.records import encode_offsets
from coordinator.tree import Tree
from coordinator.znode import Znode
from protocol.records import Record, encode_batch
from simulation.committed import Broken, CommittedOffsets, CommittedRecords

GROUP, TOPIC = "g/1", "orders"


class Replica:
    """As much of a replica as is looked at; `values` are batches of one record each."""

    name, topic_id, index = "orders-0", b"i" * 16, 0

    def __init__(self, *values: bytes, committed: int) -> None:
        self.high_watermark = SimpleNamespace(value=committed)
        self.log = self
        self.log_start_offset, self.log_end_offset = 0, len(values)
        self._values = values

    def read(self, offset: int, *, bytes_max: int, end_offset: int) -> SimpleNamespace:
        batches = [
            encode_batch([Record(number, 0, None, value)], base_offset=number)
            for number, value in enumerate(self._values)
        ]
        piece = b"".join(map(bytes, batches[offset:end_offset]))
        return SimpleNamespace(read_bytes=lambda: piece)


def test_replicas_that_hold_the_same_below_their_high_watermarks_are_alike():
    records = CommittedRecords()
    records.look(1, Replica(b"a", b"b", b"mine", committed=2))
    records.look(2, Replica(b"a", b"b", b"other", committed=2))


def test_replicas_that_differ_below_their_high_watermarks_are_told_of():
    records = CommittedRecords()
    records.look(1, Replica(b"a", b"b", committed=2))

    with pytest.raises(Broken, match=r"replicas-differ: broker 2 holds offsets 1 to 1"):
        records.look(2, Replica(b"a", b"other", committed=2))


def test_what_becomes_committed_later_is_compared_too():
    records = CommittedRecords()
    records.look(1, Replica(b"a", b"b", committed=2))
    replica = Replica(b"a", b"other", committed=1)
    records.look(2, replica)
    replica.high_watermark.value = 2

    with pytest.raises(Broken, match="replicas-differ"):
        records.look(2, replica)


def test_a_replica_that_was_opened_anew_is_compared_from_its_start():
    records = CommittedRecords()
    records.look(1, Replica(b"a", b"b", committed=2))

    with pytest.raises(Broken, match="replicas-differ"):
        records.look(1, Replica(b"rolled back", b"b", committed=2))


class Store:
    """A tree with a group's offsets."""

    def __init__(self) -> None:
        self.tree: Tree[object] = Tree()
        self.acknowledged: dict[tuple[str, int], int] = {}
        self.offsets = CommittedOffsets(self.tree, topic=TOPIC, acknowledged=self.acknowledged)

    def write(self, offset: int, *, incarnation: str = "1-1") -> None:
        """Write an offset of partition 0."""
        header = paths.group_header(GROUP, incarnation)
        value = encode_offsets(b"i" * 16, {0: CommittedOffset(offset)})
        path = paths.GROUPS
        for name in (paths.group(GROUP), header, paths.group_offsets(header, TOPIC)):
            self.tree.nodes.setdefault(path, Znode()).children.add(paths.name(name))
            path = name
        self.tree.zxid += 1
        self.tree.nodes[path] = Znode(value, mzxid=self.tree.zxid)


def test_offsets_may_grow_and_be_written_again():
    store = Store()
    for offset in (3, 3, 7):
        store.write(offset)
        store.offsets.look()


def test_a_committed_offset_that_falls_is_told_of():
    store = Store()
    store.write(7)
    store.offsets.look()
    store.write(6)

    with pytest.raises(Broken, match=r"committed-offset-fell: .* from 7 to 6"):
        store.offsets.look()


def test_an_acknowledged_offset_that_is_not_held_is_told_of():
    store = Store()
    store.write(7)
    store.acknowledged[GROUP, 0] = 7
    store.offsets.look()
    store.acknowledged[GROUP, 0] = 8

    with pytest.raises(Broken, match=r"lost-commit: 8 was acknowledged .* and 7 is committed"):
        store.offsets.look()


def test_an_offset_of_another_partition_is_no_excuse():
    store = Store()
    store.write(7)
    store.acknowledged[GROUP, 1] = 1

    with pytest.raises(Broken, match=r"lost-commit: 1 .* orders-1, and -1 is committed"):
        store.offsets.look()
