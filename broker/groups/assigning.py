"""How far a generation is with its assignment: who has not asked for it, whether it is on its way.

Must never know: members, the group's state, what an assignment says.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from broker.groups.member import NEVER

if TYPE_CHECKING:
    from collections.abc import Iterable

NOT_YET: Final = -1


class Assigning:
    """The time from a generation's begin until everybody in it has asked for its assignment."""

    def __init__(self) -> None:
        self.deadline = NEVER
        self.unsynced: set[str] = set()
        """The ids of members that have not asked yet, some of which may have gone."""
        self.revision = NOT_YET
        """The revision of the group that brings the leader's assignment to the store."""

    @property
    def is_on_its_way(self) -> bool:
        """Whether the leader's assignment is there, and being stored."""
        return self.revision != NOT_YET

    def begin(self, member_ids: Iterable[str], *, timeout_s: float, now: float) -> None:
        """Expect everybody to ask."""
        self.unsynced = set(member_ids)
        self.revision = NOT_YET
        self.deadline = now + timeout_s

    def rename(self, member_id: str, other_id: str) -> None:
        """Expect the one in place of the other."""
        if member_id in self.unsynced:
            self.unsynced.remove(member_id)
            self.unsynced.add(other_id)

    def end(self) -> None:
        """Expect nobody any more; an assignment on its way counts no more."""
        self.unsynced.clear()
        self.revision = NOT_YET
        self.deadline = NEVER
