"""The port, over one ZooKeeper session.

Must never know: what the znodes mean, threads.
"""

from __future__ import annotations

from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import TYPE_CHECKING, Any

import trio
from kazoo.protocol.serialization import CheckVersion, SetData
from kazoo.protocol.serialization import Delete as DeleteNode

from coordinator.store import (
    ANY_VERSION,
    Check,
    Create,
    Delete,
    NodeExists,
    Operation,
    Set,
    Stat,
    Store,
    check_size,
)
from coordinator.zookeeper.answers import check_multi, stat_of
from coordinator.zookeeper.client import OneSessionClient
from coordinator.zookeeper.session import Session
from protocol.errors import CoordinationError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence

    from coordinator.store import Watch


@asynccontextmanager
async def connect_zookeeper(
    hosts: str, *, session_timeout_s: float = 6.0, connect_timeout_s: float = 10.0
) -> AsyncIterator[Store]:
    """Open a session with the ensemble at `hosts`; leaving the context closes it.

    `hosts` is `host:port,host:port`, optionally followed by `/path`: the root under which all
    paths of this store are, created where it is missing.
    Raises: CoordinationError when `hosts` is not understood, or when no server gives a session
    within `connect_timeout_s`.
    """
    servers, _, root = hosts.partition("/")
    try:
        client = OneSessionClient(servers, session_timeout_s)
    except ValueError as error:
        raise CoordinationError(
            f"{hosts!r} names no ZooKeeper servers ({error}): write host:port,host:port"
        ) from error
    session = Session(client, session_timeout_s=session_timeout_s)
    session.start()
    try:
        with trio.move_on_after(connect_timeout_s) as patience:
            await session.wait_connected()
            await _create_root(ZooKeeperStore(client, session), root)
        if patience.cancelled_caught:
            raise CoordinationError(
                f"no ZooKeeper server at {hosts} gave a session within {connect_timeout_s:g} s:"
                " start it, or correct the addresses"
            )
        yield ZooKeeperStore(client, session, root=root)
    finally:
        await session.close()


async def _create_root(store: Store, root: str) -> None:
    path = ""
    for name in filter(None, root.split("/")):
        path += "/" + name
        with suppress(NodeExists):
            await store.create(path)


class ZooKeeperStore(Store):
    """ZooKeeper's operations for one session, below a root."""

    def __init__(self, client: OneSessionClient, session: Session, *, root: str = "") -> None:
        self._client = client
        self._session = session
        self._root = "".join(f"/{name}" for name in root.split("/") if name)

    @property
    def session_id(self) -> int:
        """The id that ZooKeeper gave to this session."""
        return self._session.session_id

    @property
    def session_timeout_s(self) -> float:
        """The session timeout that ZooKeeper granted, in seconds."""
        return self._session.session_timeout_s

    @property
    def lease_until(self) -> float:
        """Until when the session is certainly alive, in `trio.current_time()`."""
        return self._session.lease_until

    async def create(
        self, path: str, value: bytes = b"", *, ephemeral: bool = False, sequence: bool = False
    ) -> tuple[str, Stat]:
        """Create a znode."""
        check_size((Create(path, value),))
        send = partial(
            self._client.create_async,
            self._root + path,
            value,
            ephemeral=ephemeral,
            sequence=sequence,
            include_data=True,
        )
        created, stat = await self._write(path, send)
        return created[len(self._root) :], stat_of(stat)

    async def get(self, path: str, *, watch: Watch | None = None) -> tuple[bytes, Stat]:
        """Read a znode."""
        value, stat = await self._read(path, self._client.get_async, watch)
        return value or b"", stat_of(stat)

    async def exists(self, path: str, *, watch: Watch | None = None) -> Stat | None:
        """Stat a znode."""
        stat = await self._read(path, self._client.exists_async, watch)
        return None if stat is None else stat_of(stat)

    async def children(self, path: str, *, watch: Watch | None = None) -> list[str]:
        """List a znode's children."""
        names: list[str] = await self._read(path, self._client.get_children_async, watch)
        return sorted(names)

    async def set(self, path: str, value: bytes, *, version: int = ANY_VERSION) -> Stat:
        """Replace a value."""
        check_size((Set(path, value),))
        send = partial(self._client.set_async, self._full(path), value, version)
        return stat_of(await self._write(path, send))

    async def delete(self, path: str, *, version: int = ANY_VERSION) -> None:
        """Delete a znode."""
        await self._write(path, partial(self._client.delete_async, self._full(path), version))

    async def multi(self, operations: Sequence[Operation]) -> list[Stat | str | None]:
        """Do all operations or none."""
        check_size(operations)
        transaction = self._client.transaction()
        for operation in operations:
            path = self._full(operation.path)
            match operation:
                case Create(_, value, ephemeral, sequence):
                    transaction.create(path, value, ephemeral=ephemeral, sequence=sequence)
                # Added by hand: kazoo would take most of its time to put paths together again.
                case Set(_, value, version):
                    transaction.operations.append(SetData(path, value, version))
                case Delete(_, version):
                    transaction.operations.append(DeleteNode(path, version))
                case Check(_, version):
                    transaction.operations.append(CheckVersion(path, version))
        what = f"a multi of {len(operations)} operations"
        results = await self._write(what, transaction.commit_async)
        check_multi(operations, results)
        return [self._result_of(result) for result in results]

    async def wait_lost(self) -> None:
        """Return when the session is lost."""
        await self._session.wait_lost()

    async def _read(self, path: str, read: Callable[..., Any], watch: Watch | None) -> Any:
        if watch is None:
            return await self._session.call(
                path, partial(read, self._full(path)), renews_lease=False
            )
        armed = self._session.arm(watch)
        try:
            return await self._session.call(
                path, partial(read, self._full(path), watch=armed.hear), renews_lease=False
            )
        except BaseException:
            armed.disarm()
            raise

    async def _write(self, what: str, write: Callable[[], Any]) -> Any:
        return await self._session.call(what, write, renews_lease=True)

    def _full(self, path: str) -> str:
        return self._root + path if path != "/" else self._root or "/"

    def _result_of(self, result: Any) -> Stat | str | None:
        if isinstance(result, str):
            return result[len(self._root) :]
        return None if result is True else stat_of(result)
