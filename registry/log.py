"""The topic `_schemas` as this registry has read it: every record becomes part of the state.

The topic is compacted: offsets have gaps, and its end may lie behind the last record.
Must never know: who leads, what may be written.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import structlog
import trio

from client import LogTruncated, OffsetOutOfRange, TopicPartition
from protocol.errors import OttlaError
from registry import records
from registry.records import Unreadable
from registry.spellings import Spellings
from registry.state import State

if TYPE_CHECKING:
    from client import Consumer, ConsumerRecord

log_events = structlog.get_logger()

BEGINNING: Final = 0


class SchemasLog:
    """Follows one partition for ever. `state` is what is known up to `end`.

    `spellings` are the keys that were met.
    """

    def __init__(self, consumer: Consumer, topic: str) -> None:
        """Follow a topic through an open consumer that nothing else uses.

        It must not go on elsewhere by itself where records are gone (`auto_offset_reset` "none").
        """
        self._consumer = consumer
        self._place = TopicPartition(topic, 0)
        self._moved = trio.lowlevel.ParkingLot()
        self._readable = True
        self.spellings = Spellings()
        self.state = State()
        self.end = BEGINNING

    @property
    def is_readable(self) -> bool:
        """Whether every record could be read: if not, ids and versions may be unknown."""
        return self._readable

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Read for ever. Raises: what the consumer raises, apart from records that are gone."""
        await self._consumer.assign({self._place: BEGINNING})
        task_status.started()
        while True:
            try:
                await self._read_all()
                await self._follow()
            except (LogTruncated, OffsetOutOfRange, _Overtaken) as error:
                # An unclean election, a log that begins with another offset, or a long pause.
                log_events.warning("schemas_read_anew", cause=str(error))
            await self._consumer.seek_to_beginning(self._place)

    async def wait_applied(self, end: int) -> None:
        """Return once everything below an offset is part of the state."""
        while self.end < end:
            await self._moved.park()

    async def catch_up(self) -> None:
        """Return once everything that was acknowledged before this call is part of the state."""
        await self.wait_applied(await self._end_of_topic())

    async def _read_all(self) -> None:
        """Read what there is into a new state; the one before is shown until that is done."""
        state, end = State(), await self._end_of_topic()
        while self._position() < end:
            for record in await self._consumer.poll():
                self._apply(state, record)
        self.state = state
        self._show_up_to(self._position())

    async def _follow(self) -> None:
        """Add what is written to the state. Raises: _Overtaken, what the consumer raises."""
        while True:
            batch = await self._consumer.poll()
            position = self._position()
            if position - self.end != len(batch):
                raise _Overtaken(self.end, position)
            for record in batch:
                self._apply(self.state, record)
            self._show_up_to(position)

    def _show_up_to(self, end: int) -> None:
        self.end = end
        self._moved.unpark_all()

    def _position(self) -> int:
        position = self._consumer.position(self._place)
        assert position is not None, "it was assigned with an offset, and is never reset"
        return position

    async def _end_of_topic(self) -> int:
        return (await self._consumer.end_offsets(self._place))[self._place]

    def _apply(self, state: State, record: ConsumerRecord) -> None:
        try:
            change = records.decode(record.key, record.value)
        except Unreadable as error:
            self._readable = False
            log_events.exception("record_unreadable", offset=record.offset, cause=str(error))
            return
        if change is not None:
            assert record.key is not None, "it was read"
            self.spellings.see(record.key, change)
            state.apply(change)


class _Overtaken(OttlaError):
    """Compaction was quicker: among the records that are gone may be tombstones, not seen here."""

    def __init__(self, end: int, position: int) -> None:
        super().__init__(f"records of the offsets from {end} to {position} were compacted away")
