"""The embedded server and a real ZooKeeper side by side: the same requests, byte by byte, to both.

What each answers is compared: errors, values, stats (zxids as "the same as there", times left
out), children, and the order in which replies and watch events reach every session.
"""

from __future__ import annotations

from collections import deque
from itertools import count
from struct import Struct
from typing import NamedTuple

import pytest
from kazoo.client import KazooClient
from kazoo.protocol.connection import ConnectionHandler
from kazoo.protocol.serialization import (
    Create2,
    Exists,
    GetChildren,
    GetChildren2,
    Watch,
    read_string,
    write_string,
)
from kazoo.protocol.states import ZnodeStat
from kazoo.security import ACL, Id

from tests.support.zookeeper import EmbeddedZooKeeper, RealZooKeeper, require_zookeeper

PATIENCE_S = 10.0
PLACES = count()
INT, LONG = Struct("!i"), Struct("!q")


# --- the wire --------------------------------------------------------------------------------


class Raw(NamedTuple):
    """A request that kazoo does not know; its reply is left as bytes, or read as told."""

    type: int
    body: bytes
    read: str = "bytes"
    watcher: None = None

    def serialize(self):
        return self.body

    def deserialize(self, reply, offset):
        reply = bytes(reply[offset:])
        if self.read == "created":
            return Create2.deserialize(reply, 0)
        if self.read == "int":
            return INT.unpack(reply)[0]
        if self.read == "strings":
            count, position, strings = INT.unpack_from(reply)[0], 4, []
            for _ in range(count):
                string, position = read_string(reply, position)
                strings.append(string)
            return sorted(strings)
        return reply


class Ask:
    """Makes the requests that kazoo does not know."""

    Raw = Raw
    open_acl = (ACL(31, Id("world", "anyone")),)

    @staticmethod
    def watched(_event):
        """Stand for a watch; events are read off the wire."""

    @staticmethod
    def add_watch(path, mode):
        return Raw(106, write_string(path) + INT.pack(mode))

    @staticmethod
    def check_watches(path, kind):
        return Raw(17, write_string(path) + INT.pack(kind))

    @staticmethod
    def remove_watches(path, kind):
        return Raw(18, write_string(path) + INT.pack(kind))

    @staticmethod
    def get_ephemerals(prefix):
        return Raw(103, write_string(prefix), "strings")

    @staticmethod
    def count_descendants(path):
        return Raw(104, write_string(path), "int")

    @staticmethod
    def set_watches(zxid, *, data=(), absent=(), children=()):
        return Raw(101, LONG.pack(zxid) + b"".join(map(_strings, (data, absent, children))))

    @staticmethod
    def create_container(path):
        return Raw(19, _create(path) + INT.pack(4), "created")

    @staticmethod
    def create_ttl(path, mode, ttl_ms):
        return Raw(21, _create(path) + INT.pack(mode) + LONG.pack(ttl_ms), "created")


def _strings(texts):
    return INT.pack(len(texts)) + b"".join(write_string(text) for text in texts)


def _create(path):
    acl = INT.pack(1) + INT.pack(31) + write_string("world") + write_string("anyone")
    return write_string(path) + INT.pack(0) + acl


class WireConnection(ConnectionHandler):
    """kazoo's connection, noting replies and events in the order in which they come."""

    def _read_watch_event(self, buffer, offset):
        event, _ = Watch.deserialize(buffer, offset)
        self.client.heard.append(("event", event.type, event.state, event.path))

    def _read_response(self, header, buffer, offset):
        self.client.heard.append(("reply", header.err))
        return super()._read_response(header, buffer, offset)


class WireClient(KazooClient):
    """One session that sends requests as they are."""

    def __init__(self, hosts, **options):
        super().__init__(hosts, **options)
        self.heard = []
        self._connection = WireConnection(self, self._conn_retry.copy())
        self.start(timeout=PATIENCE_S)

    def send(self, request):
        result = self.handler.async_result()
        self._call(request, result)
        return result

    def end(self):
        self.stop()
        self.close()

    def vanish(self):
        """Die without a word to the server: the session expires."""
        self._stopped.set()
        self._connection._socket.shutdown(2)
        self._safe_close()
        self.close()


