"""The partitions a consumer reads: positions, what was fetched ahead, what stands in the way.

Must never know: connections, requests, time (it is told).
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from client.fetched import FetchedBatch, open_batch
from client.records import OffsetAndTimestamp
from protocol.errors import CorruptBatch, OttlaError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from client.backoff import Backoff
    from client.metadata import PartitionInfo
    from client.records import ConsumerRecord, TopicPartition

NO_EPOCH = -1


class PartitionState:
    """One assigned partition.

    `position` is the next offset for the application, `fetch_offset` the next one to fetch; between
    them lie `buffered_bytes` of batches. Both are None until a place to start is known.
    Partitions `of_group` were assigned by the consumer's group; they start where it has got to, and
    until that is known they are `awaits_committed`. `lost` is a position that could not be read.
    """

    def __init__(
        self,
        place: TopicPartition,
        *,
        backoff: Backoff,
        check_crc: bool,
        of_group: bool = False,
    ) -> None:
        self.place = place
        self.of_group = of_group
        self.awaits_committed = of_group
        self.position: int | None = None
        self.lost: OffsetAndTimestamp | None = None
        self.fetch_offset: int | None = None
        self.paused = False
        self.busy = False
        self.error: OttlaError | None = None
        self.retry_at = 0.0
        self.buffered_bytes = 0
        self.seeks = 0
        self._backoff = backoff
        self._check_crc = check_crc
        self._position_epoch = NO_EPOCH
        self._taken_from: int | None = None
        self._taken_in_turn = 0
        self._fetch_epoch = NO_EPOCH
        self._validated_epoch = NO_EPOCH
        self._batches: deque[FetchedBatch] = deque()
        self._opened: list[ConsumerRecord] = []
        self._opened_next = 0
        self._opened_end = 0

    @property
    def fetch_epoch(self) -> int:
        """Return the leader epoch of the record before `fetch_offset`, NO_EPOCH if unknown."""
        return self._fetch_epoch

    @property
    def position_epoch(self) -> int:
        """Return the leader epoch of the record before `position`, NO_EPOCH if unknown."""
        return self._position_epoch

    def position_before(self, turn: int) -> int | None:
        """Return where the position was before what was taken in the turn of that number."""
        return self._taken_from if self._taken_in_turn == turn else self.position

    def seek(self, offset: int, *, leader_epoch: int = NO_EPOCH) -> None:
        """Go on from another offset; what was fetched ahead is dropped, an error forgotten."""
        self.seeks += 1
        self.awaits_committed = False
        self.lost = None
        self._taken_in_turn = 0
        self.position = self.fetch_offset = offset
        self._position_epoch = self._fetch_epoch = leader_epoch
        self._validated_epoch = NO_EPOCH
        self.error = None
        self.retry_at = 0.0
        self._backoff.reset()
        self._drop_buffer()

    def lose_position(self, *, log_start_offset: int = 0) -> None:
        """Have somebody find a new place to read from.

        Where what came next was deleted, for the log begins later, it is `lost`, and may be found
        again at another leader.
        """
        self.seeks += 1
        if self.position is not None and self.position < log_start_offset:
            self.lost = OffsetAndTimestamp(self.position, -1, self._position_epoch)
        self.position = self.fetch_offset = None
        self._drop_buffer()

    def refetch(self) -> None:
        """Drop what was fetched ahead and fetch it again; what was handed out stays handed out."""
        if self.position is not None:
            turn = self._taken_in_turn
            self.seek(self.position, leader_epoch=self._position_epoch)
            self._taken_in_turn = turn

    def drop_ahead(self) -> None:
        """Make room: drop what was fetched ahead, to be fetched again later."""
        self.seeks += 1
        is_open = self._opened_next < len(self._opened)
        self.fetch_offset = self._opened_end if is_open else self.position
        self._fetch_epoch = self._position_epoch
        self._batches.clear()
        self.buffered_bytes = 0

    @property
    def is_stuck(self) -> bool:
        """Say whether nobody takes what is buffered, for as long as the application lets it be."""
        return self.paused or self.error is not None

    def back_off(self, now: float) -> None:
        """Leave the partition alone for a while."""
        self.retry_at = now + self._backoff.next_s()

    def needs_validation(self, leader: PartitionInfo) -> bool:
        """Say whether another leader than the one that was read from may have a shorter log."""
        return self._fetch_epoch >= 0 and leader.leader_epoch > max(
            self._fetch_epoch, self._validated_epoch
        )

    def mark_validated(self, leader_epoch: int) -> None:
        """Note that what was fetched is in the log of the leader of that epoch."""
        self._validated_epoch = max(self._validated_epoch, leader_epoch)

    def add(self, batches: list[FetchedBatch], *, leader_epoch: int) -> None:
        """Buffer what was fetched from the leader of that epoch."""
        self._backoff.reset()
        self.mark_validated(leader_epoch)
        for batch in batches:
            self._batches.append(batch)
            self.buffered_bytes += batch.header.size_bytes
            self.fetch_offset = batch.header.next_offset
            self._fetch_epoch = batch.header.partition_leader_epoch

    def take(self, count: int, *, turn: int) -> list[ConsumerRecord]:
        """Take up to `count` records in order and move the position behind them.

        A batch that cannot be opened becomes the partition's error.
        """
        self._taken_from, self._taken_in_turn = self.position, turn
        taken: list[ConsumerRecord] = []
        while len(taken) < count and (self._opened_next < len(self._opened) or self._open_next()):
            start = self._opened_next
            end = min(start + count - len(taken), len(self._opened))
            taken += self._opened[start:end]
            self._opened_next = end
            at_end = end == len(self._opened)
            self.position = self._opened_end if at_end else self._opened[end].offset
        return taken

    def take_opened(self, *, turn: int) -> ConsumerRecord | None:
        """Take one record if it is at hand, decoded."""
        position = self._opened_next
        if position >= len(self._opened):
            return None
        record = self._opened[position]
        self._taken_from, self._taken_in_turn = record.offset, turn
        self._opened_next = position = position + 1
        at_end = position == len(self._opened)
        self.position = self._opened_end if at_end else record.offset + 1
        return record

    def _open_next(self) -> bool:
        """Open the next batch that holds records; False where there is none."""
        self._opened, self._opened_next = [], 0
        while not self._opened:
            if not self._batches or self.position is None or self.error is not None:
                return False
            batch = self._batches[0]
            try:
                self._opened = open_batch(
                    self.place, batch, from_offset=self.position, check=self._check_crc
                )
            except CorruptBatch as error:
                self.error = error
                return False
            self._batches.popleft()
            self.buffered_bytes -= batch.header.size_bytes
            self._opened_end = batch.header.next_offset
            self._position_epoch = batch.header.partition_leader_epoch
            if not self._opened:
                self.position = self._opened_end
        return True

    def _drop_buffer(self) -> None:
        self._batches.clear()
        self._opened, self._opened_next = [], 0
        self.buffered_bytes = 0


class Assignment:
    """All assigned partitions, in the order in which they get their turn.

    `turn` counts how often records were asked for; `has_moved` says whether a position has moved
    in the last one, as it does without records where there are none for the reader.
    """

    def __init__(self) -> None:
        self.turn = 0
        self.has_moved = False
        self._states: dict[TopicPartition, PartitionState] = {}

    def __iter__(self) -> Iterator[PartitionState]:
        return iter(self._states.values())

    def __contains__(self, state: object) -> bool:
        return isinstance(state, PartitionState) and self._states.get(state.place) is state

    def get(self, place: TopicPartition) -> PartitionState | None:
        """Return the state of a partition, None where it is not assigned."""
        return self._states.get(place)

    def replace(self, states: list[PartitionState]) -> None:
        """Read these partitions and no others."""
        self._states = {state.place: state for state in states}

    def add(self, states: list[PartitionState]) -> None:
        """Read these partitions as well."""
        self._states |= {state.place: state for state in states}

    def remove(self, places: Iterable[TopicPartition]) -> None:
        """Read these partitions no longer."""
        for place in places:
            state = self._states.pop(place, None)
            if state is not None:
                state.lose_position()

    def places(self) -> tuple[TopicPartition, ...]:
        """List the assigned partitions."""
        return tuple(self._states)

    @property
    def buffered_bytes(self) -> int:
        """Return the bytes fetched ahead in all partitions."""
        return sum(state.buffered_bytes for state in self._states.values())

    def make_room(self, bytes_max: int) -> None:
        """Have partitions that nobody takes from give way to those that have nothing left.

        They keep what they have fetched ahead for as long as all fits into `bytes_max`, or others
        have records to go on with.
        """
        states = self._states.values()
        buffered_bytes = self.buffered_bytes
        if buffered_bytes < bytes_max or all(s.is_stuck or s.buffered_bytes for s in states):
            return
        for state in states:
            if state.is_stuck and state.buffered_bytes:
                buffered_bytes -= state.buffered_bytes
                state.drop_ahead()
            if buffered_bytes < bytes_max:
                return

    def take(self, count: int) -> list[ConsumerRecord]:
        """Take up to `count` records, from each partition in its turn.

        Raises: OttlaError that stands in a partition's way, when nothing is left before it.
        """
        self.turn += 1
        self.has_moved = False
        taken: list[ConsumerRecord] = []
        for place in list(self._states):
            state = self._states[place]
            if state.paused:
                continue
            before = state.position
            records = state.take(count - len(taken), turn=self.turn)
            self.has_moved |= state.position != before
            if records:
                taken += records
                # To the back of the line: the others come first next time.
                self._states[place] = self._states.pop(place)
            elif state.error is not None and not taken:
                self._states[place] = self._states.pop(place)
                raise state.error.with_traceback(None)
            if len(taken) >= count:
                break
        return taken
