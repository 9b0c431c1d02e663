"""The embedded server on the wire: sessions, order, durability, bounds."""

from __future__ import annotations

import struct
from contextlib import suppress

import pytest
import trio
import trio.testing

from coordinator.embedded.jute import pack_buffer, pack_string, pack_strings
from coordinator.embedded.messages import OpCode, Xid
from coordinator.znode import Code
from protocol.errors import StorageError

ANY = struct.pack("!i", -1)


def get(path, *, watch=False):
    return pack_string(path) + bytes([watch])


def create(path, value=b"", *, flags=0):
    acl = struct.pack("!ii", 1, 31) + pack_string("world") + pack_string("anyone")
    return pack_string(path) + pack_buffer(value) + acl + struct.pack("!i", flags)


async def closed(client):
    """Wait until the server has closed the connection."""
    with trio.fail_after(60), suppress(trio.EndOfChannel, trio.BrokenResourceError):
        while True:
            await client.receive()


# --- handshake and sessions ------------------------------------------------------------------


async def test_an_old_client_gets_no_read_only_byte(world):
    async with world.raw() as client:
        await client.send(struct.pack("!iqiq", 0, 0, 6_000, 0) + pack_buffer(bytes(16)))

        response = await client.receive()

        assert len(response) == 36
        assert struct.unpack_from("!ii", response) == (0, 6_000)


@pytest.mark.parametrize(("asked_ms", "agreed_ms"), [(0, 1_000), (99_000, 40_000)])
async def test_the_session_timeout_is_agreed(world, asked_ms, agreed_ms):
    async with world.client(timeout_ms=asked_ms) as client:
        assert client.timeout_ms == agreed_ms


async def test_a_session_survives_its_connection_and_keeps_its_ephemerals(world):
    async with world.client() as client:
        await client.create("/e", flags=1)
    async with world.client(session_id=client.session_id, password=client.password) as again:
        assert again.session_id == client.session_id
        assert await again.exists("/e")


async def test_a_session_is_given_to_nobody_without_its_password(world):
    async with world.client() as client:
        for session_id, password in ((client.session_id, b"x" * 16), (client.session_id + 1, b"")):
            async with world.raw() as thief:
                assert not await thief.connect(session_id=session_id, password=password)
                assert (thief.session_id, thief.password) == (0, bytes(16))
                await closed(thief)
        assert await client.exists("/")


async def test_a_session_moves_to_its_newest_connection(world):
    async with (
        world.client() as old,
        world.client(session_id=old.session_id, password=old.password) as new,
    ):
        await closed(old)
        assert await new.exists("/")


async def test_a_client_that_has_seen_more_is_turned_away(world):
    async with world.raw() as client:
        with pytest.raises(trio.EndOfChannel):
            await client.connect(seen_zxid=1_000)


async def test_a_silent_session_expires_at_its_timeout_and_a_pinging_one_does_not(
    autojump_clock, world
):
    async with world.client(timeout_ms=5_000) as silent, world.client(timeout_ms=5_000) as witness:
        await silent.create("/e", flags=1)
        began = trio.current_time()
        while await witness.exists("/e"):
            await trio.sleep(0.5)
            assert await witness.call(OpCode.PING, xid=Xid.PING) == (Code.OK, b"")

        assert trio.current_time() - began == pytest.approx(5.0, abs=0.5)
        await closed(silent)
        async with world.raw() as late:
            assert not await late.connect(session_id=silent.session_id, password=silent.password)


async def test_closing_a_session_deletes_its_ephemerals_answers_and_closes(world):
    async with world.client() as witness, world.client() as client:
        await client.create("/e", flags=1)
        assert await client.call(OpCode.CLOSE_SESSION) == (Code.OK, b"")
        await closed(client)

        assert not await witness.exists("/e")


async def test_a_connection_without_a_handshake_is_closed(autojump_clock, world):
    async with world.raw() as client:
        await closed(client)

    assert trio.current_time() == pytest.approx(world.config.handshake_timeout_s)


# --- order and durability --------------------------------------------------------------------


async def test_pipelined_requests_are_answered_in_order_and_see_those_before_them(world):
    async with world.client() as client:
        for number in range(50):
            await client.ask(OpCode.CREATE, create(f"/{number}"))
            await client.ask(OpCode.EXISTS, get(f"/{number}"))

        replies = [await client.reply() for _ in range(100)]

        assert [xid for xid, *_ in replies] == list(range(1, 101))
        assert {error for _, _, error, _ in replies} == {Code.OK}


async def test_nobody_hears_of_a_write_before_it_is_durable(autojump_clock, world):
    async with world.client() as writer, world.client() as reader:
        await reader.exists("/a", watch=True)
        world.disk.sync_latency_s = lambda: 1.0
        await writer.ask(OpCode.CREATE, create("/a"))
        await trio.testing.wait_all_tasks_blocked(0.01)
        await reader.ask(OpCode.EXISTS, get("/a"))
        await reader.reply()

        assert trio.current_time() >= 1.0
        assert reader.events == [(1, "/a")]


