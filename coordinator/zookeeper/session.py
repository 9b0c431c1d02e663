"""One ZooKeeper session in the trio thread: requests under way, connection, lease, watches.

kazoo's thread ends here: what it learns is carried into the trio loop, in order, and none of its
callbacks does ZooKeeper work. The lease is ours: when the whole ensemble is gone kazoo says
"suspended" for ever, so the session is called lost once nothing that its leader answered is
younger than the session timeout. It is renewed by writes and by the `sync` that a task of the loop
sends every third of that time. A server that has not answered one by the next is left for another.
Must never know: paths, values, kazoo's operations.
Source: ZooKeeper programmer's guide, "ZooKeeper Sessions" and "ZooKeeper Watches".
"""

from __future__ import annotations

import math
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import structlog
import trio
from kazoo.protocol.states import KazooState

from coordinator.store import SessionLost, StoreError
from coordinator.zookeeper.answers import error_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from coordinator.store import Watch
    from coordinator.zookeeper.client import OneSessionClient, Opened
    from protocol.errors import CoordinationError

log = structlog.get_logger()

IN_FLIGHT_MAX: Final = 128
"""Requests handed to kazoo at once. A heartbeat waits behind them, so they bound its delay."""

CLOSE_TIMEOUT_S: Final = 1.0
"""How long leaving waits for the server to confirm the end of the session."""

SHORTENED_HINT: Final = "raise maxSessionTimeout of the ZooKeeper servers, or ask for less"


class _Request:
    """A request under way: its answer, and what else hangs on it."""

    __slots__ = ("_answered", "error", "renews_lease", "sent_at", "takes_slot", "value", "what")

    def __init__(self, what: str, *, renews_lease: bool, takes_slot: bool) -> None:
        self.what = what
        self.renews_lease = renews_lease
        self.takes_slot = takes_slot
        self.sent_at = trio.current_time()
        self.value: Any = None
        self.error: CoordinationError | None = None
        self._answered = trio.Event()

    def settle(self, value: Any, error: CoordinationError | None) -> None:
        self.value, self.error = value, error
        self._answered.set()

    async def wait_answered(self) -> Any:
        await self._answered.wait()
        if self.error is not None:
            raise self.error
        return self.value


class ArmedWatch:
    """A watch that a read sets: called once at most, and never once it is disarmed."""

    def __init__(self, session: Session, call: Watch) -> None:
        self._session = session
        self._call: Watch | None = call

    def hear(self, _event: Any) -> None:
        """Pass a notice on to the trio thread. Called in kazoo's thread."""
        self._session.run_in_trio(self._session.fire, self)

    def fire(self) -> None:
        """Call it, if it was not called before."""
        call, self._call = self._call, None
        if call is not None:
            call()

    def disarm(self) -> None:
        """Forget it: the read that set it has failed."""
        self._call = None
        self._session.forget(self)


