"""kazoo, a client that we did not write, speaks to the embedded server over TCP."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from kazoo.client import KazooClient, KazooState
from kazoo.exceptions import (
    BadVersionError,
    NodeExistsError,
    NoNodeError,
    NotEmptyError,
    RolledBackError,
    RuntimeInconsistency,
)
from kazoo.recipe.lock import Lock
from kazoo.security import make_digest_acl

PATIENCE_S = 20.0
SERVER = """
import random, sys, time
from functools import partial
import trio
from broker.log.real_disk import RealDisk
from coordinator.embedded.config import EmbeddedConfig
from coordinator.embedded.server import serve_embedded

async def main(directory, port):
    listeners = await trio.open_tcp_listeners(port, host="127.0.0.1")
    async with trio.open_nursery() as nursery:
        await nursery.start(partial(
            serve_embedded, listeners, disk=RealDisk(), random=random.SystemRandom(),
            wall_ms=lambda: time.time_ns() // 1_000_000,
            config=EmbeddedConfig(directory, snapshot_transactions=200),
        ))
        print(listeners[0].socket.getsockname()[1], flush=True)

trio.run(main, sys.argv[1], int(sys.argv[2]))
"""


class Server:
    """The embedded server as a process that can be killed. A test that fails shows its log."""

    def __init__(self, directory):
        self._directory = directory
        self._process = None
        self.port = 0

    def start(self):
        """Start it, on the same port as before."""
        self._process = subprocess.Popen(
            [sys.executable, "-c", SERVER, str(self._directory), str(self.port)],
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | {"PYTHONPATH": str(Path.cwd())},
        )
        while not (line := self._process.stdout.readline()).strip().isdigit():
            assert line, "the server ended before it was ready"
            print(line, end="")
        self.port = int(line)
        self._echo = threading.Thread(target=self._print_log)
        self._echo.start()

    def _print_log(self):
        for line in self._process.stdout:
            print(line, end="")

    def kill(self):
        """Kill it at once."""
        self._process.send_signal(signal.SIGKILL)
        self._process.wait()
        self._echo.join()
        self._process.stdout.close()


@pytest.fixture
def server(tmp_path):
    server = Server(tmp_path / "data")
    server.start()
    yield server
    server.kill()


@pytest.fixture
def connect(server):
    clients = []

    def connect():
        client = KazooClient(f"127.0.0.1:{server.port}", timeout=8.0)
        clients.append(client)
        client.start(PATIENCE_S)
        return client

    yield connect
    for client in clients:
        client.stop()
        client.close()


def wait_for(event):
    assert event.wait(PATIENCE_S), "it never happened"


def test_kazoo_does_every_operation(connect):
    client = connect()
    created, stat = client.create("/a", b"1", include_data=True)
    assert (created, stat.version) == ("/a", 0)
    assert client.create("/a/s-", sequence=True, ephemeral=True) == "/a/s-0000000000"
    assert client.set("/a", b"2", version=0).version == 1
    assert client.get("/a")[0] == b"2"
    assert client.exists("/nothing") is None
    assert client.get_children("/a") == ["s-0000000000"]
    assert client.get_children("/a", include_data=True)[1].numChildren == 1
    assert client.sync("/a") == "/a"
    for error, refused in (
        (NodeExistsError, lambda: client.create("/a")),
        (NoNodeError, lambda: client.get("/b")),
        (BadVersionError, lambda: client.set("/a", b"", version=7)),
        (NotEmptyError, lambda: client.delete("/a")),
    ):
        with pytest.raises(error):
            refused()
    assert client.server_version() == (3, 8, 0)
    assert client.command(b"ruok") == "imok"


def test_kazoos_transactions_are_all_or_nothing(connect):
    client = connect()
    transaction = client.transaction()
    transaction.create("/a", b"1")
    transaction.set_data("/a", b"2")
    transaction.check("/a", 1)
    transaction.delete("/a")
    results = transaction.commit()
    assert (results[0], results[1].version, results[2:]) == ("/a", 1, [True, True])

    transaction = client.transaction()
    transaction.create("/a")
    transaction.check("/b", 1)
    transaction.create("/c")
    assert [type(each) for each in transaction.commit()] == [
        RolledBackError,
        NoNodeError,
        RuntimeInconsistency,
    ]
    assert client.get_children("/") == ["zookeeper"]


def test_kazoos_acls_and_credentials_are_kept(connect):
    client = connect()
    client.add_auth("digest", "user:password")
    acl = make_digest_acl("user", "password", all=True)
    client.create("/a", acl=[acl])
    assert client.get_acls("/a")[0] == [acl]
    assert client.set_acls("/a", [acl], version=0).aversion == 1


def test_kazoos_watches_tell_of_each_change(connect):
    watcher, writer = connect(), connect()
    seen = []
    changed = threading.Event()

    @watcher.DataWatch("/a")
    def _on_data(data, stat):
        seen.append(data)
        if data == b"2":
            changed.set()

    writer.create("/a", b"1")
    writer.set("/a", b"2")
    wait_for(changed)

    assert seen[0] is None
    assert seen[-1] == b"2"


def test_kazoos_locks_pass_from_one_to_the_next(connect):
    holder, waiter = connect(), connect()
    acquired = threading.Event()
    first = Lock(holder, "/lock")
    first.acquire(timeout=PATIENCE_S)

    def wait_for_lock():
        second = Lock(waiter, "/lock")
        second.acquire(timeout=PATIENCE_S)
        acquired.set()
        second.release()

    thread = threading.Thread(target=wait_for_lock)
    thread.start()
    queued = threading.Event()

    @holder.ChildrenWatch("/lock")
    def _on_children(names):
        if len(names) == 2:
            queued.set()

    wait_for(queued)
    assert not acquired.is_set()
    first.release()
    wait_for(acquired)
    thread.join()


@pytest.mark.slow
def test_sessions_data_and_ephemerals_survive_a_kill(server, connect):
    client = connect()
    session_id = client.client_id[0]
    suspended, connected = threading.Event(), threading.Event()

    def on_state(state):
        (suspended if state == KazooState.SUSPENDED else connected).set()

    client.add_listener(on_state)
    client.create("/ephemeral", b"e", ephemeral=True)
    for number in range(500):  # beyond a snapshot
        client.create(f"/{number:03}", b"%d" % number)
    server.kill()
    wait_for(suspended)
    connected.clear()
    server.start()
    wait_for(connected)

    assert client.client_id[0] == session_id
    assert client.exists("/ephemeral").ephemeralOwner == session_id
    assert len(client.get_children("/")) == 502
    assert client.get("/499")[0] == b"499"


@pytest.mark.slow
def test_what_was_acknowledged_before_a_kill_is_there_after_it(server, connect):
    client = connect()
    for round_ in range(3):
        pending = [client.create_async(f"/{round_}-{number}") for number in range(200)]
        pending[99].get(timeout=PATIENCE_S)
        server.kill()
        acknowledged = [each.value for each in pending if each.ready() and each.successful()]
        assert len(acknowledged) >= 100
        server.start()
        survivor = connect()
        names = set(survivor.get_children("/"))
        assert {path.lstrip("/") for path in acknowledged} <= names
