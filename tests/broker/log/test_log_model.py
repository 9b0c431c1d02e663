"""A log against a trivial model of it, through appends, cuts, restarts and power failures."""

from __future__ import annotations

import random
from bisect import bisect_right
from dataclasses import dataclass

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from broker.log.config import LogConfig
from broker.log.directory import Checkpoint
from broker.log.errors import OffsetOutOfRange
from broker.log.log import Log
from protocol.batch import split_batches
from protocol.compression import Compression
from protocol.records import Record, decode_batch, encode_batch
from simulation.disk import MemoryDisk
from tests.support.effort import examples

NOW_MS = 1_700_000_000_000
PATH = "/data/topic-0"


@dataclass(frozen=True)
class Batch:
    """What the model knows of a batch."""

    base_offset: int
    times: tuple[int, ...]
    value: bytes
    epoch: int

    @property
    def next_offset(self) -> int:
        return self.base_offset + len(self.times)


class LogMachine(RuleBasedStateMachine):
    """The model: a list of batches, where it starts, and how far it is durable."""

    @initialize(
        seed=st.integers(0, 1000),
        segment_bytes=st.sampled_from([400, 1000, 1 << 20]),
        index_interval_bytes=st.sampled_from([0, 150, 4096]),
    )
    def begin(self, seed, segment_bytes, index_interval_bytes):
        self.random = random.Random(seed)
        self.disk = MemoryDisk(self.random)
        self.disk.make_directory("/data")
        self.config = LogConfig(
            segment_bytes=segment_bytes, index_interval_bytes=index_interval_bytes
        )
        self.log = Log.create(
            self.disk, PATH, self.config, topic_id=bytes(16), wall_ms=lambda: NOW_MS
        )
        self.flush()
        self.batches: list[Batch] = []
        self.start = self.origin = 0
        self.durable = 0
        self.epoch = 0
        self.checkpoint = Checkpoint()

    # The model's own view.

    @property
    def end(self) -> int:
        return self.batches[-1].next_offset if self.batches else self.origin

    def at(self, offset: int) -> int:
        """Index of the batch that holds an offset."""
        return bisect_right(self.batches, offset, key=lambda batch: batch.base_offset) - 1

    def make(self, times, size, **header) -> bytes:
        base_offset = header.get("base_offset", 0)
        value = bytes(self.random.randbytes(size))
        self.value = value
        return encode_batch(
            [Record(base_offset + i, t, None, value, ()) for i, t in enumerate(times)],
            compression=self.random.choice([Compression.NONE, Compression.LZ4]),
            **header,
        )

    # Writing.

    @rule(
        steps=st.lists(st.integers(-50, 50), min_size=1, max_size=4),
        size=st.integers(0, 70),
        bump=st.booleans(),
    )
    def append_as_leader(self, steps, size, bump):
        self.epoch += bump
        times = tuple(NOW_MS + step for step in steps)
        appended = self.log.append_as_leader(self.make(times, size), leader_epoch=self.epoch)
        assert (appended.base_offset, appended.duplicate) == (self.end, False)
        self.batches.append(Batch(self.end, times, self.value, self.epoch))

    @rule(counts=st.lists(st.integers(1, 3), min_size=1, max_size=3), bump=st.integers(0, 2))
    def append_as_follower(self, counts, bump):
        sent, added, base_offset = b"", [], self.end
        for count in counts:
            self.epoch += bump
            times = tuple(NOW_MS + self.random.randrange(-50, 50) for _ in range(count))
            sent += self.make(times, 30, base_offset=base_offset, leader_epoch=self.epoch)
            added.append(Batch(base_offset, times, self.value, self.epoch))
            base_offset += count
        assert self.log.append_as_follower(sent) == base_offset
        self.batches += added

    @rule()
    def begin_an_epoch(self):
        self.epoch += 1
        self.log.start_epoch(self.epoch)

    @rule()
    def flush(self):
        ticket = self.log.begin_flush()
        for file in ticket.files:
            file.sync()
        for path in ticket.directories:
            self.disk.sync_directory(path)
        self.log.end_flush(ticket)
        self.durable = self.log.log_end_offset
        assert self.log.durable_end_offset == self.durable

    @rule()
    def note_checkpoint(self):
        self.checkpoint = Checkpoint(self.log.recovery_point, 0, self.log.log_start_offset)

    # Cutting.

    @precondition(lambda self: self.batches)
    @rule(data=st.data())
    def truncate(self, data):
        offset = data.draw(st.integers(self.start, self.end))
        self.log.truncate_to(offset)
        self.batches = [batch for batch in self.batches if batch.next_offset <= offset]
        self.durable = min(self.durable, self.end)
        self.lower_start(min(self.start, self.end))
        self.epoch += 1

    @rule(ahead=st.integers(0, 30))
    def restart_at(self, ahead):
        self.origin = self.start = self.durable = self.end + ahead
        self.log.reset_to(self.origin)
        self.batches = []
        self.epoch += 1
        # As a broker does that has just been told by its leader to begin anew.
        self.flush()
        self.note_checkpoint()

    @rule(data=st.data())
    def advance_log_start(self, data):
        self.start = data.draw(st.integers(self.start, self.end))
        self.log.advance_log_start(self.start)
        self.note_checkpoint()

    @rule()
    def remove_old_segments(self):
        self.log.apply_retention(0)
        assert self.log.log_start_offset == self.start

    # Stopping.

    def open(self, *, clean):
        self.log = Log.open(
            self.disk,
            PATH,
            self.config,
            wall_ms=lambda: NOW_MS,
            clean=clean,
            checkpoint=self.checkpoint,
        )

    @rule()
    def restart_cleanly(self):
        self.log.close()
        self.note_checkpoint()
        self.open(clean=True)
        assert self.log.recovery.clean
        self.durable = self.log.log_end_offset
        assert self.log.log_end_offset == self.end

    @rule()
    def kill(self):
        self.open(clean=False)
        assert self.log.log_end_offset == self.end
        self.durable = self.end

    @rule()
    def lose_power(self):
        self.disk.crash()
        self.open(clean=False)
        assert self.log.log_end_offset >= self.durable
        kept = [batch for batch in self.batches if batch.next_offset <= self.log.log_end_offset]
        assert self.log.log_end_offset == (kept[-1].next_offset if kept else self.origin)
        self.batches = kept
        self.durable = self.end
        self.lower_start(min(self.start, self.end))

    def lower_start(self, start):
        if start < self.start:
            self.start = start
            self.note_checkpoint()  # as a broker does before it appends there again

    # What must hold.

    @invariant()
    def the_ends_agree(self):
        if hasattr(self, "log"):
            assert self.log.failed is None
            assert self.log.log_end_offset == self.end
            assert self.log.log_start_offset == self.start
            assert self.log.durable_end_offset == self.durable

    @rule(data=st.data(), bytes_max=st.integers(1, 600))
    def read(self, data, bytes_max):
        offset = data.draw(st.integers(self.start, self.end))
        bounds = [self.end, *(batch.base_offset for batch in self.batches)]
        end_offset = data.draw(st.sampled_from(bounds))
        piece = self.log.read(offset, bytes_max=bytes_max, end_offset=end_offset)
        found = split_batches(piece.read_bytes(), check_crc=True)
        if offset >= end_offset:
            assert not found
            return
        assert found
        assert len(piece) <= bytes_max or len(found) == 1
        first = self.at(offset)
        for (header, batch), known in zip(found, self.batches[first:], strict=False):
            assert header.base_offset == known.base_offset
            assert header.next_offset <= end_offset
            assert header.partition_leader_epoch == known.epoch
            records = decode_batch(batch)
            assert tuple(record.timestamp_ms for record in records) == known.times
            assert {record.value for record in records} == {known.value}

    @rule(outside=st.integers(1, 10))
    def read_outside(self, outside):
        for offset in (self.start - outside, self.end + outside):
            with pytest.raises(OffsetOutOfRange):
                self.log.read(offset, bytes_max=100, end_offset=self.end)

    @rule(step=st.integers(-60, 60))
    def look_up_a_time(self, step):
        records = [
            (batch.base_offset + i, time, batch.epoch)
            for batch in self.batches
            for i, time in enumerate(batch.times)
            if batch.base_offset + i >= self.start
        ]
        later = [record for record in records if record[1] >= NOW_MS + step]
        assert self.log.offset_for_timestamp(NOW_MS + step) == (later[0] if later else None)

    @rule(data=st.data())
    def ask_for_an_epoch(self, data):
        visible = [batch for batch in self.batches if batch.next_offset > self.start]
        if not visible:
            return
        asked = data.draw(st.sampled_from(sorted({batch.epoch for batch in visible})))
        beyond = [batch.base_offset for batch in visible if batch.epoch > asked]
        epoch, end_offset = self.log.end_offset_for_epoch(asked)
        assert epoch == asked
        assert end_offset == (beyond[0] if beyond else self.end)


LogMachine.TestCase.settings = settings(
    max_examples=examples(100), stateful_step_count=40, deadline=None
)
test_a_log_agrees_with_its_model = LogMachine.TestCase
