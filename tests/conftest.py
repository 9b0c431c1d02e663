"""Servers that several suites need, and what holds for all property tests."""

from __future__ import annotations

import signal

import pytest
from hypothesis import HealthCheck, settings

from tests.support.effort import examples
from tests.support.zookeeper import RealZooKeeper, require_zookeeper

# How long an example takes says something about the machine's other work, not about the code.
settings.register_profile(
    "ottla",
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
    max_examples=examples(200),
)
settings.load_profile("ottla")

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # A shell that runs this in the background has it ignored, and so would what the tests start.
    signal.signal(signal.SIGINT, signal.default_int_handler)


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
