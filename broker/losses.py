"""Whether a replica's log lacks records that others may count on it for, and whether they know.

It does when damage took some of what was durable, and while it copies what it never had. Both end
when the leader takes it into the ISR: then it has all that was committed.
Must never know: logs, how what is missing is got.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from coordinator.cluster import PartitionState


class Losses:
    """What one replica lacks; `changed` is called when it lacks nothing any more."""

    __slots__ = ("_broker_id", "_changed", "any", "untold")

    def __init__(self, broker_id: int, *, changed: Callable[[], None]) -> None:
        self._broker_id = broker_id
        self._changed = changed
        self.any = False
        """Whether the log lacks records."""
        self.untold = False
        """Whether it lost them, and every state that was seen since still counts on this replica.

        What it has must be kept until the controller has acted on the loss: it may be needed.
        """

    def found(self) -> None:
        """Take note that records were lost."""
        self.any = self.untold = True

    def copies(self) -> None:
        """Take note that the log is made anew, of what others have."""
        self.any = True

    def seen(self, state: PartitionState, *, before: PartitionState | None) -> None:
        """Draw from a partition's state what is known of this replica."""
        if not self.any:
            return
        us = self._broker_id
        if us not in (*state.isr, *state.elr):
            self.untold = False
        elif us in state.isr and before is not None and us not in before.isr:
            self.none_left()

    def caught_up(self, state: PartitionState | None) -> None:
        """Take note that the log reaches the leader's high watermark.

        That is enough for who is counted on already: of a new topic nothing can be missing.
        """
        if self.any and not self.untold and state is not None and self._broker_id in state.isr:
            self.none_left()

    def none_left(self) -> None:
        """Take note that the log has all that is committed, or is what there is."""
        if self.any:
            self.any = self.untold = False
            self._changed()
