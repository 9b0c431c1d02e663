"""The two servers of ZooKeeper's protocol: a real one (3.8, from Debian) and the embedded one."""

from __future__ import annotations

import random
import shutil
import signal
import socket
import subprocess
import threading
import time
from functools import partial
from pathlib import Path

import trio

from broker.log.real_disk import RealDisk
from coordinator.embedded.config import EmbeddedConfig
from coordinator.embedded.server import serve_embedded
from tests.support.needs import need
from tests.support.ports import free_port
from tests.support.processes import dies_with_parent

JAR = Path("/usr/share/java/zookeeper.jar")
START_TIMEOUT_S = 30.0
TICK_MS = 100


class RealZooKeeper:
    """A ZooKeeper process on a free port of 127.0.0.1, with data of its own."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.port = free_port()
        self.hosts = f"127.0.0.1:{self.port}"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it on its port and data, and wait until it gives sessions."""
        config = self.directory / "zoo.cfg"
        config.write_text(
            f"dataDir={self.directory}/data\nclientPort={self.port}\n"
            f"clientPortAddress=127.0.0.1\ntickTime={TICK_MS}\nmaxSessionTimeout=60000\n"
            "maxClientCnxns=0\nadmin.enableServer=false\n4lw.commands.whitelist=*\n"
        )
        with (self.directory / "zookeeper.log").open("ab") as log:
            self._process = subprocess.Popen(
                [
                    *dies_with_parent(),
                    *("java", "-Xmx192m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"),
                    *("-Dzookeeper.forceSync=no", "-cp", f"{JAR}:{JAR.parent}/slf4j-jdk14.jar"),
                    "org.apache.zookeeper.server.ZooKeeperServerMain",
                    str(config),
                ],
                stdout=log,
                stderr=log,
                cwd=self.directory,
            )
        deadline = time.monotonic() + START_TIMEOUT_S
        while not self._is_ready():
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.kill()
                raise RuntimeError((self.directory / "zookeeper.log").read_text()[-4000:])
            time.sleep(0.05)

    def kill(self) -> None:
        """End it at once, by its process id."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def pause(self) -> None:
        """Stop it from running, its sockets open."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let it run again."""
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def _is_ready(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=1) as stream:
                stream.sendall(b"srvr")
                return b"Mode: standalone" in stream.makefile("rb").read()
        except OSError:
            return False


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


def require_zookeeper() -> None:
    """Skip, or under CI fail, where there is no ZooKeeper to start."""
    need("java (apt-get install default-jre-headless)", is_there=shutil.which("java") is not None)
    need("ZooKeeper (apt-get install zookeeper)", is_there=JAR.exists())
