"""Replicas of a compacted topic: what may differ, and what is noticed where it goes wrong."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from protocol.records import Record, encode_batch
from simulation.committed import Broken
from simulation.committed_keys import CommittedKeys

J, K, L = b"j", b"k", b"l"


def put(offset: int, key: bytes, value: bytes | None = b"value") -> Record:
    return Record(offset, 0, key, value)


def deletion(offset: int, key: bytes) -> Record:
    return put(offset, key, None)


class Replica:
    """As much of a replica as is looked at; each record is a batch, each batch a segment.

    The last segment is empty. `committed` may be more than the log holds.
    """

    name, topic_id, index = "orders-0", b"i" * 16, 0

    def __init__(self, *records: Record, committed: int, end: int | None = None) -> None:
        self.high_watermark = SimpleNamespace(value=committed)
        self.log = self
        self.log_start_offset = 0
        self.log_end_offset = committed if end is None else end
        self._active = object()
        self.write(*records)

    def write(self, *records: Record, active: object | None = None) -> None:
        """Hold these records, in segments that are new."""
        self._records = records
        self._active = active or self._active
        self.segments = (*(object() for _ in records), self._active)

    def append(self, *records: Record) -> None:
        """Hold these records as well."""
        self._records = (*self._records, *records)
        self.segments = (*self.segments, object())

    def read(self, offset: int, *, bytes_max: int, end_offset: int) -> SimpleNamespace:
        found = [one for one in self._records if offset <= one.offset < end_offset]
        piece = b"".join(encode_batch([one], base_offset=one.offset) for one in found)
        return SimpleNamespace(read_bytes=lambda: piece)


def test_each_replica_is_compacted_when_it_likes():
    keys = CommittedKeys()
    whole = Replica(put(0, K), put(1, J), put(2, K), committed=3)
    keys.look(1, whole)
    keys.look(2, Replica(put(1, J), put(2, K), committed=3))
    whole.write(put(1, J), put(2, K))
    keys.look(1, whole)


def test_a_follower_may_lack_what_is_superseded_by_what_it_has_not_come_to():
    keys = CommittedKeys()
    keys.look(1, Replica(put(0, K), put(1, J), put(2, K), committed=3))
    keys.look(2, Replica(put(1, J), committed=2, end=2))


def test_a_record_that_is_another_one_is_told_of():
    keys = CommittedKeys()
    keys.look(1, Replica(put(0, K), put(1, J), committed=2))

    with pytest.raises(Broken, match=r"replicas-differ: broker 2 holds b'other' of b'k' at 0"):
        keys.look(2, Replica(put(0, K, b"other"), put(1, J), committed=2))


def test_a_record_that_is_rewritten_as_another_one_is_told_of():
    keys = CommittedKeys()
    replica = Replica(put(0, K), put(1, J), committed=2)
    keys.look(1, replica)
    replica.write(put(0, K), put(1, L))

    with pytest.raises(Broken, match="replicas-differ"):
        keys.look(1, replica)


def test_what_is_not_committed_may_differ():
    keys = CommittedKeys()
    keys.look(1, Replica(put(0, K), put(1, J), committed=1, end=2))
    keys.look(2, Replica(put(0, K), put(1, L), committed=1, end=2))


def test_the_newest_record_of_a_key_that_compaction_removes_is_told_of():
    keys = CommittedKeys()
    replica = Replica(put(0, K), put(1, J), put(2, L), committed=3)
    keys.look(1, replica)
    replica.write(put(0, K), put(2, L))

    with pytest.raises(Broken, match=r"newest-lost: broker 1 does not hold b'value' of b'j' at 1"):
        keys.look(1, replica)


def test_a_record_superseded_by_what_is_not_committed_is_told_of():
    keys = CommittedKeys()
    replica = Replica(put(0, K), put(1, K), committed=1, end=2)
    keys.look(1, replica)
    replica.write(put(1, K))

    with pytest.raises(Broken, match="newest-lost"):
        keys.look(1, replica)


def test_a_replica_that_never_got_the_newest_record_is_told_of():
    keys = CommittedKeys()
    keys.look(1, Replica(put(0, K), put(1, J), committed=2))
    replica = Replica(put(0, K), committed=1, end=1)
    keys.look(2, replica)
    replica.append(put(2, L))
    replica.high_watermark.value = replica.log_end_offset = 3

    with pytest.raises(Broken, match=r"newest-lost: broker 2 does not hold b'value' of b'j' at 1"):
        keys.look(2, replica)


def test_a_record_below_the_start_of_a_log_is_not_missed():
    keys = CommittedKeys()
    keys.look(1, Replica(put(0, K), put(1, J), committed=2))
    replica = Replica(put(1, J), committed=2)
    replica.log_start_offset = 1
    keys.look(2, replica)


def test_a_tombstone_goes_after_all_that_it_deletes():
    keys = CommittedKeys()
    replica = Replica(put(0, K), deletion(1, K), put(2, L), committed=3)
    keys.look(1, replica)
    replica.write(deletion(1, K), put(2, L))
    keys.look(1, replica)
    replica.write(put(2, L))
    keys.look(1, replica)


def test_a_tombstone_that_goes_before_what_it_deletes_is_told_of():
    keys = CommittedKeys()
    replica = Replica(put(0, K), deletion(1, K), put(2, L), committed=3)
    keys.look(1, replica)
    replica.write(put(0, K), put(2, L))

    with pytest.raises(Broken, match=r"resurrected: broker 1 holds b'value' of b'k' at 0"):
        keys.look(1, replica)


def test_a_follower_that_comes_too_late_for_a_tombstone_is_told_of():
    keys = CommittedKeys()
    keys.look(1, Replica(put(0, K), deletion(1, K), put(2, L), committed=3))
    late = Replica(put(0, K), committed=1, end=1)
    keys.look(2, late)
    late.append(put(2, L))
    late.high_watermark.value = late.log_end_offset = 3

    with pytest.raises(Broken, match=r"resurrected: broker 2 .* and not a tombstone of b'k' at 1"):
        keys.look(2, late)


def test_compaction_does_not_move_the_end():
    keys = CommittedKeys()
    replica = Replica(put(0, K), put(1, K), deletion(2, J), committed=3)
    keys.look(1, replica)
    replica.log_end_offset = 2
    replica.write(put(1, K))

    with pytest.raises(Broken, match="log-end-moved: that of orders-0 at broker 1 from 3 to 2"):
        keys.look(1, replica)


def test_a_log_that_was_cut_may_end_sooner():
    keys = CommittedKeys()
    replica = Replica(put(0, K), put(1, K), put(2, J), committed=2, end=3)
    keys.look(1, replica)
    replica.log_end_offset = 2
    replica.write(put(0, K), put(1, K), active=object())
    keys.look(1, replica)


def test_a_replica_that_was_opened_anew_is_looked_at_from_its_start():
    keys = CommittedKeys()
    keys.look(1, Replica(put(0, K), put(1, J), committed=2))

    with pytest.raises(Broken, match="newest-lost"):
        keys.look(1, Replica(put(0, K), committed=2))
