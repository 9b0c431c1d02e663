"""Faults under a running group: who is to suffer, and how long the group then stood still.

Must never know: which faults there are, what is judged.
"""

from __future__ import annotations

from collections.abc import Callable

from tests.support.groups.member import now_ms
from tests.support.groups.run import GroupRun
from tests.support.groups.standstill import Standstill, standstill
from tests.support.roles import controller_of, leader_of, owner_of, wait_in_sync
from tests.support.under_test import UnderTest


class Victims:
    """The brokers of a cluster by what they are to a group, and to the topic that it consumes."""

    def __init__(self, cluster: UnderTest, run: GroupRun, topic: str) -> None:
        self.cluster = cluster
        self.run = run
        self.brokers = sorted(name for name in cluster.nodes() if name != "coordinator")
        self._topic = topic

    def owner(self) -> str:
        """Name the group's broker."""
        port = owner_of(self.cluster.bootstrap, self.run.group)
        return next(node.name for node in self.cluster.nodes().values() if node.port == port)

    def controller(self) -> str:
        """Name the active controller."""
        return str(controller_of(self.cluster.bootstrap))

    def leader(self) -> str:
        """Name the leader of the topic's first partition."""
        return str(leader_of(self.cluster.bootstrap, self._topic))

    def start(self, *names: str) -> None:
        """Start brokers again; returns when every replica is in sync."""
        self.cluster.start(*names)
        wait_in_sync(self.cluster.bootstrap, self._topic)


def suffer(run: GroupRun, fault: Callable[[], None]) -> Standstill:
    """Let a fault happen. Returns: how the group fared until every partition was read again."""
    since_ms = now_ms()
    fault()
    run.wait_processed()
    histories = [member.history for member in run.members.values()]
    return standstill(histories, run.partitions, since_ms=since_ms, until_ms=now_ms())