class Session:
    """The life of one session. Everything here runs in the trio thread unless it says otherwise."""

    def __init__(self, client: OneSessionClient, *, session_timeout_s: float) -> None:
        self.session_id = 0
        self.session_timeout_s = session_timeout_s
        self.lease_until = math.inf
        self._client = client
        self._trio = trio.lowlevel.current_trio_token()
        self._heart = trio.CancelScope()
        self._heartbeat: Any = None  # kazoo's result: it has the answer before the loop hears it
        self._heartbeat_sent_at = -math.inf
        self._slots = trio.Semaphore(IN_FLIGHT_MAX)
        self._connected = trio.Event()
        self._connection_made = trio.lowlevel.ParkingLot()
        self._lost = trio.Event()
        self._ended_because = ""
        self._requests: set[_Request] = set()
        self._watches: set[ArmedWatch] = set()

    def start(self) -> None:
        """Begin to connect."""
        # A system task: a nursery around the caller's block would wrap all of its exceptions.
        trio.lowlevel.spawn_system_task(self._beat, name="zookeeper heartbeat")
        self._client.add_listener(self._hear_state)
        self._client.start_async()

    async def close(self) -> None:
        """End the session at the server too, where it can be reached."""
        self._end("closed by its owner")
        self._heart.cancel()
        with trio.move_on_after(CLOSE_TIMEOUT_S, shield=True):
            await trio.to_thread.run_sync(
                self._client.finish, abandon_on_cancel=True, limiter=trio.CapacityLimiter(1)
            )

    async def wait_connected(self) -> None:
        """Return when requests can be sent. Raises: SessionLost."""
        while not self._connected.is_set():
            await self._connected.wait()
        self._check_alive()

    async def wait_lost(self) -> None:
        """Return when the session is lost."""
        await self._lost.wait()

    async def call(self, what: str, send: Callable[[], Any], *, renews_lease: bool) -> Any:
        """Send a request and wait for its answer; `send` gives one of kazoo's async results.

        Only what the ensemble's leader answers renews the lease: a server that has lost its leader
        goes on answering reads for a while.
        Raises: StoreError, ConnectionLost, SessionLost.
        """
        self._check_alive()
        await self._slots.acquire()
        try:
            await self.wait_connected()
            request = self._send(what, send, renews_lease=renews_lease, takes_slot=True)
        except BaseException:
            self._slots.release()
            raise
        # A cancelled caller leaves here; the slot stays taken until kazoo is done with it.
        return await request.wait_answered()

    def arm(self, call: Watch) -> ArmedWatch:
        """Make a watch that is called at the latest when the session ends."""
        watch = ArmedWatch(self, call)
        self._watches.add(watch)
        return watch

    def fire(self, watch: ArmedWatch) -> None:
        """Call a watch."""
        self._watches.discard(watch)
        watch.fire()

    def forget(self, watch: ArmedWatch) -> None:
        """Drop a watch that must not be called any more."""
        self._watches.discard(watch)

    def run_in_trio(self, act: Callable[..., None], *facts: Any) -> None:
        """Do something in the trio thread, in the order of the calls. Called in any thread."""
        with suppress(trio.RunFinishedError):
            self._trio.run_sync_soon(act, *facts)

    def _send(
        self, what: str, send: Callable[[], Any], *, renews_lease: bool, takes_slot: bool
    ) -> _Request:
        request = _Request(what, renews_lease=renews_lease, takes_slot=takes_slot)
        result = send()
        self._requests.add(request)
        result.rawlink(partial(self.run_in_trio, self._receive, request))
        return request

    def _receive(self, request: _Request, result: Any) -> None:
        if request not in self._requests:
            return
        error = None if result.exception is None else error_of(result.exception, request.what)
        if request.renews_lease and (error is None or isinstance(error, StoreError)):
            self._renew_lease(request.sent_at)
        self._settle(request, result.value, error)

    def _settle(self, request: _Request, value: Any, error: CoordinationError | None) -> None:
        self._requests.remove(request)
        if request.takes_slot:
            self._slots.release()
        request.settle(value, error)

    async def _beat(self) -> None:
        """Show kazoo that the loop runs, renew the lease, and see it run out."""
        with self._heart:
            while self._has_lease():
                self._client.tick()
                if self._connected.is_set():
                    self._send_heartbeat()
                next_beat = trio.current_time() + self.session_timeout_s / 3
                with trio.move_on_at(min(next_beat, self.lease_until)):
                    await self._connection_made.park()

    def _send_heartbeat(self) -> None:
        """Ask the leader, or leave a server that has let the last heartbeat wait for that long.

        kazoo itself takes a server for dead only after a pause of ours with a ping unanswered: who
        sends all the time would stay with a silent one until the lease has run out.
        """
        if self._client.has_other_servers and self._is_server_silent():
            log.warning("zookeeper_server_silent", session_id=self.session_id)
            self._heartbeat = None
            self._client.leave_server()
            return
        self._send("heartbeat", self._ask_leader, renews_lease=True, takes_slot=False)

    def _ask_leader(self) -> Any:
        self._heartbeat_sent_at = trio.current_time()
        self._heartbeat = self._client.sync_async("/")
        return self._heartbeat

    def _is_server_silent(self) -> bool:
        if self._heartbeat is None or self._heartbeat.ready():
            return False
        # Less than a third: a beat may come early, where the lease was about to end.
        return trio.current_time() - self._heartbeat_sent_at > self.session_timeout_s / 4

    def _renew_lease(self, sent_at: float) -> None:
        until = sent_at + self.session_timeout_s
        self.lease_until = until if self.lease_until == math.inf else max(self.lease_until, until)

    def _has_lease(self) -> bool:
        if self._lost.is_set():
            return False
        if trio.current_time() >= self.lease_until:
            self._end(f"ZooKeeper was silent for {self.session_timeout_s:g} s")
        return not self._lost.is_set()

    def _check_alive(self) -> None:
        if not self._has_lease():
            raise self._lost_error()

    def _lost_error(self) -> SessionLost:
        return SessionLost(
            f"ZooKeeper session {self.session_id:#x} has ended ({self._ended_because}):"
            " connect a new one"
        )

    def _end(self, because: str) -> None:
        """Call the session lost: nothing is answered from here on."""
        if self._lost.is_set():
            return
        log.info("zookeeper_session_ended", session_id=self.session_id, because=because)
        self._ended_because = because
        self._client.let_go()
        self._lost.set()
        self._connected.set()  # who waits for the connection learns that there will be none
        for request in tuple(self._requests):
            self._settle(request, None, self._lost_error())
        for watch in tuple(self._watches):
            self.fire(watch)

    def _hear_state(self, state: str) -> None:
        """Pass a change of the connection on to the trio thread. Called in kazoo's thread."""
        if state == KazooState.CONNECTED:
            self.run_in_trio(self._on_connected, self._client.opened)
        elif state == KazooState.SUSPENDED:
            self.run_in_trio(self._on_suspended)
        else:
            self.run_in_trio(self._end, f"the server says {self._client.client_state.lower()}")

    def _on_connected(self, opened: Opened) -> None:
        if self._lost.is_set():
            return
        counted_on_s = self.session_timeout_s
        self.session_id, self.session_timeout_s = opened.session_id, opened.session_timeout_s
        self._renew_lease(trio.current_time() - opened.age_s())
        log.info("zookeeper_connected", session_id=self.session_id)
        if self.session_timeout_s < counted_on_s:
            log.warning(
                "zookeeper_session_timeout_shortened",
                asked_s=counted_on_s,
                granted_s=self.session_timeout_s,
                hint=SHORTENED_HINT,
            )
        self._connected.set()
        self._connection_made.unpark_all()  # the next beat was timed by what was asked for

    def _on_suspended(self) -> None:
        if not self._lost.is_set():
            log.warning("zookeeper_connection_lost", session_id=self.session_id)
            self._heartbeat = None
            self._connected = trio.Event()
