"""The two servers of ZooKeeper's protocol: a real one (3.8, from Debian) and the embedded one."""

from __future__ import annotations

import pytest
import trio

from tests.support.zookeeper import EmbeddedZooKeeper

PATIENCE_S = 10.0
START_TIMEOUT_S = 30.0
TICK_MS = 100


@pytest.fixture(scope="session")
def embedded(tmp_path_factory):
    """One embedded server for all tests. Returns: EmbeddedZooKeeper."""
    server = EmbeddedZooKeeper(tmp_path_factory.mktemp("embedded"))
    server.start()
    try:
        yield server
    finally:
        server.stop()


@pytest.fixture(params=["embedded", pytest.param("zookeeper", marks=pytest.mark.zookeeper)])
def port(request):
    """The port of a server of either kind, which is not harmed."""
    return request.getfixturevalue(request.param).port


@pytest.fixture
def root(request):
    """A root for `hosts`, of the test's own."""
    return f"/{request.node.name}"


class Bell:
    """A watch: counts its calls, and can be waited for."""

    def __init__(self) -> None:
        self.count = 0
        self._rang = trio.Event()

    def __call__(self) -> None:
        self.count += 1
        self._rang.set()

    async def wait(self) -> None:
        """Return once it was called."""
        with trio.fail_after(PATIENCE_S):
            await self._rang.wait()


@pytest.fixture
def make_bell():
    """Make watches. Returns: Bell."""
    return Bell
