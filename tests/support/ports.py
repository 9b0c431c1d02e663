"""Ports of 127.0.0.1 for what a test starts, such that no other test process takes them meanwhile.

A port that is free when it is looked at may be taken before its process listens: suites that run
side by side look at the same moment. So a hundred ports are reserved, for as long as this process
lives, before anybody looks.
"""

from __future__ import annotations

import os
import socket
from collections import deque

from commands.failure import CommandFailed
from commands.plan import COORDINATOR_PORT_DISTANCE, REGISTRY_PORT_DISTANCE
from commands.ports import NOT_FOR_CLIENTS, require_free

NODES_MAX = 7
"""Of a cluster: Apache Kafka takes two ports for each."""
OTHERS = range(50, 54)
"""Beside a cluster, for what is none."""

BASES = range(10_000, NOT_FOR_CLIENTS.start, 2 * COORDINATOR_PORT_DISTANCE)
"""Below those that `--port 0` takes."""
HELD_MAX = 6
"""Given out in turn: what is down for a moment gets its port back."""

_held: deque[tuple[int, socket.socket]] = deque()


def free_ports() -> int:
    """Find a port such that it, its neighbours, the coordinator's and the registry's are free."""
    tried = 0
    while True:
        if len(_held) < HELD_MAX or tried == len(_held):
            _held.appendleft(_reserve())
        base = _held[0][0]
        _held.rotate(-1)
        tried += 1
        if _are_free(base):
            return base


def free_port() -> int:
    """Find a port for something else than a cluster."""
    return free_ports() + OTHERS[0]


def _reserve() -> tuple[int, socket.socket]:
    """Take a base that no process has. The name of a Unix socket is the kernel's own lock."""
    first = os.getpid() % len(BASES)
    for base in (*BASES[first:], *BASES[:first]):
        lock = socket.socket(socket.AF_UNIX)
        try:
            lock.bind(f"\0ottla-tests-{base}")
        except OSError:
            lock.close()
            continue
        return base, lock
    raise RuntimeError("every place for a cluster is reserved")


def _are_free(base: int) -> bool:
    places = (*range(NODES_MAX * 2), *OTHERS, COORDINATOR_PORT_DISTANCE, REGISTRY_PORT_DISTANCE)
    try:
        require_free("127.0.0.1", (base + place for place in places))
    except CommandFailed:
        return False
    return True
