"""The coordinator as a process to be killed and started: the one of `ottla up`, or ZooKeeper.

Must never know: brokers, what is stored.
"""

from __future__ import annotations

from tests.support.under_test import UnderTest
from tests.support.zookeeper import RealZooKeeper


class CoordinatorProcess:
    """`zookeeper` is what `cluster` uses; None: a coordinator of its own."""

    def __init__(self, cluster: UnderTest, zookeeper: RealZooKeeper | None) -> None:
        self._cluster = cluster
        self._zookeeper = zookeeper

    def kill(self) -> None:
        """SIGKILL it."""
        if self._zookeeper is None:
            self._cluster.kill("coordinator")
        else:
            self._zookeeper.kill()

    def start(self) -> None:
        """Start it again, on its port and data."""
        if self._zookeeper is None:
            self._cluster.start("coordinator")
        else:
            self._zookeeper.start()
