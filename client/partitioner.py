"""Which partition a record goes to: by its key as the Java client does, or sticky without a key.

Must never know: batches, brokers.
Source: KIP-480 (sticky partitioning); murmur2 as Kafka's clients use it, seed 0x9747b28c.
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
    """Sends records without a key to one partition until a batch of it is full, then to another.

    Larger batches in fewer partitions at a time: fewer requests for the same records.
    """

    def __init__(self, random: Random) -> None:
        self._random = random
        self._chosen: int | None = None

    def choose(self, available: Sequence[int]) -> int:
        """Return the partition to stick to; `available` are those that have a leader."""
        if self._chosen is None:
            self._chosen = self._random.choice(available)
        return self._chosen

    def move_on(self, full: int) -> None:
        """Choose anew next time, if it was the chosen partition whose batch is full."""
        if self._chosen == full:
            self._chosen = None
