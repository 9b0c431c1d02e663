"""The service behind the wire: tree, journal, sessions and who is attached to them.

Must never know: sockets, the wire format.
"""

from __future__ import annotations

import hmac
from typing import TYPE_CHECKING, NamedTuple, Protocol

import structlog
import trio

from coordinator.embedded.journal import Entry, Journal
from coordinator.embedded.packing import pack_tree
from coordinator.embedded.sessions import SessionClocks, agree_timeout_ms
from coordinator.embedded.snapshot import write_snapshot
from coordinator.znode import NO_OWNER, CloseSession, OpenSession, SweepContainers, Transaction

if TYPE_CHECKING:
    from collections.abc import Callable

    from coordinator.embedded.config import EmbeddedConfig
    from coordinator.embedded.journal import JournalDisk
    from coordinator.tree import Applied, Tree
    from coordinator.watches import Event
    from coordinator.znode import Operation

PASSWORD_BYTES = 16
_SESSION_ID_BITS = 62
_SWEEP_INTERVAL_S = 60.0
_STALL_TOLERATED_S = 0.25
"""Time in which nobody is heard or answered counts against no session if it is longer."""

log = structlog.get_logger()


class Randomness(Protocol):
    """What the service needs of a `random.Random`."""

    def getrandbits(self, k: int, /) -> int:
        """Give a number of `k` random bits."""

    def randbytes(self, n: int) -> bytes:
        """Give `n` random bytes."""


class Client(Protocol):
    """A connection as the service sees it. It is also the watcher that the tree knows."""

    def notify(self, event: Event) -> None:
        """Queue a watch event."""

    def finish(self) -> None:
        """Close once everything queued has been sent."""

    def drop(self, reason: str) -> None:
        """Close at once."""


class OpenedSession(NamedTuple):
    """A session as its client gets to know it."""

    session_id: int
    timeout_ms: int
    password: bytes


class _Snapshot(NamedTuple):
    """A snapshot to be written, and the journal files that it makes superfluous."""

    zxid: int
    packed: bytes
    journals: list[str]


