"""What is asked of one group, in order, and who waits for it.

Must never know: the store, what a change means, other groups.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import trio

from coordinator.errors import NotGroupOwner
from protocol.errors import CoordinationError

if TYPE_CHECKING:
    from collections.abc import Callable

    from coordinator.groups.change import Change
    from coordinator.groups.fitting import Fitted, Refused
    from coordinator.groups.znodes import OwnedGroup


class Write:
    """One change on its way; it may be waited for.

    One that does not fit into a request is written in parts: `change` is the one whose turn it is,
    `rest` are those that come after it. `refused` are the offsets that found no room.
    """

    __slots__ = ("_done", "change", "error", "refused", "rest")

    def __init__(self, change: Change) -> None:
        self.change = change
        self.rest: tuple[Change, ...] = ()
        self.refused: Refused = frozenset()
        self.error: CoordinationError | NotGroupOwner | None = None
        self._done = trio.Event()

    def finish(self, error: CoordinationError | NotGroupOwner | None = None) -> None:
        """End the wait."""
        self.error = error
        self._done.set()

    async def wait(self) -> None:
        """Return once the change is durable, but for what is `refused`.

        Raises: NotGroupOwner (refused, or unknown: another broker has the group now), TooLarge
        (where it is not about offsets), another CoordinationError (the store refuses it).
        """
        await self._done.wait()
        if self.error is not None:
            raise self.error


class GroupQueue:
    """What is asked of a group that this broker owns, and what of it is being written.

    Of one group there is at most one write on its way. `due` is called when there is something to
    write and nothing on its way.
    """

    def __init__(self, owned: OwnedGroup, *, due: Callable[[GroupQueue], None]) -> None:
        self.owned = owned
        self.is_open = True
        self.attempts = 0
        """How often what is on its way was tried in vain."""
        self._due = due
        self._asked: list[Write] = []
        self._writing: list[Write] = []
        self._alone = 0

    def submit(self, change: Change) -> Write:
        """Have a change written, after what was asked before."""
        write = Write(change)
        if not self.is_open:
            write.finish(NotGroupOwner(self.owned.group_id))
            return write
        self._asked.append(write)
        if not self._writing:
            self._due(self)
        return write

    @property
    def is_idle(self) -> bool:
        """Whether all that was asked is durable: what is `owned` is the last word."""
        return not (self._asked or self._writing)

    # For whoever writes.

    def next(self) -> list[Write]:
        """Give the writes that fold into the next one.

        None comes after one that takes the group away, or of which more parts are to come first.
        """
        if self._alone:
            return self._asked[:1]
        ends = (
            n for n, each in enumerate(self._asked, start=1) if each.change.deleted or each.rest
        )
        return self._asked[: next(ends, len(self._asked))]

    def begin(self, writes: list[Write]) -> None:
        """Note that what `next` gave is on its way."""
        assert not self._writing, "one write of a group at a time"
        self._writing = writes
        del self._asked[: len(writes)]
        self._alone = max(self._alone - 1, 0)

    def finish(self, error: CoordinationError | NotGroupOwner | None = None) -> None:
        """Answer who waits for what was on its way, if that was all of it, and go on."""
        self.attempts = 0
        writing, self._writing = self._writing, []
        for write in writing:
            if write.rest and error is None:
                write.change, *rest = write.rest
                write.rest = tuple(rest)
                self._asked.insert(0, write)
            else:
                write.finish(error)
        self._go_on()

    def again(self, *, alone: bool = False) -> None:
        """Write again what was on its way, `alone`: one after the other."""
        if alone:
            self._alone = len(self._writing)
        self._asked, self._writing = [*self._writing, *self._asked], []
        self._go_on()

    def divide(self, fitted: Fitted) -> None:
        """Write what is on its way, a single change, again as far as it fits."""
        write = self.single
        assert write is not None, "only what is too large by itself is divided"
        write.change, write.rest = fitted.parts[0], (*fitted.parts[1:], *write.rest)
        write.refused |= fitted.refused
        self.again()

    @property
    def single(self) -> Write | None:
        """The write that is on its way, None where there are several, folded into one."""
        return self._writing[0] if len(self._writing) == 1 else None

    def close(self, error: CoordinationError | NotGroupOwner) -> None:
        """Take nothing any more; tell everybody who still waits why."""
        self.is_open = False
        for write in (*self._writing, *self._asked):
            write.finish(error)
        self._writing, self._asked = [], []

    def _go_on(self) -> None:
        if self._asked:
            self._due(self)
