"""Servers that several suites need."""

from __future__ import annotations

import pytest

from tests.support.zookeeper import RealZooKeeper, require_zookeeper


@pytest.fixture(scope="session")
def zookeeper(tmp_path_factory):
    """One real ZooKeeper for all tests that do not harm it. Returns: RealZooKeeper."""
    require_zookeeper()
    server = RealZooKeeper(tmp_path_factory.mktemp("zookeeper"))
    server.start()
    try:
        yield server
    finally:
        server.kill()


@pytest.fixture
def mortal_zookeeper(tmp_path):
    """A real ZooKeeper that the test may kill, restart and pause. Returns: RealZooKeeper."""
    require_zookeeper()
    server = RealZooKeeper(tmp_path)
    server.start()
    try:
        yield server
    finally:
        server.kill()
