"""Batches compressed as their topic asks (`compression.type`), whatever their producer chose.

Only what is compressed otherwise is opened; a batch's records stay the same bytes within.
Must never know: requests, topics, where batches go.
Source: Kafka's documentation, "compression.type".
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from broker.log.config import UNCOMPRESSED
from protocol.batch import make_batch, read_header
from protocol.compression import Compression, compress

if TYPE_CHECKING:
    from collections.abc import Mapping

    from broker.opening import Opening

KINDS: Final[Mapping[str, Compression]] = {
    UNCOMPRESSED: Compression.NONE,
    **{kind.name.lower(): kind for kind in Compression if kind is not Compression.NONE},
}
"""What the values of `compression.type` stand for, but for the one that leaves batches alone."""


def recompress(batch: memoryview, compression_type: str, opening: Opening) -> memoryview:
    """Give a batch compressed as `KINDS` says: what was handed in where it is so already.

    Raises: OpenedEnough, CorruptBatch, UnsupportedMagic.
    """
    kind, header = KINDS[compression_type], read_header(batch)
    if header.compression is kind:
        return batch
    records = compress(kind, opening.data_of(header, batch))
    return memoryview(make_batch(header.compressed_as(kind), records))
