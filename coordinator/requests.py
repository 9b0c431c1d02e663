"""What is asked of a controller while it is in office: rounds of decisions, and who waits for them.

A round decides many requests one after the other, each on what the ones before it left, and is
then written as one difference. A request whose topics could not all be written is decided again
for the rest.
Must never know: the store, how a round is written.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

import trio
from msgspec.structs import replace

from coordinator import paths
from coordinator.decide import decide
from coordinator.events import (
    AlterBrokerConfigs,
    AlterConfigs,
    AlterPartitions,
    AlterReassignments,
    CreatePartitions,
    CreateTopics,
    DeleteTopics,
    ElectLeaders,
    IsrChange,
    ShutDownBroker,
)

if TYPE_CHECKING:
    from collections.abc import Collection

    from coordinator.cluster import ClusterState, TopicState
    from coordinator.events import Changes, Event
    from protocol.errors import RequestError

Itemised: TypeAlias = (
    CreateTopics
    | DeleteTopics
    | CreatePartitions
    | AlterConfigs
    | AlterBrokerConfigs
    | AlterPartitions
    | AlterReassignments
    | ElectLeaders
)
"""Events that consist of items about one topic each, or about what brokers are given."""


class Round:
    """Decisions made one after the other, before anything is written."""

    def __init__(self, before: ClusterState) -> None:
        self.before = before
        self.after = before
        self.touched: dict[str, None] = {}
        """The topics that were decided on, in that order."""

    def decide(self, event: Event) -> Changes:
        """Decide on an event, on top of what the round has decided before."""
        changes = decide(self.after, event)
        self.after = changes.apply_to(self.after)
        self.touched.update(dict.fromkeys((*changes.topics, *changes.deleted)))
        return changes


class Request:
    """A request on its way: the event, what became of each item, and the end of the wait."""

    def __init__(self, event: Itemised | ShutDownBroker) -> None:
        self.done = trio.Event()
        self.refusal: RequestError | None = None
        self.results: list[TopicState | RequestError | None] = []
        """For each item the topic as written, or why nothing was changed.

        None where what brokers are given was written: that is noted, as of brokers.
        """
        self._event = event
        self._open: list[int] = []
        self._names: dict[int, str] = {}
        self._decided: dict[int, TopicState | None] = {}
        self._touched: frozenset[str] = frozenset()
        if not isinstance(event, ShutDownBroker):
            self.results = [None] * len(event.items)
            self._open = list(range(len(event.items)))

    def refuse(self, refusal: RequestError) -> None:
        """End the wait: nothing (more) is done."""
        self.refusal = refusal
        self.done.set()

    def decide_in(self, deciding: Round) -> None:
        """Have what is still open decided in a round."""
        earlier = deciding.after
        changes = deciding.decide(self._event)
        notes = (paths.BROKERS,) if changes.brokers else ()
        self._touched = frozenset((*changes.topics, *changes.deleted, *notes))
        self._names.clear()
        if changes.refusal is not None:
            self.refuse(changes.refusal)
        if isinstance(self._event, ShutDownBroker):
            return
        for number, item in zip(self._open, self._event.items, strict=True):
            is_note = isinstance(self._event, AlterBrokerConfigs)
            name = paths.BROKERS if is_note else _topic_of(item, earlier)
            if name is not None:
                self._names[number] = name
                self._decided[number] = deciding.after.topics.get(name) or earlier.topics.get(name)
        for position, error in changes.refused.items():
            number = self._open[position]
            self.results[number] = error
            self._names.pop(number, None)

    def finish(self, written: Round, *, failed: Collection[str]) -> None:
        """Note that a round was written, except for the `failed` topics; end the wait if all is.

        `paths.BROKERS` among the failed stands for what is noted of brokers.
        """
        if self.done.is_set():
            return
        if isinstance(self._event, ShutDownBroker):
            if self._touched.isdisjoint(failed):
                self.done.set()
            return
        again = [number for number, name in self._names.items() if name in failed]
        for number, name in self._names.items():
            if name not in failed:
                self.results[number] = _as_written(self._decided[number], written.after)
        if not again:
            self.done.set()
            return
        items = dict(zip(self._open, self._event.items, strict=True))
        self._open = again
        left = tuple(items[number] for number in again)
        self._event = replace(self._event, items=left)


def _as_written(decided: TopicState | None, after: ClusterState) -> TopicState | None:
    """Give a topic as its round has left it; the round may have deleted it, or made it anew."""
    if decided is None:
        return None
    found = after.topics.get(decided.name)
    return found if found is not None and found.topic_id == decided.topic_id else decided


def _topic_of(item: object, state: ClusterState) -> str | None:
    """Name the topic that an item is about; None where it names an unknown topic id."""
    if isinstance(item, str):
        return item
    if isinstance(item, tuple):
        return str(item[0])
    if isinstance(item, IsrChange):
        return state.topic_names.get(item.topic_id)
    return str(item.name)  # type: ignore[attr-defined]