async def test_an_event_comes_before_the_reply_that_shows_its_change(world):
    async with world.client() as writer, world.client() as reader:
        await writer.create("/a", b"1")
        await reader.call(OpCode.GET_DATA, get("/a", watch=True))
        await writer.call(OpCode.SET_DATA, pack_string("/a") + pack_buffer(b"2") + ANY)
        _, body = await reader.call(OpCode.GET_DATA, get("/a"))

        assert body[:5] == pack_buffer(b"2")
        assert reader.events == [(3, "/a")]


async def test_what_was_acknowledged_survives_a_crash_with_sessions_and_ephemerals(world):
    async with world.client() as client:
        for path, flags in (("/a", 0), ("/e", 1)):
            assert (await client.create(path, flags=flags))[0] == Code.OK
        await world.crash()
    await world.start()

    async with world.client(session_id=client.session_id, password=client.password) as again:
        assert await again.exists("/a")
        assert await again.exists("/e")
        assert (await again.create("/b"))[0] == Code.OK


async def test_a_restored_session_has_its_whole_timeout_again(autojump_clock, world):
    async with world.client(timeout_ms=5_000) as client:
        await client.create("/e", flags=1)
        await trio.sleep(4)
        await world.crash()
    await world.start()
    await trio.sleep(4.5)

    assert "/e" in world.service.tree.nodes
    await trio.sleep(1)
    assert "/e" not in world.service.tree.nodes


async def test_snapshots_let_old_journals_go_and_lose_nothing(world):
    await world.crash()
    await world.start(snapshot_transactions=10)
    async with world.client() as client:
        for number in range(95):
            await client.create(f"/{number}")
    await trio.testing.wait_all_tasks_blocked()
    journals = [name for name in world.disk.list("data") if name.startswith("journal")]
    snapshots = [name for name in world.disk.list("data") if name.startswith("snapshot")]
    assert len(journals) <= 2
    assert len(snapshots) == 1

    await world.crash()
    await world.start()
    assert world.service.tree.count_descendants("/") == 95 + 3


async def test_time_in_which_the_disk_stood_still_counts_against_no_session(autojump_clock, world):
    async with world.client(timeout_ms=5_000) as client, world.client() as writer:
        await client.create("/e", flags=1)
        world.disk.sync_latency_s = lambda: 30.0
        await writer.ask(OpCode.CREATE, create("/slow"))
        await writer.reply()
        world.disk.sync_latency_s = lambda: 0.0

        assert await client.exists("/e")


async def test_a_directory_is_served_once(world):
    with pytest.RaisesGroup(pytest.RaisesExc(StorageError, match="in use"), flatten_subgroups=True):
        async with trio.open_nursery() as nursery:
            await nursery.start(world.serve_again)


async def test_a_disk_that_fails_ends_the_server_and_acknowledges_nothing(world):
    async with world.client() as client:
        world.disk.fail_next_sync()
        await client.ask(OpCode.CREATE, create("/a"))
        await closed(client)

    assert isinstance(await world.ended(), StorageError)


# --- watches ---------------------------------------------------------------------------------


async def test_watches_go_with_their_connection_and_are_set_again_on_the_next(world):
    async with world.client() as other:
        async with world.client() as client:
            await client.create("/a")
            await client.exists("/a", watch=True)
            seen_zxid = world.service.tree.zxid
        await other.call(OpCode.SET_DATA, pack_string("/a") + pack_buffer(b"2") + ANY)
        assert len(world.service.tree.watches) == 0
        async with world.client(session_id=client.session_id, password=client.password) as again:
            watches = pack_strings(["/a"]) + pack_strings(["/b"]) + pack_strings(["/"])
            record = struct.pack("!q", seen_zxid) + watches
            assert await again.call(OpCode.SET_WATCHES, record, xid=Xid.SET_WATCHES) == (0, b"")
            assert again.events == [(3, "/a")]
            await other.create("/b")
            await again.exists("/")

            assert again.events[1:] == [(1, "/b"), (4, "/")]


async def test_a_persistent_watch_stays_until_it_is_removed(world):
    async with world.client() as client:
        recursive = struct.pack("!i", 1)
        any_type = struct.pack("!i", 3)
        await client.call(OpCode.ADD_WATCH, pack_string("/") + recursive)
        for path in ("/a", "/a/b"):
            await client.create(path)
        assert client.events == [(1, "/a"), (1, "/a/b")]

        for error in (Code.OK, Code.NO_WATCHER):
            record = pack_string("/") + any_type
            assert (await client.call(OpCode.REMOVE_WATCHES, record))[0] == error
        await client.create("/c")
        assert len(client.events) == 2
