"""How long to wait before trying again: longer each time, never twice the same.

Must never know: what is tried.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from client.environment import Random

BACKOFF_S = 0.025
"""The first wait. An election takes a few hundred milliseconds, so the first tries come soon."""

BACKOFF_MAX_S = 1.0


class Backoff:
    """Doubling waits with jitter, so that clients that failed together do not return together."""

    def __init__(
        self,
        random: Random,
        *,
        first_s: float = BACKOFF_S,
        max_s: float = BACKOFF_MAX_S,
    ) -> None:
        self._random = random
        self._first_s = first_s
        self._max_s = max_s
        self._next_s = first_s

    def next_s(self) -> float:
        """Return the next wait in seconds: half of it fixed, half of it random."""
        wait_s = self._next_s
        self._next_s = min(wait_s * 2, self._max_s)
        return wait_s * (0.5 + 0.5 * self._random.random())

    def reset(self) -> None:
        """Start over, after a success."""
        self._next_s = self._first_s
