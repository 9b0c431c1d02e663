"""Committing what the application has been handed, by itself and when it is told to.

By itself it commits what was handed out before the application asked for more: who asks for more is
done with what it had. It never takes back what the application has committed itself.
Must never know: requests, memberships.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import trio
from msgspec import Struct

from client.errors import CommitFailed, UnknownTopic
from client.records import OffsetAndMetadata, TopicPartition
from protocol.errors import OttlaError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from client.assignment import Assignment
    from client.group.committer import Committer
    from client.group.offsets import GroupOffsets
    from client.group.signal import Signal

Offsets = dict[TopicPartition, OffsetAndMetadata]


class CommitOptions(Struct, frozen=True):
    """Whether to commit without being told, and how often in seconds."""

    automatic: bool
    interval_s: float


class Commits:
    """The commits of one consumer. `committer` says in whose name; `on_error` hears of refusals."""

    def __init__(
        self,
        offsets: GroupOffsets,
        assignment: Assignment,
        options: CommitOptions,
        *,
        committer: Callable[[], Committer],
        signal: Signal,
        on_error: Callable[[OttlaError], None],
    ) -> None:
        self.options = options
        self._offsets = offsets
        self._assignment = assignment
        self._committer = committer
        self._signal = signal
        self._on_error = on_error
        self._is_due = False
        self._next: Offsets | None = None
        self._asked: Offsets = {}
        """What was to be committed last, whether or not it was."""
        self._newest: Offsets = {}
        self._given_up: set[TopicPartition] = set()
        """What was the member's, and may be another one's."""

    def positions(self, places: Iterable[TopicPartition]) -> Offsets:
        """Return how far the application has been handed the records of partitions."""
        found = {}
        for place in places:
            state = self._assignment.get(place)
            if state is not None and state.position is not None:
                found[place] = OffsetAndMetadata(state.position, state.position_epoch)
        return found

    def positions_before_last(self) -> Offsets:
        """Return how far everything has been handed out before what was handed out last.

        Of that, too, what was to be committed has been processed.
        """
        found = {}
        for state in self._assignment:
            before = state.position_before(self._assignment.turn)
            if before is None or state.position is None:
                continue
            asked = self._asked.get(state.place)
            if asked is not None and before <= asked.offset <= state.position:
                found[state.place] = asked
            elif before == state.position:
                found[state.place] = OffsetAndMetadata(before, state.position_epoch)
            else:
                found[state.place] = OffsetAndMetadata(before)
        return found

    def take_stock(self) -> None:
        """Let what was handed out so far be committed, if it is time to.

        Call it when the application asks for more.
        """
        if self._is_due:
            self._is_due = False
            self._next = self.positions(self._assignment.places())
            self._signal.notify()

    def forget(self, places: Iterable[TopicPartition]) -> None:
        """Note that others may commit offsets of these partitions from now on."""
        for place in places:
            for known in (self._asked, self._newest, self._next or {}):
                known.pop(place, None)
            self._given_up.add(place)

    def forget_all(self) -> None:
        """Note that the group is left: who commits from now on is an outsider."""
        self._given_up.clear()

    async def commit(self, offsets: Mapping[TopicPartition, OffsetAndMetadata]) -> None:
        """Commit offsets. Raises: as `GroupOffsets.commit` does."""
        if self._next is not None:
            # Stock was taken before: it would go out after these, and undo them.
            self._next = {place: at for place, at in self._next.items() if place not in offsets}
        self._asked |= offsets
        await self._offsets.commit(offsets, self._committer(), is_held=self._is_held)
        self._newest |= offsets

    def _is_held(self, place: TopicPartition) -> bool:
        return place not in self._given_up or self._assignment.get(place) is not None

    async def commit_quietly(self, offsets: Mapping[TopicPartition, OffsetAndMetadata]) -> None:
        """Commit what has changed since the last time, as far as the group still lets us.

        What is not committed is handed out again, by whoever reads the partition next; only a
        refusal that will not pass is told.
        """
        newer = {place: at for place, at in offsets.items() if self._newest.get(place) != at}
        try:
            await self.commit(newer)
        except (CommitFailed, UnknownTopic):
            return
        except OttlaError as error:
            self._on_error(error)

    async def run(self) -> None:
        """Commit again and again, if that is to be done without being told."""
        while self.options.automatic:
            await trio.sleep(self.options.interval_s)
            self._is_due = True
            self._signal.notify()
            await self._signal.until(lambda: self._next is not None)
            offsets, self._next = self._next, None
            if offsets:
                await self.commit_quietly(offsets)
