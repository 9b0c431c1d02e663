"""Reading a log: whole batches from an offset on, never from one that is out of range or offline.

Must never know: who reads, what of it he may see.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from broker.log.errors import OffsetOutOfRange
from broker.log.slice import LogSlice
from protocol.errors import StorageError

if TYPE_CHECKING:
    from broker.log.segment import Segment
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


def read_segment(
    segment: Segment, offset: int, *, bytes_max: int, end_offset: int, at_least_one: bool
) -> LogSlice | None:
    """Read whole batches of a segment from the one that holds `offset`, below `end_offset`.

    Returns: None where there is no such batch here, or it is larger than `bytes_max` and not
    `at_least_one` is wanted. Raises: StorageError.
    """
    start = segment.position_of(offset)
    end = whole = segment.position_of(end_offset)
    if end - start > bytes_max:
        end = segment.boundary_before(start + bytes_max)
        if end <= start and at_least_one:
            end = start + segment.header_at(start).size_bytes
    if end <= start:
        return None
    goes_on = end < whole or end_offset > segment.next_offset
    return LogSlice(segment.file.view(), start, end - start, goes_on=goes_on)
