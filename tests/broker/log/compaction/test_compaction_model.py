"""A compacted log against a trivial model of it, through passes, cuts, restarts, power failures."""

from __future__ import annotations

import random
from contextlib import suppress

import trio
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from broker.log.compaction import compact as module
from broker.log.compaction.compact import Interrupted
from broker.log.config import LogConfig
from broker.log.directory import Checkpoint
from broker.log.log import Log
from protocol.batch import split_batches
from protocol.compression import Compression
from simulation.disk import MemoryDisk
from tests.broker.log.compaction.keyed import batches_of, flush, keyed_batch, records_of
from tests.support.effort import examples

START_MS = 1_700_000_000_000
PATH = "/data/topic-0"
RETENTION_MS = 1000
KEYS = (None, b"", b"a", b"b", b"c" * 40)


class CompactedLogMachine(RuleBasedStateMachine):
    """The model: every record that was appended and not cut, and when; what is committed."""

    @initialize(seed=st.integers(0, 1000), segment_bytes=st.sampled_from([300, 600]))
    def begin(self, seed, segment_bytes):
        self.random = random.Random(seed)
        self.disk = MemoryDisk(self.random)
        self.disk.make_directory("/data")
        self.now_ms = START_MS
        self.config = LogConfig(
            segment_bytes=segment_bytes,
            segment_ms=5000,
            index_interval_bytes=150,
            cleanup_policy=frozenset({"compact"}),
            min_cleanable_dirty_ratio=0.0,
            delete_retention_ms=RETENTION_MS,
        )
        self.log = Log.create(
            self.disk, PATH, self.config, topic_id=bytes(16), wall_ms=self.wall_ms
        )
        flush(self.disk, self.log)
        self.appended = {}
        self.ends = [0]
        self.sequence = 0
        self.committed = 0
        self.epoch = 1
        self.checkpoint = Checkpoint()

    def wall_ms(self):
        return self.now_ms

    @property
    def end(self):
        return self.ends[-1]

    # Writing.

    @rule(
        batches=st.lists(
            st.lists(
                st.tuples(st.sampled_from(KEYS), st.none() | st.binary(max_size=40)),
                min_size=1,
                max_size=3,
            ),
            min_size=1,
            max_size=8,
        ),
        is_idempotent=st.booleans(),
        bump=st.booleans(),
        compression=st.sampled_from([Compression.NONE, Compression.ZSTD]),
    )
    def append(self, batches, is_idempotent, bump, compression):
        self.epoch += bump
        for pairs in batches:
            self.append_one(pairs, is_idempotent, compression)

    def append_one(self, pairs, is_idempotent, compression):
        header = {"compression": compression}
        if is_idempotent:
            header |= {"producer_id": 3, "producer_epoch": 0, "base_sequence": self.sequence}
            self.sequence += len(pairs)
        batch = keyed_batch(pairs, timestamp_ms=self.now_ms, **header)
        done = self.log.append_as_leader(batch, leader_epoch=self.epoch)
        assert done.base_offset == self.end
        for i, (key, value) in enumerate(pairs):
            self.appended[self.end + i] = (key, value, self.now_ms + i)
        self.ends.append(self.end + len(pairs))

    @rule()
    def commit(self):
        flush(self.disk, self.log)
        self.committed = self.log.durable_end_offset
        self.note_checkpoint()

    @rule(passed_ms=st.sampled_from([1, 400, 1000, 6000]))
    def wait(self, passed_ms):
        self.now_ms += passed_ms

    def note_checkpoint(self):
        log = self.log
        self.checkpoint = Checkpoint(
            log.recovery_point, self.committed, 0, first_dirty_offset=log.first_dirty_offset
        )

    # Compacting, cutting.

    @rule(
        commits=st.booleans(),
        key_bytes_max=st.sampled_from([200, 1 << 20]),
        cut_after=st.none() | st.integers(1, 9),
    )
    def compact(self, commits, key_bytes_max, cut_after):
        if commits:
            self.commit()
        cleanable = self.log.find_cleanable(self.committed)
        if cleanable is None:
            return
        pauses = 0

        async def pace(_size_bytes):
            nonlocal pauses
            pauses += 1
            if pauses == cut_after:
                self.truncate()

        async def run():
            await self.log.compact(cleanable, pace=pace, key_bytes_max=key_bytes_max)

        slice_bytes, module._SLICE_BYTES = module._SLICE_BYTES, 100
        try:
            with suppress(Interrupted):
                trio.run(run)
        finally:
            module._SLICE_BYTES = slice_bytes

    @rule()
    def truncate(self):
        offset = self.random.choice([one for one in self.ends if one >= self.committed])
        self.log.truncate_to(offset)
        self.cut(offset)
        self.epoch += 1

    def cut(self, end):
        self.ends = [one for one in self.ends if one <= end]
        self.appended = {
            offset: record for offset, record in self.appended.items() if offset < self.end
        }
        entry = self.log.producers.entry(3)
        self.sequence = 0 if entry is None else entry.batches[-1].last_sequence + 1

    # Stopping.

    def open(self, *, clean):
        self.log = Log.open(
            self.disk,
            PATH,
            self.config,
            wall_ms=self.wall_ms,
            clean=clean,
            checkpoint=self.checkpoint,
        )
        names = self.disk.list(PATH)
        assert not [name for name in names if "cleaned" in name or "swap" in name]

    @rule()
    def restart_cleanly(self):
        self.log.close()
        self.note_checkpoint()
        self.open(clean=True)
        assert self.log.recovery.clean

    @rule()
    def kill(self):
        self.open(clean=False)

    @rule()
    def lose_power(self):
        self.disk.crash()
        self.open(clean=False)
        assert self.log.log_end_offset >= self.committed
        assert self.log.log_end_offset in self.ends
        self.cut(self.log.log_end_offset)

    # What must hold.

    @invariant()
    def what_is_gone_was_superseded(self):
        if not hasattr(self, "log"):
            return
        assert self.log.failed is None
        assert self.log.log_end_offset == self.end
        found = {o: (r.key, r.value, r.timestamp_ms) for o, r in records_of(self.log).items()}
        assert found.items() <= self.appended.items()
        for offset in self.appended.keys() - found.keys():
            key, value, appended_ms = self.appended[offset]
            assert key is not None
            assert offset < self.committed
            same_key = [other for other, record in self.appended.items() if record[0] == key]
            if max(other for other in same_key if other < self.committed) == offset:
                assert value is None, "the newest record of a key stays"
                assert self.now_ms >= appended_ms - 4 + RETENTION_MS
                assert not [other for other in same_key if other in found and other < offset]

    @precondition(lambda self: self.end)
    @rule(data=st.data())
    def read(self, data):
        offset = data.draw(st.integers(0, self.end - 1))
        ends = [header.next_offset for header, _ in batches_of(self.log)]
        piece = self.log.read(offset, bytes_max=1, end_offset=self.end).read_bytes()
        (header, _) = split_batches(piece)[0]
        assert header.next_offset == min(end for end in ends if end > offset)

    @rule()
    def compacted_to_the_end_one_record_of_each_key_is_left(self):
        flush(self.disk, self.log)
        self.committed = self.end
        self.now_ms += 6000  # the newest segment is begun anew by its age
        for _ in range(len(self.log.segments) + 2):
            self.compact(commits=False, key_bytes_max=1 << 20, cut_after=None)
        assert self.log.first_dirty_offset == self.end
        keys = [record.key for record in records_of(self.log).values() if record.key is not None]
        assert len(keys) == len(set(keys))


CompactedLogMachine.TestCase.settings = settings(
    max_examples=examples(100), stateful_step_count=40, deadline=None
)
test_a_compacted_log_agrees_with_its_model = CompactedLogMachine.TestCase
