"""Random requests of two sessions, answered alike by the embedded server and a real ZooKeeper."""

from __future__ import annotations

import random

import pytest
from kazoo.protocol.serialization import (
    CheckVersion,
    Create,
    Create2,
    Delete,
    Exists,
    GetACL,
    GetChildren,
    GetChildren2,
    GetData,
    SetACL,
    SetData,
    Sync,
    Transaction,
)

pytestmark = pytest.mark.zookeeper

SEEDS = 32
STEPS = 200
EPHEMERAL, SEQUENCE = 1, 2
NAMES = ("a", "b", "c")


class Steps:
    """Requests at random, in a small world, so that many of them meet.

    A world has either one-shot watches or persistent ones: where they meet on one path, ZooKeeper
    before 3.9 lets the younger one replace the other (ZOOKEEPER-4466), which nobody should copy.
    """

    def __init__(self, seed, root, ask):
        self._random = random.Random(seed)
        self._root = root
        self._ask = ask
        self._persistent = seed % 4 == 0

    def session(self):
        return self._random.choice(("one", "two"))

    def next(self):
        """Make a request."""
        chance = self._random.random()
        if chance < 0.25:
            return self._create(self._random.choice((Create, Create2)))
        if chance < 0.50:
            return self._read()
        if chance < 0.65:
            return self._change()
        if chance < 0.85:
            return Transaction([self._part() for _ in range(self._random.randint(1, 4))])
        return self._rare()

    def _path(self):
        depth = self._random.choice((1, 1, 1, 2, 2, 3))
        return self._root + "".join("/" + self._random.choice(NAMES) for _ in range(depth))

    def _version(self):
        return self._random.choice((-1, -1, -1, 0, 0, 1, 2, 7))

    def _value(self):
        return self._random.choice((b"", None, b"x", b"value" * 20))

    def _create(self, kind):
        mode = self._random.choice((0, 0, 0, 0, EPHEMERAL, SEQUENCE, EPHEMERAL | SEQUENCE))
        return kind(self._path(), self._value(), self._ask.open_acl, mode)

    def _change(self):
        if self._random.random() < 0.5:
            return Delete(self._path(), self._version())
        return SetData(self._path(), self._value(), self._version())

    def _part(self):
        """Make one operation of a multi."""
        chance = self._random.random()
        if chance < 0.25:
            return CheckVersion(self._path(), self._version())
        return self._create(Create) if chance < 0.5 else self._change()

    def _read(self):
        kind = self._random.choice((Exists, GetData, GetChildren, GetChildren2))
        watched = not self._persistent and self._random.random() < 0.5
        return kind(self._path(), self._ask.watched if watched else None)

    def _rare(self):
        """Make what clients seldom ask for."""
        path = self._path()
        rare = [
            GetACL(path),
            SetACL(path, self._ask.open_acl, self._version()),
            Sync(path),
            self._ask.get_ephemerals(self._root),
            self._ask.count_descendants(path),
            self._ask.remove_watches(path, 3),
        ]
        if self._persistent:
            rare += [self._ask.add_watch(path, int(path.endswith("a")))] * 3
        else:
            rare.append(self._ask.remove_watches(path, self._random.choice((1, 2))))
        return self._random.choice(rare)


@pytest.mark.parametrize("seed", range(SEEDS))
def test_random_requests_are_answered_alike(pair, root, seed):
    steps = Steps(seed, root, pair.ask)
    pair.open("one", "two")
    pair.do("one", Create(root, b"", pair.ask.open_acl, 0))
    for _ in range(STEPS):
        pair.do(steps.session(), steps.next())

    pair.compare_heard("one", "two")
