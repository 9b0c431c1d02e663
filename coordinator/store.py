"""The coordination store port: ZooKeeper's operations as trio coroutines, for one session.

A `Store` lives as long as its session. When the session is lost every call raises `SessionLost`
and a new store must be connected: ephemeral nodes and watches are gone with the old one.
Must never know: what the znodes mean, kazoo, sockets.
Source: ZooKeeper programmer's guide.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, TypeAlias

from msgspec import Struct

from protocol.errors import CoordinationError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from contextlib import AbstractAsyncContextManager

ANY_VERSION = -1

REQUEST_BYTES_MAX = 1_000_000
"""What one request may weigh: a little below jute.maxbuffer, at which ZooKeeper hangs up."""

OPERATION_OVERHEAD_BYTES = 64
"""What an operation weighs besides its path and value: header, lengths and access list."""


class StoreError(CoordinationError):
    """An operation that the store answered with an error; nothing was changed."""


class NoNode(StoreError):
    """The znode does not exist."""


class NodeExists(StoreError):
    """The znode exists already."""


class BadVersion(StoreError):
    """The znode has another version: somebody else wrote first."""


class NotEmpty(StoreError):
    """The znode has children and cannot be deleted."""


class NoChildrenForEphemerals(StoreError):
    """An ephemeral znode cannot have children."""


class TooLarge(StoreError):
    """The request is larger than `REQUEST_BYTES_MAX`: send it in parts."""


class MultiFailed(StoreError):
    """A multi was refused as a whole.

    `index` is the position of the operation at fault, `cause` its error.
    """

    def __init__(self, index: int, cause: StoreError) -> None:
        super().__init__(f"operation {index} of a multi failed: {cause!r}")
        self.index = index
        self.cause = cause


class SessionLost(CoordinationError):
    """The session has ended (expired or closed): connect a new store.

    A call that was under way may have happened.
    """


class ConnectionLost(CoordinationError):
    """The connection broke before the answer came: the outcome is unknown, read back."""


class Stat(Struct, frozen=True):
    """What the store knows of a znode. `owner` is the session id of an ephemeral one, else 0."""

    czxid: int
    mzxid: int
    version: int
    children_version: int
    owner: int
    children: int


class Create(Struct, frozen=True):
    """Create a znode; with `sequence` the store appends a ten-digit counter to the path."""

    path: str
    value: bytes = b""
    ephemeral: bool = False
    sequence: bool = False


class Set(Struct, frozen=True):
    """Replace a znode's value if it has this version."""

    path: str
    value: bytes
    version: int = ANY_VERSION


class Delete(Struct, frozen=True):
    """Delete a znode if it has this version."""

    path: str
    version: int = ANY_VERSION


class Check(Struct, frozen=True):
    """Demand that a znode exists with this version."""

    path: str
    version: int = ANY_VERSION


Operation = Create | Set | Delete | Check


def check_size(operations: Sequence[Operation]) -> None:
    """Refuse what is too large for one request, before it is sent. Raises: TooLarge.

    Every store does this, so that what passes in a test with the memory store passes in ZooKeeper.
    """
    size_bytes = sum(
        OPERATION_OVERHEAD_BYTES
        + len(operation.path.encode())
        + len(getattr(operation, "value", b""))
        for operation in operations
    )
    if size_bytes > REQUEST_BYTES_MAX:
        raise TooLarge(f"a request of {size_bytes} bytes, {REQUEST_BYTES_MAX} accepted")


Watch: TypeAlias = "Callable[[], None]"


class Store(Protocol):
    """One session with the coordination store.

    A watch is one-shot and level-triggered: it is called at most once, in the trio thread, when
    what was read has changed **or may have** (the connection broke, the session was lost); the
    holder then reads again. It may be called before the read that set it returns, never when that
    read raised. Calls made while the connection is down wait for it, at most as long as the lease.
    Every call may raise ConnectionLost (unknown outcome) or SessionLost.
    Paths are absolute, without empty, "." or ".." parts, and with no slash at the end.
    """

    @property
    def session_id(self) -> int:
        """The id that the store gave to this session."""

    @property
    def session_timeout_s(self) -> float:
        """The session timeout that was agreed, in seconds."""

    @property
    def lease_until(self) -> float:
        """Until when the session is certainly alive for everyone, in `trio.current_time()`.

        The moment at which the last answered request was *sent*, plus the session timeout: the
        store cannot have expired the session earlier. Work that needs the session (leading a
        partition) stops by itself once the current time passes it. It never falls; an
        implementation calls the session lost at the latest when it has run out. Where the session
        cannot expire by silence (the memory store, while it is connected) it is the current time
        plus the session timeout.
        """

    async def create(
        self, path: str, value: bytes = b"", *, ephemeral: bool = False, sequence: bool = False
    ) -> tuple[str, Stat]:
        """Create a znode. Returns: its path and stat.

        Raises: NodeExists, NoNode (the parent), NoChildrenForEphemerals, TooLarge.
        """

    async def get(self, path: str, *, watch: Watch | None = None) -> tuple[bytes, Stat]:
        """Read a znode; the watch is set only where it exists. Raises: NoNode."""

    async def exists(self, path: str, *, watch: Watch | None = None) -> Stat | None:
        """Stat of a znode, or None; the watch is set in both cases."""

    async def children(self, path: str, *, watch: Watch | None = None) -> list[str]:
        """Names of a znode's children, sorted. Raises: NoNode."""

    async def set(self, path: str, value: bytes, *, version: int = ANY_VERSION) -> Stat:
        """Replace a value. Raises: NoNode, BadVersion, TooLarge."""

    async def delete(self, path: str, *, version: int = ANY_VERSION) -> None:
        """Delete a znode. Raises: NoNode, BadVersion, NotEmpty."""

    async def multi(self, operations: Sequence[Operation]) -> list[Stat | str | None]:
        """Do all operations or none.

        Returns: for each its result: path of a Create, Stat of a Set, None of Delete and Check.
        Raises: MultiFailed, TooLarge.
        """

    async def wait_lost(self) -> None:
        """Return when the session is lost. Never returns before."""


StoreFactory: TypeAlias = "Callable[[], AbstractAsyncContextManager[Store]]"
"""Connects a new session; leaving the context closes it (ephemerals go at once)."""
