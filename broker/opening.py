"""How much of one request is unfolded, where its records are looked into.

All of that happens in one go, in which this broker does nothing else, not even say that it lives.
A batch of few bytes may unfold to millions, and a request hold a batch for each of many partitions.
Must never know: what is looked for in records, topics, requests.
"""

from __future__ import annotations

from typing import Final

from msgspec import Struct

from broker.log.admission import OPENED_RECORDS_MAX
from protocol.batch import BatchHeader, check_batch_crc
from protocol.compression import DECOMPRESSED_BYTES_MAX
from protocol.errors import CorruptBatch, ErrorCode, RequestError
from protocol.records import data_of

OPENED_BYTES_MAX: Final = DECOMPRESSED_BYTES_MAX
"""Of one request, unfolded. The batch that reaches it is still looked into as a whole."""


class OpenedEnough(RequestError):
    """So much of this request was looked into that the rest has to come again, in another one.

    The code is one that all producers take for an error of the moment: each batch by itself is
    welcome, and the first one of a request is always taken.
    """

    code, retriable = ErrorCode.LEADER_NOT_AVAILABLE, True


class Opening(Struct):
    """Unfolds batches of one request, each once, up to a sum of records and bytes."""

    records: int = 0
    size_bytes: int = 0
    _batch: memoryview | None = None
    _data: bytes = b""

    def data_of(self, header: BatchHeader, batch: memoryview) -> bytes:
        """Give what a batch's records were encoded as. Raises: OpenedEnough, CorruptBatch."""
        if batch is self._batch:
            return self._data
        if (
            self.records + header.record_count > OPENED_RECORDS_MAX
            or self.size_bytes >= OPENED_BYTES_MAX
        ):
            raise OpenedEnough(
                f"{self.records} records and {self.size_bytes} bytes of this request were looked"
                f" into, {OPENED_RECORDS_MAX} and {OPENED_BYTES_MAX} are the most: send this batch"
                " again"
            )
        check_batch_crc(batch, header.crc)
        self.records += header.record_count
        try:
            self._data = data_of(header, batch)
        except CorruptBatch:
            self.size_bytes += OPENED_BYTES_MAX  # it may have unfolded to as much before it failed
            raise
        self._batch = batch
        self.size_bytes += len(self._data)
        return self._data

    def goes_on_as(self, batch: memoryview) -> None:
        """Take `batch` for the one that was unfolded last, of which only the header has changed."""
        self._batch = batch
