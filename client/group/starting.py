"""Finding where to go on in partitions that the group has assigned.

Must never know: who read them before, how offsets are kept.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from client.errors import NoPosition
from protocol.errors import OttlaError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from client.assignment import Assignment, PartitionState
    from client.fetcher import Fetcher
    from client.group.offsets import Committed, GroupOffsets
    from client.group.signal import Signal
    from client.records import TopicPartition


class Starts:
    """Gives assigned partitions their first positions.

    Where nothing was committed, the reset policy decides (`has_reset`), or else it is an error.
    """

    def __init__(
        self,
        offsets: GroupOffsets,
        assignment: Assignment,
        fetcher: Fetcher,
        *,
        has_reset: bool,
        signal: Signal,
    ) -> None:
        self._offsets = offsets
        self._assignment = assignment
        self._fetcher = fetcher
        self._has_reset = has_reset
        self._signal = signal

    async def run(self) -> None:
        """Look up committed offsets whenever there are partitions without a position."""
        while True:
            await self._signal.until(self._waiting)
            waiting = self._waiting()
            places = [state.place for state in waiting]
            found: Mapping[TopicPartition, Committed | OttlaError]
            try:
                found = await self._offsets.fetch(places)
            except OttlaError as error:
                found = dict.fromkeys(places, error)
            for state in waiting:
                # The application may have sought meanwhile, the group may have taken it away.
                if state in self._assignment and state.awaits_committed:
                    self._start(state, found[state.place])
            self._signal.notify()

    def _waiting(self) -> list[PartitionState]:
        return [state for state in self._assignment if state.awaits_committed]

    def _start(self, state: PartitionState, found: Committed | OttlaError) -> None:
        state.awaits_committed = False
        if isinstance(found, OttlaError):
            state.error = found
        elif found is not None:
            state.seek(found.offset, leader_epoch=found.leader_epoch)
            self._fetcher.interrupt(state)
        elif self._has_reset:
            self._fetcher.wake()
        else:
            state.error = NoPosition(*state.place)
