"""Member ids that were given out, and that nobody has come back with yet (KIP-394).

Must never know: members, the group's state.
"""

from __future__ import annotations

from typing import Final

from broker.groups.member import NEVER

PENDING_IDS_MAX: Final = 10_000
"""Of one group. Beyond that the oldest is forgotten: whoever has it starts over without one."""


class PendingIds:
    """In the order in which they were given out."""

    def __init__(self) -> None:
        self._until: dict[str, float] = {}
        self.due_at = NEVER
        """None is out of time before."""

    def __len__(self) -> int:
        return len(self._until)

    def __contains__(self, member_id: object) -> bool:
        return member_id in self._until

    def add(self, member_id: str, *, until: float) -> None:
        """Wait for somebody to come with this id."""
        if len(self._until) >= PENDING_IDS_MAX:
            del self._until[next(iter(self._until))]
        self._until[member_id] = until
        self.due_at = min(self.due_at, until)

    def remove(self, member_id: str) -> None:
        """Wait for this one no longer, if it was waited for."""
        self._until.pop(member_id, None)

    def expire(self, *, now: float) -> bool:
        """Forget those that are out of time. Returns: whether there were any."""
        if now < self.due_at:
            return False
        before = len(self._until)
        self._until = {each: until for each, until in self._until.items() if until > now}
        self.due_at = min(self._until.values(), default=NEVER)
        return len(self._until) < before
