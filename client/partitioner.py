"""Which partition a record goes to: by its key as the Java client does, or sticky without a key.

Must never know: batches, brokers.
Source: KIP-480 and KIP-794 (sticky partitioning), KAFKA-14156 (not in the middle of a batch);
murmur2 as Kafka's clients use it, seed 0x9747b28c.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

    from client.environment import Random

_SEED: Final = 0x9747B28C
_M: Final = 0x5BD1E995
_MASK: Final = 0xFFFFFFFF
_POSITIVE: Final = 0x7FFFFFFF

NOWHERE: Final = -1


def murmur2(data: bytes) -> int:
    """Hash bytes to 32 bits, in `[0, 2^32)`."""
    size = len(data)
    value = _SEED ^ size
    words = size // 4
    for word in struct.unpack_from(f"<{words}I", data):
        mixed = word * _M & _MASK
        mixed ^= mixed >> 24
        value = (value * _M & _MASK) ^ (mixed * _M & _MASK)
    tail = data[words * 4 :]
    if tail:
        value = ((value ^ int.from_bytes(tail, "little")) * _M) & _MASK
    value ^= value >> 13
    value = value * _M & _MASK
    return value ^ value >> 15


def partition_of(key: bytes, partition_count: int) -> int:
    """Choose the partition of a key, in `[0, partition_count)`, as every Kafka client does."""
    return (murmur2(key) & _POSITIVE) % partition_count


class StickyPartitioner:
    """Sends records without a key to one partition until it has `batch_bytes` of them, then on.

    Larger batches in fewer partitions at a time: fewer requests for the same records. What counts
    are bytes and not batches, which are smaller where a broker is fast. `chosen` is NOWHERE while
    the next record is to choose.
    """

    def __init__(self, random: Random, batch_bytes: int) -> None:
        self.chosen = NOWHERE
        self._random = random
        self._batch_bytes = batch_bytes
        self._put_bytes = 0

    def has_had_enough(self, size: int, *, batch_fills: bool) -> bool:
        """Say whether a record of `size` bytes is for another partition than the chosen one.

        `batch_fills` says that the chosen partition has an open batch which could take it. That one
        is filled up first: left as it is, it would be sent smaller than it could be. Only where
        records with a key keep a batch open all the time, two batches' bytes are enough.
        """
        if batch_fills:
            return self._put_bytes >= 2 * self._batch_bytes
        return self._put_bytes + size > self._batch_bytes

    def move_on(self, available: Sequence[int]) -> int:
        """Choose anew; `available` are the partitions that have a leader."""
        self._put_bytes = 0
        self.chosen = self._random.choice(available)
        return self.chosen

    def note_put(self, size_bytes: int) -> None:
        """Take note of a record without a key that the chosen partition got."""
        self._put_bytes += size_bytes

    def leave(self) -> None:
        """Have the next record choose anew: the chosen partition cannot take it."""
        self.chosen = NOWHERE
