"""Where the newest batches of a segment lie: most readers are near its end.

Must never know: files, indexes.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right
from typing import Final

RECENT_MAX: Final = 128


class RecentBatches:
    """The last offsets and positions of up to so many batches at the end, in order."""

    __slots__ = ("_last_offsets", "_positions")

    def __init__(self) -> None:
        self._last_offsets = array("q")
        self._positions = array("q")

    def note(self, last_offset: int, position: int) -> None:
        """Take account of a batch behind all others."""
        known = self._last_offsets
        known.append(last_offset)
        self._positions.append(position)
        if len(known) > RECENT_MAX:
            del known[: RECENT_MAX // 2]
            del self._positions[: RECENT_MAX // 2]

    def clear(self) -> None:
        """Know none."""
        self._last_offsets, self._positions = array("q"), array("q")

    def position_of(self, offset: int) -> int | None:
        """Position of the batch that holds an offset, or of the next one; None: it is older.

        There has to be one.
        """
        known = self._last_offsets
        if known and offset > known[0]:
            return self._positions[bisect_left(known, offset)]
        return None

    def boundary_before(self, limit: int) -> int | None:
        """Position of the last batch that begins at or before `limit`; None: it is older."""
        known = self._positions
        return known[bisect_right(known, limit) - 1] if known and limit >= known[0] else None
