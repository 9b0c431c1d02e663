"""The ZooKeeper store when the connection breaks, the server dies and the loop stands still."""

from __future__ import annotations

import time
from contextlib import asynccontextmanager
from functools import partial

import pytest
import trio
import trio.testing
from kazoo.client import KazooClient
from kazoo.protocol.states import KeeperState

from coordinator.retry import until_answered
from coordinator.store import ConnectionLost, SessionLost
from coordinator.zookeeper import connect_zookeeper
from coordinator.zookeeper.client import OneSessionClient
from coordinator.zookeeper.session import IN_FLIGHT_MAX

PATIENCE_S = 10.0
SHORT_S = 0.6
IDLE_S = 2.0
"""Of a session that is to live: its pings must come in time on a busy machine, too."""


class Relay:
    """A TCP relay that can be cut, silenced and healed."""

    def __init__(self, target_port, listener):
        self.hosts = f"127.0.0.1:{listener.socket.getsockname()[1]}"
        self._target_port = target_port
        self._flowing = trio.Event()
        self._flowing.set()
        self._connections = set()

    async def carry(self, client):
        """Relay one connection until it ends or is cut."""
        with trio.CancelScope() as scope:
            self._connections.add(scope)
            try:
                async with (
                    client,
                    await trio.open_tcp_stream("127.0.0.1", self._target_port) as server,
                    trio.open_nursery() as nursery,
                ):
                    nursery.start_soon(self._pump, client, server, nursery)
                    nursery.start_soon(self._pump, server, client, nursery)
            except (trio.BrokenResourceError, OSError):
                pass
            finally:
                self._connections.discard(scope)

    async def _pump(self, source, sink, nursery):
        try:
            async for data in source:
                await self._flowing.wait()
                await sink.send_all(data)
        except trio.BrokenResourceError:
            pass
        nursery.cancel_scope.cancel()

    @property
    def is_used(self):
        """Say whether there is a connection."""
        return bool(self._connections)

    def silence(self):
        """Let nothing through any more, of old connections and new ones."""
        self._flowing = trio.Event()

    def heal(self):
        """Let everything through again."""
        self._flowing.set()

    def cut(self):
        """Close all connections; new ones are welcome."""
        for scope in self._connections:
            scope.cancel()


