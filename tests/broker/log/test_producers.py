"""Laws of idempotent producers."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.log.errors import InvalidProducerEpoch, OutOfOrderSequence
from broker.log.producers import ProducedBatch, ProducerStates, SnapshotDamaged, next_sequence

SEQUENCE_MAX = 2**31 - 1


def batch(first, count=1, *, epoch=0, producer_id=9, base_offset=-1):
    last = (first + count - 1) & SEQUENCE_MAX
    last_offset = base_offset + count - 1 if base_offset >= 0 else -1
    return ProducedBatch(producer_id, epoch, first, last, base_offset, last_offset)


def produce(states, *batches, now_ms=0):
    """Append batches one after the other, each at the offset 100 plus its sequence."""
    for one in batches:
        assert states.check(one) is None
        count = ((one.last_sequence - one.first_sequence) & SEQUENCE_MAX) + 1
        base_offset = 100 + one.first_sequence
        states.appended(
            one._replace(base_offset=base_offset, last_offset=base_offset + count - 1),
            now_ms=now_ms,
        )


def test_consecutive_batches_are_accepted():
    produce(ProducerStates(), batch(0, 3), batch(3, 1), batch(4, 10), batch(14))


@pytest.mark.parametrize("sequence", [0, 2, 4, 100])
def test_a_gap_or_a_step_back_is_refused(sequence):
    states = ProducerStates()
    produce(states, batch(0), batch(1), batch(2))

    with pytest.raises(OutOfOrderSequence) as caught:
        states.check(batch(sequence, 7))

    assert (caught.value.expected, caught.value.sequence) == (3, sequence)


def test_the_last_five_batches_are_recognised_with_their_first_offset():
    states = ProducerStates()
    produce(states, *[batch(i * 2, 2) for i in range(8)])

    for i in (3, 4, 5, 6, 7):
        first = states.check(batch(i * 2, 2))
        assert first is not None
        assert (first.base_offset, first.last_offset) == (100 + i * 2, 101 + i * 2)
    with pytest.raises(OutOfOrderSequence):
        states.check(batch(4, 2))


def test_a_batch_of_another_length_is_no_duplicate():
    states = ProducerStates()
    produce(states, batch(0, 3))

    with pytest.raises(OutOfOrderSequence):
        states.check(batch(0, 2))


def test_sequences_wrap_after_the_greatest_int32():
    states = ProducerStates()
    produce(states, batch(SEQUENCE_MAX - 4, 10))

    assert states.check(batch(5)) is None
    with pytest.raises(OutOfOrderSequence):
        states.check(batch(6))
    assert next_sequence(SEQUENCE_MAX) == 0
    assert next_sequence(41) == 42


def test_a_new_epoch_begins_at_zero():
    states = ProducerStates()
    produce(states, batch(0), batch(1))

    with pytest.raises(OutOfOrderSequence):
        states.check(batch(2, epoch=1))
    produce(states, batch(0, epoch=1), batch(1, epoch=1))

    entry = states.entry(9)
    assert entry is not None
    assert (entry.epoch, len(entry.batches)) == (1, 2)


def test_an_old_epoch_is_fenced():
    states = ProducerStates()
    produce(states, batch(0), batch(0, epoch=3))

    with pytest.raises(InvalidProducerEpoch) as caught:
        states.check(batch(1, epoch=2))

    assert (caught.value.epoch, caught.value.newest) == (2, 3)


def test_an_unknown_producer_may_begin_anywhere():
    produce(ProducerStates(), batch(17, 3), batch(20))


def test_checking_changes_nothing():
    states = ProducerStates()
    produce(states, batch(0))
    before = states.encode()

    states.check(batch(1))

    assert states.encode() == before


def test_idle_producers_are_forgotten():
    states = ProducerStates()
    produce(states, batch(0), now_ms=1000)
    produce(states, batch(0, producer_id=10), now_ms=2000)

    assert states.expire(now_ms=1999, expiration_ms=1000) == 0
    assert states.expire(now_ms=2000, expiration_ms=1000) == 1

    assert states.entry(9) is None
    assert states.entry(10) is not None


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 5), st.integers(1, 9)), max_size=40))
def test_a_snapshot_is_read_back(steps):
    states = ProducerStates()
    for i, (producer_id, epoch, count) in enumerate(steps):
        states.appended(
            batch(i * 10, count, epoch=epoch, producer_id=producer_id, base_offset=i * 10), now_ms=i
        )

    again = ProducerStates.parse(states.encode())

    assert again.encode() == states.encode()
    assert len(again) == len(states)


@given(st.data())
def test_a_damaged_snapshot_is_refused(data):
    states = ProducerStates()
    produce(states, batch(0, 3), batch(3))
    packed = bytearray(states.encode())
    if data.draw(st.booleans()):
        del packed[data.draw(st.integers(0, len(packed) - 1)) :]
    else:
        packed[data.draw(st.integers(0, len(packed) - 1))] ^= 1 << data.draw(st.integers(0, 7))

    with pytest.raises(SnapshotDamaged):
        ProducerStates.parse(bytes(packed))
