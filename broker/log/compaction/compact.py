"""One pass over a log: the keys of its new part are read, and old segments written again.

It waits between slices of work, and the log goes on meanwhile: where it is cut, the pass ends.
Each group of segments is put in the place of the old ones before the next is begun, so that a
tombstone goes no sooner than all that it deletes.
Must never know: watermarks, which log is worth it, how fast it may be.
Source: Kafka's design, "Log Compaction".
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from broker.log.batches import iterate_batches, iterate_headers
from broker.log.compaction import swap
from broker.log.compaction.cleanable import group_segments
from broker.log.compaction.keys import KeyMap
from broker.log.compaction.retain import Retention, is_needed_empty
from broker.log.compaction.writer import SegmentWriter
from broker.log.producers import ProducerStates
from broker.log.snapshots import produced
from protocol.batch import HEADER_BYTES, check_crc
from protocol.errors import CorruptBatch
from protocol.raw_records import emptied, scan_records
from protocol.records import data_of

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator, Sequence

    from broker.log.compaction.cleanable import Cleanable
    from broker.log.segment import Segment
    from broker.log.state import LogState
    from protocol.batch import BatchHeader

    Pace = Callable[[int], Awaitable[None]]
    """Waits as long as so many bytes of work call for."""

_SLICE_BYTES: Final = 1 << 16
_SYNC_BYTES: Final = 1 << 23


class Interrupted(Exception):
    """The log was cut or closed meanwhile, or is to be compacted no more; what was done stays."""


class Compacted(NamedTuple):
    """What a pass has come to. Sizes are of the segments that it went over."""

    end_offset: int
    bytes_before: int
    bytes_after: int
    segments_before: int
    segments_after: int
    keys: int
    last_horizon_ms: int | None
    """When the last tombstone that was met may go; None where there was none."""


async def compact(
    state: LogState,
    cleanable: Cleanable,
    *,
    pace: Pace,
    key_bytes_max: int,
    replicated_offset: Callable[[], int],
) -> Compacted:
    """Compact a part of the log, or as much of it as the keys fit into `key_bytes_max`.

    Tombstones go below `replicated_offset` alone: every replica has what is there, and has it yet
    when they go.
    Raises: Interrupted; CorruptBatch where a batch is damaged; DiskFull, and the log is as good
    as before in both; any other StorageError, after which it cannot be used.
    """
    with state.guarded_but_for_room():
        state.is_compacted = True
        try:
            return await _Pass(state, cleanable, pace, replicated_offset).run(key_bytes_max)
        finally:
            state.is_compacted = False


class _Pass:
    """The state of one pass: what it looks at, and whether that is still there."""

    def __init__(
        self,
        state: LogState,
        cleanable: Cleanable,
        pace: Pace,
        replicated_offset: Callable[[], int],
    ) -> None:
        self._state = state
        self._find_replicated = replicated_offset
        self._storage = state.storage
        self._cleanable = cleanable
        self._pace = pace
        self._interruptions = state.interruptions
        self._bytes_unpaced = 0
        self._last_horizon_ms: int | None = None
        self._producers = ProducerStates()
        self._held_back_offset = -1

    async def run(self, key_bytes_max: int) -> Compacted:
        segments = self._state.segments.as_tuple()[: self._cleanable.segment_count]
        keys = KeyMap(key_bytes_max)
        end_offset = await self._read_keys(segments, keys)
        self._producers = await self._replay_producers(segments, end_offset)
        rules = Retention(
            keys,
            end_offset,
            replicated_offset=self._find_replicated(),
            now_ms=self._storage.wall_ms(),
            delete_retention_ms=self._storage.config.delete_retention_ms,
        )
        segments = tuple(one for one in segments if one.base_offset < end_offset)
        bytes_after = segments_after = 0
        for group in group_segments(segments, bytes_max=self._storage.config.segment_bytes):
            new = await self._compact_group(group, rules)
            segments_after += 1
            bytes_after += new.size_bytes
        self._state.first_dirty_offset = end_offset
        self._state.last_horizon_ms = self._last_horizon_ms
        self._state.held_back_offset = self._held_back_offset
        return Compacted(
            end_offset=end_offset,
            bytes_before=sum(one.size_bytes for one in segments),
            bytes_after=bytes_after,
            segments_before=len(segments),
            segments_after=segments_after,
            keys=len(keys),
            last_horizon_ms=self._last_horizon_ms,
        )

    # Waiting.

    async def _pause(self, size_bytes: int) -> None:
        self._bytes_unpaced += size_bytes
        if self._bytes_unpaced >= _SLICE_BYTES:
            worked_bytes, self._bytes_unpaced = self._bytes_unpaced, 0
            await self._pace(worked_bytes)
            self._demand_wanted()

    def _demand_uncut(self) -> None:
        state = self._state
        unusable = state.closed or state.failed is not None
        if unusable or state.interruptions != self._interruptions:
            raise Interrupted

    def _demand_wanted(self) -> None:
        """Demand what is to be read next: files of a log that is compacted no more are closed."""
        self._demand_uncut()
        if not self._storage.config.compacts:
            raise Interrupted

    # Reading.

    async def _read_keys(self, segments: Sequence[Segment], keys: KeyMap) -> int:
        """Note the keys of the part that is new. Returns: the offset up to which they fit."""
        first_dirty_offset = self._cleanable.first_dirty_offset
        end_offset = max(first_dirty_offset, segments[0].base_offset)
        for segment in segments:
            if segment.next_offset <= first_dirty_offset:
                continue
            for header, batch in _checked(segment):
                if header.last_offset >= first_dirty_offset and not header.is_control:
                    _note_keys(header, batch, keys, first_offset=first_dirty_offset)
                end_offset = header.next_offset
                if keys.is_full:
                    return end_offset
                await self._pause(header.size_bytes)
        return end_offset

    async def _replay_producers(
        self, segments: Sequence[Segment], end_offset: int
    ) -> ProducerStates:
        """Tell what was known of producers at the pass's end: of those that are known still.

        What lies beyond may be cut yet, and they be known by what lies here.
        """
        producers = ProducerStates()
        for segment in segments:
            for header, _ in iterate_headers(segment.file, position=0, end=segment.size_bytes):
                if header.base_offset >= end_offset:
                    return producers
                if self._state.producers.entry(header.producer_id) is not None:
                    producers.appended(produced(header), now_ms=0)
                await self._pause(HEADER_BYTES)
        return producers

    # Writing.

    async def _compact_group(self, group: Sequence[Segment], rules: Retention) -> Segment:
        """Write segments again as one, and put it in their place. Returns: the one that is there.

        A single segment that would stay the same is left alone.
        """
        writer = SegmentWriter(self._storage, group[0])
        is_prepared = False
        try:
            changed = await self._write(writer, group, rules)
            if changed or len(group) > 1:
                await swap.prepare(self._storage, group, writer.file)
                self._demand_uncut()
                if self._find_replicated() < rules.replicated_offset:
                    raise Interrupted  # a replica begins anew: it may have copied what is deleted
                is_prepared = True
        finally:
            writer.close()
            # A log that is closed may have left its place to another one.
            if not is_prepared and not self._state.closed:
                swap.abandon(self._storage, writer.segment)
        if not is_prepared:
            return group[0]
        await self._swap(group, writer.segment)
        return writer.segment

    async def _write(
        self, writer: SegmentWriter, group: Sequence[Segment], rules: Retention
    ) -> bool:
        """Write what is kept of the segments. Returns: whether that differs from what was there."""
        changed = False
        epoch_starts = dict(self._state.epochs.entries)
        producers = self._producers
        dropped: BatchHeader | None = None
        for segment in group:
            for header, batch in _checked(segment):
                changed = changed or dropped is not None
                retained = rules.apply(header, batch)
                self._note_horizon(retained.delete_horizon_ms)
                if rules.holds_back(header, retained.delete_horizon_ms):
                    self._note_held_back(header.last_offset)
                kept, dropped = retained.batch, None
                if kept is None:
                    if is_needed_empty(header, epoch_starts=epoch_starts, producers=producers):
                        kept = batch if not header.record_count else emptied(header)
                    else:
                        dropped = header
                if kept is not None:
                    changed = changed or kept is not batch
                    writer.add(kept)
                    if writer.unsynced_bytes >= _SYNC_BYTES:
                        await writer.sync()
                        self._demand_wanted()
                await self._pause(header.size_bytes)
        if dropped is not None:
            writer.add(emptied(dropped))  # a segment ends where the next one begins
            changed = changed or dropped.record_count > 0
        writer.flush()
        return changed

    def _note_horizon(self, horizon_ms: int | None) -> None:
        if horizon_ms is not None:
            self._last_horizon_ms = max(self._last_horizon_ms or 0, horizon_ms)

    def _note_held_back(self, offset: int) -> None:
        if self._held_back_offset < 0:
            self._held_back_offset = offset

    async def _swap(self, old: Sequence[Segment], new: Segment) -> None:
        """Put one in the place of the others, each step once the one before it is durable.

        From the rename on nothing can be taken back: whatever the disk refuses then, be it for want
        of room, ends the use of the log.
        """
        assert self._state.swap is None, "the pass before has removed what it superseded"
        with self._state.guarded():
            made = swap.replace(self._storage, self._state.segments, old, new)
            self._state.swap = made
            await swap.make_durable(self._storage, made)
            self._demand_swap(made)
            swap.remove_superseded(self._storage, made)
            await self._storage.disk.sync((), [self._storage.directory])
            self._demand_swap(made)
            swap.remove_note(self._storage)
            self._state.swap = None

    def _demand_swap(self, made: swap.Swap) -> None:
        self._demand_uncut()
        assert self._state.swap is made, "only a cut or the end finishes a swap for us"


def _checked(segment: Segment) -> Iterator[tuple[BatchHeader, memoryview]]:
    expected_offset = segment.base_offset
    for header, position, batch in iterate_batches(segment.file, end=segment.size_bytes):
        check_crc(batch)
        # No checksum covers offsets, and a key at a wrong one could remove what is newer.
        if not expected_offset <= header.base_offset < header.next_offset <= segment.next_offset:
            raise CorruptBatch(
                f"{segment}: the batch at {position} has offset {header.base_offset}"
                f" and follows offset {expected_offset - 1}"
            )
        expected_offset = header.next_offset
        yield header, batch


def _note_keys(header: BatchHeader, batch: memoryview, keys: KeyMap, *, first_offset: int) -> None:
    for record in scan_records(header, data_of(header, batch)):
        offset = header.base_offset + record.offset_delta
        if record.key is not None and offset >= first_offset:
            keys.put(record.key, offset)
