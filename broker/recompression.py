"""Batches compressed as their topic asks (`compression.type`), whatever their producer chose.

Only what is compressed otherwise is opened; a batch's records stay the same bytes within.
Must never know: requests, topics, where batches go.
Source: Kafka's documentation, "compression.type".
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from broker.log.config import UNCOMPRESSED
from protocol.batch import check_batch_crc, make_batch, read_header
from protocol.compression import Compression, compress
from protocol.records import data_of

if TYPE_CHECKING:
    from collections.abc import Mapping

KINDS: Final[Mapping[str, Compression]] = {
    UNCOMPRESSED: Compression.NONE,
    **{kind.name.lower(): kind for kind in Compression if kind is not Compression.NONE},
}
"""What the values of `compression.type` stand for, but for the one that leaves batches alone."""


def recompress(batch: memoryview, compression_type: str) -> memoryview:
    """Give a batch compressed as `KINDS` says: what was handed in where it is so already.

    Raises: CorruptBatch, UnsupportedMagic.
    """
    kind, header = KINDS[compression_type], read_header(batch)
    if header.compression is kind:
        return batch
    check_batch_crc(batch, header.crc)
    records = compress(kind, data_of(header, batch))
    return memoryview(make_batch(header.compressed_as(kind), records))
