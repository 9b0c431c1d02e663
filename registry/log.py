"""The topic `_schemas` as this registry has read it: every record becomes part of the state.

Must never know: who leads, what may be written.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import structlog
import trio

from client import LogTruncated, OffsetOutOfRange, TopicPartition
from registry import records
from registry.records import Unreadable
from registry.state import State

if TYPE_CHECKING:
    from client import Consumer, ConsumerRecord

log_events = structlog.get_logger()

BEGINNING = 0


class SchemasLog:
    """Follows one partition for ever. `state` is what is known up to `end`."""

    def __init__(self, consumer: Consumer, topic: str) -> None:
        """Follow a topic through an open consumer that nothing else uses."""
        self._consumer = consumer
        self._place = TopicPartition(topic, 0)
        self._moved = trio.lowlevel.ParkingLot()
        self._readable = True
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
        state, end = self.state, await self._end_of_topic()
        while True:
            try:
                batch = await self._consumer.poll(timeout_s=None if self.state is state else 0.5)
            except (LogTruncated, OffsetOutOfRange) as error:
                # An unclean election, or a retention that has begun with another offset. What is
                # shown meanwhile is the old state.
                log_events.warning("schemas_read_anew", cause=str(error))
                await self._consumer.seek_to_beginning(self._place)
                state, end = State(), await self._end_of_topic()
                continue
            for record in batch:
                self._apply(state, record)
            position = self._consumer.position(self._place)
            if position is not None and (self.state is state or position >= end):
                self.state, self.end = state, position
                self._moved.unpark_all()

    async def wait_applied(self, end: int) -> None:
        """Return once everything below an offset is part of the state."""
        while self.end < end:
            await self._moved.park()

    async def catch_up(self) -> None:
        """Return once everything that was acknowledged before this call is part of the state."""
        await self.wait_applied(await self._end_of_topic())

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
            state.apply(change)
