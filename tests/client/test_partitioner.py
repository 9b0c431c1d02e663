from __future__ import annotations

import random
import struct

import pytest

from client.partitioner import NOWHERE, StickyPartitioner, murmur2, partition_of


@pytest.mark.parametrize(
    ("data", "signed"),
    [
        (b"21", -973932308),
        (b"foobar", -790332482),
        (b"a-little-bit-long-string", -985981536),
        (b"a-little-bit-longer-string", -1486304829),
        (b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58897971),
        (b"abc", 479470107),
        (b"", 275646681),
    ],
)
def test_murmur2_is_the_one_of_the_java_client(data, signed):
    assert struct.unpack(">i", murmur2(data).to_bytes(4, "big"))[0] == signed


def test_a_key_always_goes_to_the_same_partition_and_keys_spread():
    chosen = [partition_of(str(i).encode(), 8) for i in range(1000)]

    assert chosen == [partition_of(str(i).encode(), 8) for i in range(1000)]
    assert set(chosen) == set(range(8))


def test_a_partition_has_had_enough_before_it_has_more_than_a_batch():
    partitioner = StickyPartitioner(random.Random(1), batch_bytes=100)
    partitioner.move_on(range(100))
    partitioner.note_put(90)

    assert not partitioner.has_had_enough(10, batch_fills=False)
    assert partitioner.has_had_enough(11, batch_fills=False)
    partitioner.move_on(range(100))
    assert not partitioner.has_had_enough(11, batch_fills=False)


def test_a_batch_that_fills_is_not_left_before_there_are_two_batches_worth():
    partitioner = StickyPartitioner(random.Random(1), batch_bytes=100)
    partitioner.move_on(range(100))

    partitioner.note_put(199)
    assert not partitioner.has_had_enough(50, batch_fills=True)
    partitioner.note_put(1)
    assert partitioner.has_had_enough(50, batch_fills=True)


def test_the_random_generator_alone_chooses_among_those_available():
    chosen = []
    for _ in range(2):
        partitioner = StickyPartitioner(random.Random(1), batch_bytes=100)
        chosen.append([partitioner.move_on([2, 5, 7]) for _ in range(50)])

    assert chosen[0] == chosen[1]
    assert set(chosen[0]) == {2, 5, 7}


def test_a_partition_that_is_left_is_chosen_no_more():
    partitioner = StickyPartitioner(random.Random(1), batch_bytes=100)
    partitioner.move_on(range(100))

    partitioner.leave()

    assert partitioner.chosen == NOWHERE