@asynccontextmanager
async def open_relay(port):
    async with trio.open_nursery() as nursery:
        (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
        relay = Relay(port, listener)
        nursery.start_soon(partial(trio.serve_listeners, relay.carry, [listener]))
        yield relay
        nursery.cancel_scope.cancel()


@pytest.fixture
async def relay(port):
    async with open_relay(port) as relay:
        yield relay


async def outcome_of(call, outcomes):
    try:
        outcomes.append(await call())
    except (ConnectionLost, SessionLost) as error:
        outcomes.append(type(error))


# --- a broken connection ---------------------------------------------------------------------


async def test_a_call_under_way_when_the_connection_breaks_has_an_unknown_outcome(relay, root):
    outcomes = []
    async with connect_zookeeper(relay.hosts + root) as store:
        session_id = store.session_id
        await store.create("/e", ephemeral=True)
        relay.silence()
        async with trio.open_nursery() as nursery:
            for _ in range(3):
                nursery.start_soon(outcome_of, partial(store.set, "/e", b"1"), outcomes)
            await trio.testing.wait_all_tasks_blocked()
            relay.cut()
            relay.heal()

        assert outcomes == [ConnectionLost] * 3
        # The first attempt to connect again may break as well, and what is asked with it.
        with trio.fail_after(PATIENCE_S):
            stat = await until_answered(partial(store.exists, "/e"))
        assert stat.owner == store.session_id == session_id


async def test_a_broken_connection_calls_all_watches_once_and_the_holders_read_again(
    relay, root, make_bell
):
    bells = [make_bell() for _ in range(3)]
    async with connect_zookeeper(relay.hosts + root) as store:
        await store.create("/a", b"1")
        await store.get("/a", watch=bells[0])
        await store.exists("/missing", watch=bells[1])
        await store.children("/", watch=bells[2])
        relay.cut()
        for bell in bells:
            await bell.wait()

        again = make_bell()
        with trio.fail_after(PATIENCE_S):
            assert (await store.get("/a", watch=again))[0] == b"1"
            await store.set("/a", b"2")
        await again.wait()
        assert [bell.count for bell in bells] == [1, 1, 1]


async def test_calls_without_a_connection_wait_for_it_and_leave_the_loop_running(
    relay, root, make_bell
):
    outcomes = []
    async with connect_zookeeper(relay.hosts + root) as store:
        lost_connection = make_bell()
        await store.create("/a")
        await store.get("/a", watch=lost_connection)
        relay.silence()
        relay.cut()
        await lost_connection.wait()
        async with trio.open_nursery() as nursery:
            for _ in range(3 * IN_FLIGHT_MAX):
                nursery.start_soon(outcome_of, partial(store.get, "/a"), outcomes)
            with trio.fail_after(PATIENCE_S):
                await trio.testing.wait_all_tasks_blocked(0.05)
            assert outcomes == []
            relay.heal()

    assert [value for value, _ in outcomes] == [b""] * 3 * IN_FLIGHT_MAX


async def test_more_calls_than_kazoo_takes_leave_the_loop_running_when_silence_falls(relay, root):
    outcomes = []
    async with connect_zookeeper(relay.hosts + root) as store:
        await store.create("/a")
        relay.silence()
        async with trio.open_nursery() as nursery:
            for _ in range(3 * IN_FLIGHT_MAX):
                nursery.start_soon(outcome_of, partial(store.get, "/a"), outcomes)
            with trio.fail_after(PATIENCE_S):
                await trio.testing.wait_all_tasks_blocked(0.05)
            relay.cut()
            relay.heal()

    assert len(outcomes) == 3 * IN_FLIGHT_MAX


async def test_a_call_that_was_cancelled_without_a_connection_is_not_sent_later(
    relay, root, make_bell
):
    async with connect_zookeeper(relay.hosts + root) as store:
        gone = make_bell()
        await store.exists("/a", watch=gone)
        relay.silence()
        relay.cut()
        await gone.wait()
        with trio.move_on_after(0.05):
            await store.create("/a")
        relay.heal()
        with trio.fail_after(PATIENCE_S):
            assert await store.exists("/a") is None


async def test_requests_pile_up_in_kazoo_without_blocking_who_sends_them():
    (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
    async with listener:
        client = OneSessionClient(f"127.0.0.1:{listener.socket.getsockname()[1]}", SHORT_S)
        client.start_async()
        client._state = KeeperState.CONNECTING
        results = [client.exists_async("/") for _ in range(1_000)]
        await trio.to_thread.run_sync(client.finish)

    assert all(result.ready() for result in results)


async def test_the_session_moves_to_another_server_when_its_own_falls_silent(port, root):
    async with open_relay(port) as one, open_relay(port) as other:
        hosts = f"{one.hosts},{other.hosts}{root}"
        async with connect_zookeeper(hosts, session_timeout_s=2.0) as store:
            session_id = store.session_id
            await store.create("/e", ephemeral=True)
            silent = one if one.is_used else other
            silent.silence()
            with pytest.raises(ConnectionLost), trio.fail_after(PATIENCE_S):
                await store.set("/e", b"1")
            # A read may meet the old connection once more, which is why nobody reads without this.
            with trio.fail_after(PATIENCE_S):
                stat = await until_answered(partial(store.exists, "/e"))

            assert stat.owner == store.session_id == session_id


async def test_who_sends_all_the_time_moves_on_from_a_silent_server_within_the_lease(port, root):
    outcomes = []
    async with open_relay(port) as one, open_relay(port) as other:
        hosts = f"{one.hosts},{other.hosts}{root}"
        async with connect_zookeeper(hosts, session_timeout_s=3.0) as store:
            session_id = store.session_id
            await store.create("/e", ephemeral=True)
            (one if one.is_used else other).silence()
            async with trio.open_nursery() as nursery:
                with trio.fail_after(PATIENCE_S):
                    while not outcomes:
                        nursery.start_soon(outcome_of, partial(store.get, "/e"), outcomes)
                        await trio.sleep(0.1)
            with trio.fail_after(PATIENCE_S):
                stat = await until_answered(partial(store.exists, "/e"))

            assert stat.owner == store.session_id == session_id


# --- the lease -------------------------------------------------------------------------------


@pytest.mark.slow
async def test_silence_longer_than_the_session_timeout_ends_the_session_by_our_own_clock(
    relay, root, make_bell
):
    bell, outcomes = make_bell(), []
    async with connect_zookeeper(relay.hosts + root, session_timeout_s=IDLE_S) as store:
        await store.exists("/a", watch=bell)
        await store.set("/", b"")
        lease = store.lease_until
        relay.silence()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(outcome_of, partial(store.create, "/a"), outcomes)
            with trio.fail_after(PATIENCE_S):
                await store.wait_lost()
            assert lease <= store.lease_until <= trio.current_time()
            await bell.wait()

        with pytest.raises(SessionLost, match="silent"):
            await store.exists("/a")
    # In flight when the connection was given up, or still waiting when the lease ran out.
    assert outcomes in ([ConnectionLost], [SessionLost])


@pytest.mark.slow
async def test_an_idle_session_is_kept_alive_far_beyond_its_timeout(port, root):
    async with connect_zookeeper(f"127.0.0.1:{port}{root}", session_timeout_s=IDLE_S) as store:
        opened_at = trio.current_time()
        await store.create("/e", ephemeral=True)
        while trio.current_time() < opened_at + 2 * IDLE_S:
            lease = store.lease_until
            assert trio.current_time() < lease <= trio.current_time() + IDLE_S
            await trio.sleep_until(lease - IDLE_S / 4)
            assert store.lease_until > lease

        assert (await store.exists("/e")).owner == store.session_id


async def test_writes_renew_the_lease_and_reads_do_not(port, root):
    async with connect_zookeeper(f"127.0.0.1:{port}{root}", session_timeout_s=30) as store:
        lease = store.lease_until
        await store.get("/")
        assert store.lease_until == lease
        await store.set("/", b"")
        assert store.lease_until > lease


async def test_the_granted_session_timeout_is_told(port):
    async with connect_zookeeper(f"127.0.0.1:{port}", session_timeout_s=0.1) as store:
        assert store.session_timeout_s > 0.1


async def test_a_session_that_the_server_has_expired_is_lost_and_kazoo_opens_no_second(
    port, root, make_bell
):
    bell = make_bell()
    async with connect_zookeeper(f"127.0.0.1:{port}{root}") as store:
        client = store._client
        await store.exists("/a", watch=bell)
        thief = KazooClient(f"127.0.0.1:{port}", client_id=client.client_id)
        await trio.to_thread.run_sync(thief.start)
        await trio.to_thread.run_sync(thief.stop)
        await trio.to_thread.run_sync(thief.close)
        with trio.fail_after(PATIENCE_S):
            await store.wait_lost()
        with pytest.raises(SessionLost, match="expired"):
            await store.create("/a")
        await bell.wait()
        assert await trio.to_thread.run_sync(client._connection.connection_stopped.wait, PATIENCE_S)


# --- a loop that stands still ----------------------------------------------------------------


@pytest.mark.slow
async def test_a_blocked_loop_loses_its_session(port, root):
    hosts = f"127.0.0.1:{port}"
    observer = KazooClient(hosts)
    await trio.to_thread.run_sync(observer.start)
    try:
        async with connect_zookeeper(hosts + root, session_timeout_s=IDLE_S) as store:
            await store.create("/e", ephemeral=True)
            blocked_at = time.monotonic()
            while observer.exists(root + "/e"):  # blocks the loop
                assert time.monotonic() - blocked_at < PATIENCE_S
                time.sleep(0.02)  # noqa: ASYNC251  # blocking is the point

            with pytest.raises(SessionLost):
                await store.exists("/e")
    finally:
        await trio.to_thread.run_sync(observer.stop)
        await trio.to_thread.run_sync(observer.close)


@pytest.mark.zookeeper
async def test_a_blocked_loop_does_not_reconnect_its_session(mortal_zookeeper):
    async with connect_zookeeper(mortal_zookeeper.hosts, session_timeout_s=IDLE_S) as store:
        await store.create("/e", ephemeral=True)
        mortal_zookeeper.kill()  # the loop is blocked from here
        mortal_zookeeper.start()
        observer = KazooClient(mortal_zookeeper.hosts)
        observer.start()
        try:
            restarted_at = time.monotonic()
            while observer.exists("/e"):
                assert time.monotonic() - restarted_at < PATIENCE_S
                time.sleep(0.02)  # noqa: ASYNC251  # blocking is the point
        finally:
            observer.stop()
            observer.close()
        with pytest.raises(SessionLost):
            await store.exists("/e")


# --- a server that dies ----------------------------------------------------------------------


@pytest.mark.zookeeper
async def test_a_server_that_restarts_within_the_session_timeout_finds_the_same_session(
    mortal_zookeeper,
):
    async with connect_zookeeper(mortal_zookeeper.hosts, session_timeout_s=20) as store:
        session_id = store.session_id
        await store.create("/e", b"1", ephemeral=True)
        await trio.to_thread.run_sync(mortal_zookeeper.kill)
        await trio.to_thread.run_sync(mortal_zookeeper.start)
        with trio.fail_after(PATIENCE_S):
            value, stat = await store.get("/e")

        assert (value, stat.owner, store.session_id) == (b"1", session_id, session_id)
        assert (await store.set("/e", b"2", version=0)).version == 1


@pytest.mark.zookeeper
async def test_a_server_that_stands_still_costs_the_session_and_closing_does_not_wait_for_it(
    mortal_zookeeper,
):
    try:
        async with connect_zookeeper(mortal_zookeeper.hosts, session_timeout_s=SHORT_S) as store:
            mortal_zookeeper.pause()
            with trio.fail_after(PATIENCE_S):
                await store.wait_lost()
            closing_at = trio.current_time()
        assert trio.current_time() - closing_at < 2
    finally:
        mortal_zookeeper.resume()
