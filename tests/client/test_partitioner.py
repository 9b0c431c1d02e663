from __future__ import annotations

import random
import struct

import pytest

from client.partitioner import StickyPartitioner, murmur2, partition_of


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


def test_without_a_key_a_partition_is_kept_until_its_batch_is_full():
    partitioner = StickyPartitioner(random.Random(1))
    first = partitioner.choose(range(100))

    assert {partitioner.choose(range(100)) for _ in range(50)} == {first}
    partitioner.move_on(first + 1)
    assert partitioner.choose(range(100)) == first
    partitioner.move_on(first)
    assert {partitioner.choose(range(100)) for _ in range(50)} != {first}