class Service:
    """Applies what clients ask for, and keeps it."""

    def __init__(
        self,
        tree: Tree[Client],
        *,
        disk: JournalDisk,
        wall_ms: Callable[[], int],
        random: Randomness,
        config: EmbeddedConfig,
    ) -> None:
        self.tree = tree
        self.config = config
        self.journal = Journal(
            disk,
            config.directory,
            zxid=tree.zxid,
            pending_bytes_max=config.pending_bytes_max,
            on_durable=self._after_sync,
        )
        self._disk = disk
        self._wall_ms = wall_ms
        self._random = random
        self._clocks = SessionClocks()
        self._clients: dict[int, Client] = {}
        self._snapshot: _Snapshot | None = None
        self._snapshot_due = trio.Event()
        self._session_opened = trio.Event()
        now = trio.current_time()
        for session_id, session in tree.sessions.items():
            self._clocks.start(session_id, timeout_s=session.timeout_ms / 1000, now=now)

    @property
    def clients_attached(self) -> int:
        """Sessions that have a connection now."""
        return len(self._clients)

    async def run(self) -> None:
        """Write the journal and snapshots, expire sessions. Raises: StorageError in a group."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self.journal.run)
            nursery.start_soon(self._write_snapshots)
            nursery.start_soon(self._expire_sessions)
            nursery.start_soon(self._sweep_containers)

    def write(self, session_id: int, operation: Operation) -> Applied[Client]:
        """Apply an operation, journal it and tell the watchers.

        Nobody may hear of it before `journal.durable_zxid` has reached its zxid: what clients
        queue now is held back until then. Raises: Refused, MultiRefused.
        """
        transaction = Transaction(session_id, self._wall_ms(), operation)
        applied = self.tree.apply(transaction)
        self.journal.append(Entry(applied.zxid, transaction))
        for watcher, event in applied.notices:
            watcher.notify(event)
        return applied

    # Sessions.

    def open_session(self, client: Client, *, timeout_ms: int) -> OpenedSession:
        """Open a session for a client."""
        timeout_ms = agree_timeout_ms(
            timeout_ms,
            min_ms=round(self.config.session_timeout_min_s * 1000),
            max_ms=round(self.config.session_timeout_max_s * 1000),
        )
        session_id = self._unused_session_id()
        password = self._random.randbytes(PASSWORD_BYTES)
        self.write(session_id, OpenSession(timeout_ms, password))
        self._clocks.start(session_id, timeout_s=timeout_ms / 1000, now=trio.current_time())
        self._session_opened.set()
        self._clients[session_id] = client
        log.info("session_opened", session_id=f"{session_id:#x}", timeout_ms=timeout_ms)
        return OpenedSession(session_id, timeout_ms, password)

    def attach(self, client: Client, *, session_id: int, password: bytes) -> OpenedSession | None:
        """Attach a client that has come back; None if the session is gone or not its own."""
        session = self.tree.sessions.get(session_id)
        if session is None or not hmac.compare_digest(session.password, password):
            log.info("session_refused", session_id=f"{session_id:#x}", known=session is not None)
            return None
        earlier = self._clients.get(session_id)
        if earlier is not None:
            earlier.drop("session attached to a newer connection")
        self._clients[session_id] = client
        self.touch(session_id)
        log.info("session_attached", session_id=f"{session_id:#x}")
        return OpenedSession(session_id, session.timeout_ms, session.password)

    def detach(self, client: Client, *, session_id: int) -> None:
        """Forget a connection that is gone; its session lives on."""
        self.tree.watches.remove_watcher(client)
        if self._clients.get(session_id) is client:
            del self._clients[session_id]

    def touch(self, session_id: int) -> None:
        """Note that a session's client has been heard."""
        self._clocks.touch(session_id, now=trio.current_time())

    def close_session(self, session_id: int) -> None:
        """End a session: its ephemeral znodes go. Its client is left to the caller."""
        self._clocks.stop(session_id)
        self.write(session_id, CloseSession())

    def _unused_session_id(self) -> int:
        while True:
            session_id = self._random.getrandbits(_SESSION_ID_BITS)
            if session_id and session_id not in self.tree.sessions:
                return session_id

    async def _expire_sessions(self) -> None:
        while True:
            self._session_opened = trio.Event()
            deadline = self._clocks.next_deadline()
            with trio.move_on_at(deadline):
                await self._session_opened.wait()
                continue
            now = trio.current_time()
            if now - deadline > _STALL_TOLERATED_S:
                # This process stood still: what clients have sent meanwhile is yet to be read.
                log.warning("server_stalled", seconds=round(now - deadline, 3))
                self._clocks.restart(now=now)
                continue
            # Should the disk stand still, sessions are postponed when it goes on.
            await self.journal.wait_durable(self.tree.zxid)
            for session_id in self._clocks.due(trio.current_time()):
                self._expire(session_id)

    def _expire(self, session_id: int) -> None:
        log.info("session_expired", session_id=f"{session_id:#x}")
        self.close_session(session_id)
        client = self._clients.pop(session_id, None)
        if client is not None:
            client.drop("session expired")

    async def _sweep_containers(self) -> None:
        while True:
            await trio.sleep(_SWEEP_INTERVAL_S)
            if any(node.sweepable for node in self.tree.nodes.values()):
                self.write(NO_OWNER, SweepContainers())

    # Snapshots.

    def _after_sync(self, sync_s: float) -> None:
        """Make up for a slow sync; begin a snapshot when the journal has grown enough."""
        if sync_s > _STALL_TOLERATED_S:
            log.warning("disk_slow", sync_s=round(sync_s, 3))
            self._clocks.postpone(sync_s - _STALL_TOLERATED_S)
        grown = (
            self.journal.transactions_in_file >= self.config.snapshot_transactions
            or self.journal.bytes_in_file >= self.config.snapshot_bytes
        )
        if grown and self._snapshot is None:
            journals = self.journal.roll()
            self._snapshot = _Snapshot(self.tree.zxid, pack_tree(self.tree), journals)
            self._snapshot_due.set()

    async def _write_snapshots(self) -> None:
        while True:
            await self._snapshot_due.wait()
            self._snapshot_due = trio.Event()
            snapshot = self._snapshot
            assert snapshot is not None, "due means that there is one"
            await write_snapshot(
                self._disk, self.config.directory, zxid=snapshot.zxid, packed=snapshot.packed
            )
            for path in snapshot.journals:
                self._disk.remove(path)
            self._snapshot = None
            log.info("snapshot_written", zxid=f"{snapshot.zxid:#x}", bytes=len(snapshot.packed))
