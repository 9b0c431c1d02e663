"""The two servers of ZooKeeper's protocol: a real one (3.8, from Debian) and the embedded one."""

from __future__ import annotations

import random
import threading
import time
from functools import partial
from pathlib import Path

import pytest
import trio

from broker.log.real_disk import RealDisk
from coordinator.embedded.config import EmbeddedConfig
from coordinator.embedded.server import serve_embedded

PATIENCE_S = 10.0
START_TIMEOUT_S = 30.0
TICK_MS = 100


class EmbeddedZooKeeper:
    """The embedded server, in a trio loop of its own thread: a test may block its own loop."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.port = 0
        self.hosts = ""
        self._scope = trio.CancelScope()
        self._started = threading.Event()
        self._thread = threading.Thread(target=trio.run, args=(self._serve,))

    def start(self) -> None:
        """Start it on a free port, and wait until it gives sessions."""
        self._thread.start()
        assert self._started.wait(START_TIMEOUT_S)

    def stop(self) -> None:
        """Stop it."""
        trio.from_thread.run_sync(self._scope.cancel, trio_token=self._token)
        self._thread.join()

    async def _serve(self) -> None:
        self._token = trio.lowlevel.current_trio_token()
        listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
        self.port = listeners[0].socket.getsockname()[1]
        self.hosts = f"127.0.0.1:{self.port}"
        config = EmbeddedConfig(
            str(self.directory),
            session_timeout_min_s=2 * TICK_MS / 1000,
            session_timeout_max_s=60,
        )
        serve = partial(
            serve_embedded,
            listeners,
            disk=RealDisk(),
            wall_ms=lambda: time.time_ns() // 1_000_000,
            random=random.Random(1),
            config=config,
        )
        with self._scope:
            async with trio.open_nursery() as nursery:
                await nursery.start(serve)
                self._started.set()


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
