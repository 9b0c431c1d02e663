"""Who watches which znode, and whom a change concerns.

A watcher is anything hashable: a connection, a session. One-shot watches are of two kinds, data
(also on a znode that does not exist yet) and children; persistent ones stay until removed.
Must never know: the znodes, how an event is delivered.
Source: ZooKeeper programmer's guide, "ZooKeeper Watches"; persistent ones since 3.6.
"""

from __future__ import annotations

from enum import Enum, IntEnum
from typing import TYPE_CHECKING, Generic, NamedTuple, TypeVar

from coordinator.znode import ROOT, parent_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

W = TypeVar("W")
"""A watcher."""


class EventType(IntEnum):
    """What happened to a znode, with the number that it has on the wire."""

    CREATED = 1
    DELETED = 2
    DATA_CHANGED = 3
    CHILDREN_CHANGED = 4


class WatchKind(Enum):
    """What a watch is set on."""

    DATA = "data"
    CHILDREN = "children"
    PERSISTENT = "persistent"
    RECURSIVE = "recursive"


class Event(NamedTuple):
    """A change that a watcher is told of."""

    type: EventType
    path: str


_DATA_KINDS = (WatchKind.DATA, WatchKind.PERSISTENT)
_CHILD_KINDS = (WatchKind.CHILDREN, WatchKind.PERSISTENT)
_ONE_SHOT = frozenset({WatchKind.DATA, WatchKind.CHILDREN})


class Watches(Generic[W]):
    """The table of watches. Order of notices is the order in which watches were set."""

    def __init__(self) -> None:
        # Dicts serve as ordered sets: a replay must tell watchers in the same order.
        self._watchers: dict[WatchKind, dict[str, dict[W, None]]] = {kind: {} for kind in WatchKind}
        self._by_watcher: dict[W, dict[tuple[WatchKind, str], None]] = {}

    def __len__(self) -> int:
        return sum(len(watches) for watches in self._by_watcher.values())

    def add(self, watcher: W, kind: WatchKind, path: str) -> None:
        """Set a watch; a second one of the same kind on the same path changes nothing."""
        self._watchers[kind].setdefault(path, {})[watcher] = None
        self._by_watcher.setdefault(watcher, {})[kind, path] = None

    def has(self, watcher: W, kind: WatchKind, path: str) -> bool:
        """Say whether such a watch is set."""
        return (kind, path) in self._by_watcher.get(watcher, ())

    def remove(self, watcher: W, kind: WatchKind, path: str) -> bool:
        """Take a watch away. Returns: whether it was there."""
        if not self.has(watcher, kind, path):
            return False
        self._drop(watcher, kind, path)
        return True

    def remove_watcher(self, watcher: W) -> None:
        """Take all watches of a watcher away, for it has gone."""
        for kind, path in list(self._by_watcher.get(watcher, ())):
            self._drop(watcher, kind, path)

    def watchers(self) -> list[W]:
        """List everyone who has a watch set."""
        return list(self._by_watcher)

    def trigger(self, changes: Iterable[Event]) -> list[tuple[W, Event]]:
        """Find whom changes concern, in their order, and use up the one-shot watches.

        Takes CREATED, DELETED and DATA_CHANGED; CHILDREN_CHANGED of the parent follows from them.
        """
        if not self._by_watcher:
            return []
        notices: list[tuple[W, Event]] = []
        for change in changes:
            notices += [(watcher, change) for watcher in self._concerned(change)]
            if change.type is not EventType.DATA_CHANGED:
                parent = Event(EventType.CHILDREN_CHANGED, parent_of(change.path))
                notices += [
                    (watcher, parent) for watcher in self._collect(_CHILD_KINDS, parent.path)
                ]
        return notices

    def _concerned(self, change: Event) -> Iterable[W]:
        """List the watchers of a znode itself, each once."""
        watchers = self._collect(_DATA_KINDS, change.path)
        if change.type is EventType.DELETED:
            watchers |= self._collect((WatchKind.CHILDREN,), change.path)
        if self._watchers[WatchKind.RECURSIVE]:
            for path in _ancestry(change.path):
                watchers |= self._collect((WatchKind.RECURSIVE,), path)
        return watchers

    def _collect(self, kinds: Iterable[WatchKind], path: str) -> dict[W, None]:
        """Collect the watchers of a path, dropping the one-shot watches found."""
        found: dict[W, None] = {}
        for kind in kinds:
            watchers = self._watchers[kind].get(path)
            if watchers is None:
                continue
            found |= watchers
            if kind in _ONE_SHOT:
                for watcher in list(watchers):
                    self._drop(watcher, kind, path)
        return found

    def _drop(self, watcher: W, kind: WatchKind, path: str) -> None:
        """Forget one watch that is set, in both directions."""
        watchers = self._watchers[kind][path]
        del watchers[watcher]
        if not watchers:
            del self._watchers[kind][path]
        watches = self._by_watcher[watcher]
        del watches[kind, path]
        if not watches:
            del self._by_watcher[watcher]


def _ancestry(path: str) -> Iterator[str]:
    """Walk from a path up to the root, both included."""
    while path != ROOT:
        yield path
        path = parent_of(path)
    yield ROOT
