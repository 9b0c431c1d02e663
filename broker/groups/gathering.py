"""How long a group waits for its members to join, and for how long it may wait at first.

Must never know: members, the group's state.
"""

from __future__ import annotations

from broker.groups.member import NEVER


class Gathering:
    """The time in which members join, from a rebalance's begin to its generation."""

    def __init__(self) -> None:
        self.deadline = NEVER
        self.is_initial = False
        """Whether the group was empty before: then others may come who are not known yet."""
        self._delay_s = 0.0
        self._left_s = 0.0
        self._has_newcomers = False

    def begin(self, *, timeout_s: float, now: float) -> None:
        """Wait for those who are members already."""
        self.is_initial = False
        self.deadline = now + timeout_s

    def begin_initially(self, *, delay_s: float, timeout_s: float, now: float) -> None:
        """Wait for whoever may come; as long as somebody does, longer, in all `timeout_s`."""
        self.is_initial, self._has_newcomers = True, False
        self._delay_s, self._left_s = delay_s, max(timeout_s - delay_s, 0.0)
        self.deadline = now + delay_s

    def note_newcomer(self) -> None:
        """Take note that somebody has come."""
        self._has_newcomers = True

    def extend(self, *, now: float) -> bool:
        """Wait a while longer, if there is a reason to. Returns: whether there is."""
        if not (self.is_initial and self._has_newcomers and self._left_s > 0):
            return False
        delay_s = min(self._delay_s, self._left_s)
        self._left_s -= delay_s
        self._has_newcomers = False
        self.deadline = now + delay_s
        return True

    def end(self) -> None:
        """Wait no more."""
        self.is_initial = False
        self.deadline = NEVER
