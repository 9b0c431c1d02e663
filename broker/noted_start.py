"""Where a log would start after a crash, by what checkpoints have noted or may be noting just now.

Pure. Must never know: when checkpoints are written, the log itself, who waits.
"""

from __future__ import annotations


class NotedStart:
    """The start of one log as a crash would leave it.

    At `offset` at least. While not `is_safe`, a checkpoint may hide what is appended where the log
    starts now: it was cut below its start.
    """

    __slots__ = ("is_safe", "offset")

    def __init__(self, offset: int) -> None:
        self.offset = offset
        self.is_safe = True

    def noted(self, offset: int, *, log_start_offset: int) -> bool:
        """Take account of a checkpoint that is durable now. Returns: whether `offset` has risen."""
        if offset > log_start_offset:
            return False  # the log was cut while it was written
        self.is_safe = True
        has_risen = offset > self.offset
        self.offset = max(self.offset, offset)
        return has_risen

    def cut(self, *, before: int, now: int) -> None:
        """Take account of a log that has lost its end and started at `before`, perhaps durably."""
        self.offset = min(self.offset, now)
        if now < before:
            self.is_safe = False
