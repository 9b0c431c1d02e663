"""Watches: whom a change concerns, once or again, and in which order."""

from __future__ import annotations

import pytest

from coordinator.tree import Tree
from coordinator.watches import Event, EventType, Watches, WatchKind
from coordinator.znode import CreateNode, DeleteNode, OpenSession, SetData, Transaction

CREATED, DELETED, CHANGED, CHILDREN = EventType


@pytest.fixture
def watches():
    return Watches()


def test_a_one_shot_watch_is_told_once(watches):
    watches.add("w", WatchKind.DATA, "/a")

    assert watches.trigger([Event(CHANGED, "/a")]) == [("w", (CHANGED, "/a"))]
    assert watches.trigger([Event(CHANGED, "/a")]) == []
    assert len(watches) == 0


@pytest.mark.parametrize("kind", [WatchKind.PERSISTENT, WatchKind.RECURSIVE])
def test_a_persistent_watch_is_told_again(watches, kind):
    watches.add("w", kind, "/a")

    for _ in range(2):
        assert watches.trigger([Event(CHANGED, "/a")]) == [("w", (CHANGED, "/a"))]


def test_a_deletion_is_told_once_to_who_watches_data_and_children(watches):
    for kind in WatchKind:
        watches.add("w", kind, "/p/a")

    assert watches.trigger([Event(DELETED, "/p/a")]) == [("w", (DELETED, "/p/a"))]


def test_a_persistent_watch_hears_of_its_children_but_not_of_theirs(watches):
    watches.add("w", WatchKind.PERSISTENT, "/p")

    assert watches.trigger([Event(CREATED, "/p/a")]) == [("w", (CHILDREN, "/p"))]
    assert watches.trigger([Event(CREATED, "/p/a/b")]) == []


def test_a_recursive_watch_hears_of_every_znode_below_but_of_no_childrens_change(watches):
    watches.add("w", WatchKind.RECURSIVE, "/p")
    changes = [Event(CREATED, "/p/a/b"), Event(CHANGED, "/p"), Event(DELETED, "/p/a/b")]

    assert watches.trigger([*changes, Event(CREATED, "/other")]) == [
        ("w", each) for each in changes
    ]


def test_watchers_are_told_in_the_order_in_which_they_began_to_watch(watches):
    for watcher in ("c", "a", "b"):
        watches.add(watcher, WatchKind.DATA, "/a")

    assert [who for who, _ in watches.trigger([Event(CHANGED, "/a")])] == ["c", "a", "b"]


def test_a_watcher_that_goes_leaves_nothing_behind(watches):
    for kind in WatchKind:
        watches.add("w", kind, "/a")
        watches.add("other", kind, "/a")
    watches.remove_watcher("w")

    assert watches.watchers() == ["other"]
    assert not watches.remove("w", WatchKind.DATA, "/a")
    assert watches.remove("other", WatchKind.DATA, "/a")


def test_watches_set_again_after_a_reconnection_tell_what_was_missed():
    tree = Tree()
    tree.apply(Transaction(1, 0, OpenSession(1000, b"")))
    for path in ("/same", "/changed", "/parent", "/gone"):
        tree.apply(Transaction(1, 0, CreateNode(path)))
    seen_zxid = tree.zxid
    for operation in (
        SetData("/changed", b"2"),
        CreateNode("/parent/child"),
        DeleteNode("/gone"),
        CreateNode("/new"),
    ):
        tree.apply(Transaction(1, 0, operation))

    data = tree.rewatch("w", WatchKind.DATA, ["/same", "/changed", "/gone"], seen_zxid=seen_zxid)
    children = tree.rewatch("w", WatchKind.CHILDREN, ["/same", "/parent"], seen_zxid=seen_zxid)
    absent = tree.rewatch_absent("w", ["/new", "/never"])

    assert data == [(CHANGED, "/changed"), (DELETED, "/gone")]
    assert children == [(CHILDREN, "/parent")]
    assert absent == [(CREATED, "/new")]
    assert len(tree.watches) == 3