# --- what is compared ------------------------------------------------------------------------


class Server:
    """One of the two servers, its sessions, and its answers in a form that can be compared."""

    def __init__(self, hosts):
        self.hosts = hosts
        self.sessions = {}
        self._aliases = {0: "nobody"}
        self._zxids = {0: 0}

    def open(self, name, **options):
        client = WireClient(self.hosts, **options)
        self.sessions[name] = client
        self._aliases[client.client_id[0]] = name

    def close(self):
        for client in self.sessions.values():
            client.end()

    def answer(self, result, request):
        assert result.wait(PATIENCE_S), request
        if result.exception is not None:
            return type(result.exception).__name__
        value = self.plain(result.value)
        if isinstance(request, GetChildren):
            return sorted(value)
        if isinstance(request, GetChildren2):
            return sorted(value[0]), value[1]
        return value

    def plain(self, value):
        if isinstance(value, Exception):
            return type(value).__name__
        if isinstance(value, ZnodeStat):
            return value._replace(
                czxid=self._zxid(value.czxid),
                mzxid=self._zxid(value.mzxid),
                pzxid=self._zxid(value.pzxid),
                ctime=0,
                mtime=0,
                ephemeralOwner=self._aliases.get(value.ephemeralOwner, value.ephemeralOwner),
            )
        if isinstance(value, (list, tuple)) and not hasattr(value, "_fields"):
            return [self.plain(each) for each in value]
        return value

    def _zxid(self, zxid):
        return self._zxids.setdefault(zxid, len(self._zxids))


class Pair:
    """Both servers, doing the same. `ask` makes the requests that kazoo does not know."""

    ask = Ask

    def __init__(self, real, embedded):
        self.servers = (Server(real.hosts), Server(embedded.hosts))
        self.done = deque(maxlen=12)

    def open(self, *names, **options):
        for name in names:
            for server in self.servers:
                server.open(name, **options)

    def close(self, *names):
        for name in names:
            for server in self.servers:
                server.sessions[name].end()

    def vanish(self, name):
        for server in self.servers:
            server.sessions[name].vanish()

    def do(self, name, request):
        """Send a request to both. Returns: the answer that both give."""
        self.done.append((name, request))
        results = [server.sessions[name].send(request) for server in self.servers]
        real, embedded = (
            server.answer(result, request)
            for server, result in zip(self.servers, results, strict=True)
        )
        assert embedded == real, self.story()
        return real

    def compare_heard(self, *names, ordered=True):
        """Compare what the sessions have heard since the last time. Returns: the real one's."""
        heard = {}
        for name in names:
            self.do(name, Exists("/", None))  # events travel ahead of later replies
            real, embedded = (list(server.sessions[name].heard) for server in self.servers)
            if not ordered:
                real, embedded = sorted(real), sorted(embedded)
            assert embedded == real, (name, self.story())
            for server in self.servers:
                server.sessions[name].heard.clear()
            heard[name] = [entry for entry in real if entry[0] == "event"]
        return heard

    def wait_event(self, name):
        """Wait until both have told a session of something."""
        for server in self.servers:
            deadline = server.sessions[name].handler.event_object()
            for _ in range(int(PATIENCE_S / 0.02)):
                if any(entry[0] == "event" for entry in server.sessions[name].heard):
                    break
                deadline.wait(0.02)
            else:
                pytest.fail(f"{server.hosts} told {name} nothing")

    def story(self):
        return "\n".join(f"{name}: {request!r}"[:300] for name, request in self.done)


@pytest.fixture(scope="session")
def servers(tmp_path_factory):
    """A real and an embedded server that nobody else writes to: even their roots are compared."""
    require_zookeeper()
    real = RealZooKeeper(tmp_path_factory.mktemp("compared-real"))
    embedded = EmbeddedZooKeeper(tmp_path_factory.mktemp("compared-embedded"))
    real.start()
    try:
        embedded.start()
        yield real, embedded
        embedded.stop()
    finally:
        real.kill()


@pytest.fixture
def pair(servers):
    pair = Pair(*servers)
    try:
        yield pair
    finally:
        for server in pair.servers:
            server.close()


@pytest.fixture
def root():
    """A place of its own for every test."""
    return f"/place-{next(PLACES)}"
