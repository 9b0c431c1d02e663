"""The store in memory: many sessions over one tree, with faults on demand, for tests.

A disconnected session keeps its ephemeral znodes until its timeout has passed. Calls that were
under way raise ConnectionLost; later calls wait for the reconnection and are then carried out,
or raise SessionLost once the session has expired. A watch is called in the task of the writer,
at the moment of the change, and so before any later read is answered.
Must never know: what the znodes mean, sockets, disks.
"""

from __future__ import annotations

from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, TypeVar

import trio

from coordinator.store import (
    ANY_VERSION,
    BadVersion,
    Check,
    ConnectionLost,
    Create,
    Delete,
    MultiFailed,
    NoChildrenForEphemerals,
    NodeExists,
    NoNode,
    NotEmpty,
    Operation,
    SessionLost,
    Set,
    Stat,
    Store,
    StoreError,
    check_size,
)
from coordinator.tree import Tree
from coordinator.znode import (
    CheckVersion,
    CloseSession,
    Code,
    Created,
    CreateNode,
    DeleteNode,
    Multi,
    MultiRefused,
    NodeOperation,
    NodeStat,
    OpenSession,
    Refused,
    SetData,
    Transaction,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
    from collections.abc import Set as AbstractSet

    from coordinator.store import Watch
    from coordinator.znode import Operation as TreeOperation
    from coordinator.znode import Result

Outcome = TypeVar("Outcome")

_ERRORS: dict[Code, type[StoreError]] = {
    Code.NO_NODE: NoNode,
    Code.NODE_EXISTS: NodeExists,
    Code.BAD_VERSION: BadVersion,
    Code.NOT_EMPTY: NotEmpty,
    Code.NO_CHILDREN_FOR_EPHEMERALS: NoChildrenForEphemerals,
}


class _Watch:
    """The watcher that the tree knows: one callback, for one read of one session."""

    def __init__(self, session_id: int, call: Callable[[], None]) -> None:
        self.session_id = session_id
        self._call = call
        self._read_returned = False
        self._rung = False

    def ring(self) -> None:
        """Call back; not before it is known that the read succeeds."""
        self._rung = True
        if self._read_returned:
            self._call()

    def settle(self) -> None:
        """Note that the read succeeded."""
        self._read_returned = True
        if self._rung:
            self._call()


class MemoryCluster:
    """One tree and its sessions. `connect` is a StoreFactory.

    `latency`, where given, is awaited on the way to the tree and on the way back.
    """

    def __init__(self, *, latency: Callable[[], Awaitable[None]] | None = None) -> None:
        self.tree = Tree[_Watch]()
        self.latency = latency
        self._stores: dict[int, MemoryStore] = {}
        self._last_session_id = 0

    @property
    def session_ids(self) -> AbstractSet[int]:
        """The sessions that are open, connected or not."""
        return self._stores.keys()

    @asynccontextmanager
    async def connect(self, *, session_timeout_s: float = 6.0) -> AsyncIterator[MemoryStore]:
        """Open a session; leaving closes it, or abandons it to its timeout if disconnected."""
        await trio.lowlevel.checkpoint()
        self._last_session_id += 1
        session_id = self._last_session_id
        timeout_ms = int(session_timeout_s * 1000)
        self.apply(session_id, OpenSession(timeout_ms=timeout_ms, password=b""))
        store = MemoryStore(self, session_id=session_id, session_timeout_s=session_timeout_s)
        self._stores[session_id] = store
        try:
            yield store
        finally:
            if store.connected:
                self.expire(session_id)

    def disconnect(self, session_id: int) -> None:
        """Cut a session off; its watches are called. It expires unless reconnected in time."""
        store = self._stores[session_id]
        if store.connected:
            store.set_connected(False)
            trio.lowlevel.spawn_system_task(self._expire_abandoned, store, store.connection_number)
            self._ring_all(session_id)

    def reconnect(self, session_id: int) -> None:
        """Connect a session again. Raises: SessionLost."""
        if session_id not in self._stores:
            raise SessionLost(f"session {session_id} has expired")
        self._stores[session_id].set_connected(True)

    def expire(self, session_id: int) -> None:
        """End a session at once: its watches are called, its ephemeral znodes go.

        One that has ended is left alone.
        """
        store = self._stores.pop(session_id, None)
        if store is not None:
            store.end()
            self._ring_all(session_id)
            self.apply(session_id, CloseSession())

    async def _expire_abandoned(self, store: MemoryStore, connection_number: int) -> None:
        await trio.sleep(store.session_timeout_s)
        if not store.connected and store.connection_number == connection_number:
            self.expire(store.session_id)

    # For the stores.

    def apply(self, session_id: int, operation: TreeOperation) -> Result:
        """Apply an operation and call the watches that it concerns. Raises: Refused."""
        now_ms = int(trio.current_time() * 1000)
        applied = self.tree.apply(Transaction(session_id, now_ms, operation))
        for watch, _ in applied.notices:
            watch.ring()
        return applied.result

    def _ring_all(self, session_id: int) -> None:
        """Call whatever watches a session has set, and drop them."""
        for watch in self.tree.watches.watchers():
            if watch.session_id == session_id:
                self.tree.watches.remove_watcher(watch)
                watch.ring()


class MemoryStore(Store):
    """One session: the Store port over a MemoryCluster."""

    def __init__(
        self, cluster: MemoryCluster, *, session_id: int, session_timeout_s: float
    ) -> None:
        self._cluster = cluster
        self._session_id = session_id
        self._session_timeout_s = session_timeout_s
        self._connected = trio.Event()
        self._connected.set()
        self._lost = trio.Event()
        self._disconnected_at = 0.0
        self.connection_number = 1
        """Grows with every disconnection: an answer of an earlier connection never arrives."""

    @property
    def session_id(self) -> int:
        """The id that the cluster gave to this session."""
        return self._session_id

    @property
    def session_timeout_s(self) -> float:
        """The session timeout, in seconds."""
        return self._session_timeout_s

    @property
    def lease_until(self) -> float:
        """Until when the session is certainly alive, in `trio.current_time()`."""
        heard_at = trio.current_time() if self.connected else self._disconnected_at
        return heard_at + self._session_timeout_s

    @property
    def connected(self) -> bool:
        """Say whether the session is connected and has not ended."""
        return self._connected.is_set() and not self._lost.is_set()

    async def create(
        self, path: str, value: bytes = b"", *, ephemeral: bool = False, sequence: bool = False
    ) -> tuple[str, Stat]:
        """Create a znode."""
        created = await self._write(Create(path, value, ephemeral, sequence))
        assert isinstance(created, Created)
        return created.path, _stat_of(created.stat)

    async def get(self, path: str, *, watch: Watch | None = None) -> tuple[bytes, Stat]:
        """Read a znode."""
        value, stat = await self._read(partial(self._cluster.tree.get, path), watch)
        return value or b"", _stat_of(stat)

    async def exists(self, path: str, *, watch: Watch | None = None) -> Stat | None:
        """Stat a znode."""
        stat = await self._read(partial(self._cluster.tree.exists, path), watch)
        return None if stat is None else _stat_of(stat)

    async def children(self, path: str, *, watch: Watch | None = None) -> list[str]:
        """List a znode's children."""
        names, _ = await self._read(partial(self._cluster.tree.children, path), watch)
        return names

    async def set(self, path: str, value: bytes, *, version: int = ANY_VERSION) -> Stat:
        """Replace a value."""
        stat = await self._write(Set(path, value, version))
        assert isinstance(stat, NodeStat)
        return _stat_of(stat)

    async def delete(self, path: str, *, version: int = ANY_VERSION) -> None:
        """Delete a znode."""
        await self._write(Delete(path, version))

    async def multi(self, operations: Sequence[Operation]) -> list[Stat | str | None]:
        """Do all operations or none."""
        check_size(operations)
        multi = Multi(tuple(map(_tree_operation, operations)))
        results = await self._call(partial(self._cluster.apply, self._session_id, multi))
        assert isinstance(results, list)
        return [_port_result(result) for result in results]

    async def wait_lost(self) -> None:
        """Return when the session has ended."""
        await self._lost.wait()

    async def _write(self, operation: Operation) -> Result:
        check_size((operation,))
        tree_operation = _tree_operation(operation)
        return await self._call(partial(self._cluster.apply, self._session_id, tree_operation))

    async def _read(self, read: Callable[..., Outcome], watch: Watch | None) -> Outcome:
        if watch is None:
            return await self._call(read)
        armed = _Watch(self._session_id, watch)
        try:
            outcome = await self._call(partial(read, watcher=armed))
        except BaseException:
            self._cluster.tree.watches.remove_watcher(armed)
            raise
        armed.settle()
        return outcome

    async def _call(self, act: Callable[[], Outcome]) -> Outcome:
        """Carry a call to the tree and its answer back. Raises: SessionLost, ConnectionLost."""
        await trio.lowlevel.checkpoint()
        await self._wait_connected()
        number = self.connection_number
        await self._travel(number)
        try:
            outcome = act()
        except Refused as refusal:
            await self._travel(number)
            raise _error_of(refusal.code, str(refusal)) from None
        except MultiRefused as refusal:
            await self._travel(number)
            cause = _error_of(refusal.code, str(refusal))
            raise MultiFailed(refusal.index, cause) from None
        await self._travel(number)
        return outcome

    async def _wait_connected(self) -> None:
        while not self.connected:
            if self._lost.is_set():
                raise SessionLost(f"session {self._session_id} has ended")
            await self._connected.wait()

    async def _travel(self, number: int) -> None:
        """Let the latency pass, if there is one, on connection `number`."""
        if self._cluster.latency is None:
            return
        await self._cluster.latency()
        if self._lost.is_set():
            raise SessionLost(f"session {self._session_id} has ended")
        if self.connection_number != number:
            raise ConnectionLost("the connection broke before the answer came")

    # For the cluster.

    def set_connected(self, connected: bool, /) -> None:
        """Note that the connection came back or went."""
        if connected:
            self._connected.set()
        else:
            self._connected = trio.Event()
            self._disconnected_at = trio.current_time()
            self.connection_number += 1

    def end(self) -> None:
        """Note that the session has ended; whoever waits for its connection learns it."""
        if self.connected:
            self._disconnected_at = trio.current_time()
        self._lost.set()
        self._connected.set()


def _tree_operation(operation: Operation) -> NodeOperation:
    if isinstance(operation, Create):
        return CreateNode(operation.path, operation.value, operation.ephemeral, operation.sequence)
    if isinstance(operation, Set):
        return SetData(operation.path, operation.value, operation.version)
    if isinstance(operation, Delete):
        return DeleteNode(operation.path, operation.version)
    assert isinstance(operation, Check)
    return CheckVersion(operation.path, operation.version)


def _port_result(result: Created | NodeStat | None) -> Stat | str | None:
    if isinstance(result, Created):
        return result.path
    return None if result is None else _stat_of(result)


def _stat_of(stat: NodeStat) -> Stat:
    return Stat(
        czxid=stat.czxid,
        mzxid=stat.mzxid,
        version=stat.version,
        children_version=stat.children_version,
        owner=stat.owner,
        children=stat.children,
    )


def _error_of(code: Code, message: str) -> StoreError:
    return _ERRORS.get(code, StoreError)(message)
