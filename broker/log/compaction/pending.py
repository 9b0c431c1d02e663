"""Whether a log has anything to compact now.

Must never know: how it is done, other logs.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from broker.log.compaction.cleanable import find_cleanable, needs_roll
from broker.log.errors import DiskFull

if TYPE_CHECKING:
    from broker.log.compaction.cleanable import Cleanable
    from broker.log.state import LogState


def find(state: LogState, *, limit_offset: int, replicated_offset: int) -> Cleanable | None:
    """Find what is to be compacted below an offset; None: nothing yet. Raises: StorageError.

    Every replica has what is below `replicated_offset`.
    """
    config, now_ms = state.storage.config, state.storage.wall_ms()
    if not config.compacts:
        return None
    if needs_roll(state.segments.active, config, now_ms=now_ms):
        with suppress(DiskFull):
            state.roll()
    found = find_cleanable(
        state.segments.as_tuple(),
        config,
        first_dirty_offset=state.first_dirty_offset,
        limit_offset=min(limit_offset, state.synced_end_offset),
        now_ms=now_ms,
    )
    tombstones_go = (
        state.last_horizon_ms is not None
        and state.last_horizon_ms <= now_ms
        and state.held_back_offset < replicated_offset
    )
    if found.is_due(config) or (tombstones_go and found.segment_count):
        return found
    return None
