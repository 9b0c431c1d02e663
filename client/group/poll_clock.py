"""Whether the application still polls: a member that reads nothing must not keep its partitions.

Must never know: groups, requests.
Source: KIP-62.
"""

from __future__ import annotations

import math

import trio


class PollClock:
    """Measures the time since the application last asked for records, in seconds."""

    def __init__(self, max_interval_s: float) -> None:
        self._max_interval_s = max_interval_s
        self._polled_at = -math.inf

    @property
    def deadline(self) -> float:
        """Return when the application will have been away too long; infinite while it waits."""
        return self._polled_at + self._max_interval_s

    def touch(self) -> None:
        """Note that the application asks for records now."""
        self._polled_at = trio.current_time()

    def stop(self) -> None:
        """Stand still while the application waits for records; `touch` goes on.

        No context manager: Ctrl-C may come between any two lines, and a generator that it left
        behind would end outside of the event loop.
        """
        self._polled_at = math.inf
