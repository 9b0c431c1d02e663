"""Reading a log: whole batches from an offset on, never from one that is out of range or offline.

Must never know: who reads, what of it he may see.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from broker.log.errors import OffsetOutOfRange
from broker.log.slice import LogSlice
from protocol.errors import StorageError

if TYPE_CHECKING:
    from broker.log.state import LogState


def read(
    state: LogState, offset: int, *, bytes_max: int, end_offset: int, at_least_one: bool
) -> LogSlice:
    """Read as `Log.read` says; where the disk refuses, the log is used no more.

    Raises: OffsetOutOfRange, StorageError.
    """
    state.demand_usable()
    log_end_offset = state.end_offset
    if not state.start_offset <= offset <= log_end_offset:
        raise OffsetOutOfRange(
            offset=offset, log_start_offset=state.start_offset, log_end_offset=log_end_offset
        )
    end_offset = min(end_offset, log_end_offset)
    if offset >= end_offset:
        return LogSlice.EMPTY
    try:
        found = state.segments.read(
            offset, bytes_max=bytes_max, end_offset=end_offset, at_least_one=at_least_one
        )
    except StorageError as error:
        state.fail(error)
        raise
    if found is None:
        return LogSlice.NO_ROOM
    found.on_failure = state.fail
    return found
