"""Batches compressed as their topic asks (`compression.type`), whatever their producer chose.

Only what is compressed otherwise is opened; a batch's records stay the same bytes within.
Must never know: requests, topics, where batches go.
Source: Kafka's documentation, "compression.type".
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from broker.log.config import UNCOMPRESSED
from protocol.batch import check_batch_crc, make_batch, split_batches
from protocol.compression import Compression, compress
from protocol.records import data_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from protocol.batch import BatchHeader

KINDS: Final[Mapping[str, Compression]] = {
    UNCOMPRESSED: Compression.NONE,
    **{kind.name.lower(): kind for kind in Compression if kind is not Compression.NONE},
}
"""What the values of `compression.type` stand for, but for the one that leaves batches alone."""


def recompress(batches: memoryview, compression_type: str) -> memoryview:
    """Give a request's batches for one partition, each compressed as `KINDS` says.

    They are what was handed in where all are so already. Raises: CorruptBatch, UnsupportedMagic.
    """
    kind = KINDS[compression_type]
    found = split_batches(batches)
    if all(header.compression is kind for header, _ in found):
        return batches
    parts = (
        batch if header.compression is kind else _recompressed(header, batch, kind)
        for header, batch in found
    )
    return memoryview(b"".join(parts))


def _recompressed(header: BatchHeader, batch: memoryview, kind: Compression) -> bytes:
    check_batch_crc(batch, header.crc)
    return make_batch(header.compressed_as(kind), compress(kind, data_of(header, batch)))
