"""A topic of the scripted cluster: batches in lists, with sequences checked and epochs counted."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import Any

from msgspec.structs import replace

from protocol.batch import BatchHeader, assign, read_header, split_batches
from protocol.errors import ErrorCode
from protocol.records import Record, decode_batch, encode_batch

WALL_MS = 1_700_000_000_000


@dataclass
class FakePartition:
    leader_id: int
    leader_epoch: int = 0
    log_start: int = 0
    batches: list[bytes] = field(default_factory=list)
    producers: dict[int, deque[BatchHeader]] = field(default_factory=dict)
    epoch_ends: dict[int, int] = field(default_factory=dict)
    aborted: list[tuple[int, int]] = field(default_factory=list)
    replicas: list[int] | None = None

    @property
    def end_offset(self) -> int:
        return read_header(self.batches[-1]).next_offset if self.batches else self.log_start

    @property
    def records(self) -> list[Record]:
        return [record for batch in self.batches for record in decode_batch(batch)]

    @property
    def values(self) -> list[bytes | None]:
        return [record.value for record in self.records]

    def append(self, data: bytes) -> tuple[ErrorCode, int]:
        base_offset = -1
        for header, batch in split_batches(data, check_crc=True):
            code, offset = self._check_sequence(header)
            if code is not ErrorCode.NONE or offset >= 0:
                return code, offset
            stored = bytearray(batch)
            base_offset = self.end_offset
            assign(stored, base_offset=base_offset, leader_epoch=self.leader_epoch)
            self.batches.append(bytes(stored))
            if header.producer_id >= 0:
                recent = self.producers.setdefault(header.producer_id, deque(maxlen=5))
                recent.append(replace(header, base_offset=base_offset))
        return ErrorCode.NONE, base_offset

    def add(self, *values: bytes, timestamp_ms: int = WALL_MS, **batch: Any) -> None:
        start = self.end_offset
        records = [Record(start + i, timestamp_ms, None, v) for i, v in enumerate(values)]
        self.batches.append(
            encode_batch(records, base_offset=start, leader_epoch=self.leader_epoch, **batch)
        )

    def elect(self, leader_id: int) -> None:
        self.epoch_ends[self.leader_epoch] = self.end_offset
        self.leader_id = leader_id
        self.leader_epoch += 1

    def _check_sequence(self, header: BatchHeader) -> tuple[ErrorCode, int]:
        if header.producer_id < 0:
            return ErrorCode.NONE, -1
        recent = self.producers.get(header.producer_id, ())
        for known in recent:
            if known.base_sequence == header.base_sequence:
                return ErrorCode.NONE, known.base_offset
        expected = (recent[-1].last_sequence + 1) & 0x7FFFFFFF if recent else header.base_sequence
        if header.base_sequence != expected:
            return ErrorCode.OUT_OF_ORDER_SEQUENCE_NUMBER, -1
        return ErrorCode.NONE, -1


@dataclass
class FakeTopic:
    topic_id: bytes
    partitions: list[FakePartition]
    configs: dict[str, str] = field(default_factory=dict)

    def grow(self, *values: bytes, leader_id: int = 0) -> None:
        """Add a partition, with one batch of these values if there are any."""
        self.partitions.append(FakePartition(leader_id))
        if values:
            self.partitions[-1].add(*values)
