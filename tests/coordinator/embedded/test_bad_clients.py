"""The embedded server and clients that are wrong, deaf or too many."""

from __future__ import annotations

import random
import struct
from contextlib import suppress

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from coordinator.embedded.jute import frame, pack_buffer, pack_string, pack_strings
from coordinator.embedded.messages import OpCode, Xid
from coordinator.znode import Code

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


# --- requests that are wrong -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "body", "error"),
    [
        (42, b"", Code.UNIMPLEMENTED),
        (OpCode.CREATE_TTL, b"", Code.UNIMPLEMENTED),
        (OpCode.GET_DATA, b"\0", Code.MARSHALLING_ERROR),
        (OpCode.GET_DATA, pack_string("/missing") + b"\0", Code.NO_NODE),
        (OpCode.CREATE, b"\x7f\xff\xff\xff", Code.MARSHALLING_ERROR),
        (OpCode.CREATE, pack_buffer(b"/\xff"), Code.MARSHALLING_ERROR),
        (OpCode.MULTI, b"\0\0\0\x01", Code.MARSHALLING_ERROR),
        (OpCode.MULTI, struct.pack("!i?i", 99, False, -1), Code.MARSHALLING_ERROR),
        (OpCode.CHECK_WATCHES, pack_string("/") + struct.pack("!i", 9), Code.MARSHALLING_ERROR),
    ],
)
async def test_a_wrong_request_is_answered_and_the_connection_goes_on(world, code, body, error):
    async with world.client() as client:
        assert await client.call(code, body) == (error, b"")
        assert await client.exists("/")


async def test_an_unknown_authentication_is_refused_and_a_known_one_accepted(world):
    async with world.client() as client:
        record = struct.pack("!i", 0) + pack_string("digest") + pack_buffer(b"user:password")
        assert await client.call(OpCode.AUTH, record, xid=Xid.AUTH) == (Code.OK, b"")

        record = struct.pack("!i", 0) + pack_string("nonsense") + pack_buffer(b"")
        assert (await client.call(OpCode.AUTH, record, xid=Xid.AUTH))[0] == Code.AUTH_FAILED
        await closed(client)


@pytest.mark.parametrize("data", [b"\x7f\xff\xff\xff", b"\xff\xff\xff\xff", frame(b"cut")])
async def test_a_lying_frame_closes_its_connection_and_no_other(world, data):
    async with world.client() as witness:
        for shaken in (False, True):
            async with world.raw() as liar:
                if shaken:
                    await liar.connect()
                await liar.stream.send_all(data)
                await closed(liar)
        assert await witness.exists("/")


async def test_the_largest_frame_is_accepted_and_one_byte_more_is_not(world):
    async with world.client() as client:
        overhead = 8 + len(create("/a"))
        value = bytes(world.config.frame_bytes_max - overhead)
        assert (await client.create("/a", value))[0] == Code.OK

        await client.stream.send_all(struct.pack("!i", world.config.frame_bytes_max + 1))
        await closed(client)


async def test_a_multi_that_fails_says_which_and_rolls_back_the_rest(world):
    def header(code, *, done=False):
        return struct.pack("!i?i", code, done, -1)

    async with world.client() as client:
        check = pack_string("/missing") + ANY
        multi = (
            (header(OpCode.CREATE) + create("/a") + header(OpCode.CHECK) + check)
            + header(OpCode.DELETE)
            + pack_string("/a")
            + ANY
            + header(-1, done=True)
        )

        error, body = await client.call(OpCode.MULTI, multi)

        assert error == Code.OK
        assert body == b"".join(
            struct.pack("!i?ii", -1, False, code, code) for code in (0, Code.NO_NODE, -2)
        ) + header(-1, done=True)
        assert not await client.exists("/a")


async def test_random_requests_are_answered_and_harm_nobody(world):
    dice = random.Random(4)
    parts = [
        pack_string("/a"),
        pack_strings(["/a", "/b"]),
        pack_buffer(None),
        struct.pack("!i?i", 1, False, -1),
        struct.pack("!i", 1),
        b"\0",
        b"\xff" * 4,
        create("/a"),
    ]
    codes = sorted({*OpCode, 99} - {OpCode.CLOSE_SESSION, OpCode.AUTH})
    async with world.client() as client, world.client() as witness:
        for _ in range(3_000):
            body = b"".join(dice.choices(parts, k=dice.randrange(5)))
            await client.call(dice.choice(codes), body[: dice.randrange(len(body) + 1)])
        assert await witness.exists("/")
    zxid = world.service.tree.zxid
    await world.crash()
    await world.start()

    assert world.service.tree.zxid == zxid


# --- bounds ----------------------------------------------------------------------------------


@pytest.mark.slow
async def test_a_client_that_does_not_read_its_events_is_disconnected(world):
    await world.crash()
    await world.start(outgoing_bytes_max=10_000)
    async with world.client() as deaf, world.client() as writer:
        await deaf.call(OpCode.ADD_WATCH, pack_string("/") + struct.pack("!i", 1))
        with trio.fail_after(30):
            while world.service.clients_attached == 2:
                await writer.create("/" + "x" * 50_000 + "-", flags=2)

        assert await writer.exists("/")


@pytest.mark.parametrize(
    "bound", [{"requests_in_flight_max": 10}, {"outgoing_bytes_max": 1 << 20}], ids=str
)
async def test_a_client_that_does_not_read_its_replies_is_not_read_from(world, bound):
    await world.crash()
    await world.start(**bound)
    async with world.client() as client:
        await client.create("/a", bytes(500_000))
        before = len(world.service.tree.nodes)

        async def ask_on_and_on():
            for number in range(100):
                await client.ask(OpCode.GET_DATA, get("/a"))
                await client.ask(OpCode.CREATE, create(f"/{number}"))

        async with trio.open_nursery() as asking:
            asking.start_soon(ask_on_and_on)
            await wait_all_tasks_blocked(0.05)
            asking.cancel_scope.cancel()

        written = len(world.service.tree.nodes) - before
        assert written < 10, "who does not read replies of 500 kB is read from on and on"


def read_in_multi(path, count):
    header, end = struct.pack("!i?i", OpCode.GET_DATA, False, -1), struct.pack("!i?i", -1, True, -1)
    return count * (header + get(path)) + end


async def test_a_multi_of_reads_that_would_be_a_huge_reply_is_refused(world):
    async with world.client() as client:
        await client.create("/big", bytes(400_000))
        await client.create("/small")

        assert (await client.call(OpCode.MULTI_READ, read_in_multi("/small", 1_000)))[0] == Code.OK
        error, body = await client.call(OpCode.MULTI_READ, read_in_multi("/big", 3))
        assert error == Code.OK
        assert len(body) > 1_200_000
        refused = await client.call(OpCode.MULTI_READ, read_in_multi("/big", 4))
        assert refused == (Code.MARSHALLING_ERROR, b"")


async def test_the_largest_znode_can_be_read_in_a_multi(world):
    async with world.client() as client:
        overhead = 8 + len(create("/a"))
        await client.create("/a", bytes(world.config.frame_bytes_max - overhead))

        assert (await client.call(OpCode.MULTI_READ, read_in_multi("/a", 1)))[0] == Code.OK


async def test_connections_beyond_the_limit_are_closed(world):
    await world.crash()
    await world.start(connections_max=1)
    async with world.client() as client:
        async with world.raw() as second:
            await closed(second)
        assert await client.exists("/")


@pytest.mark.parametrize(
    ("word", "answer"),
    [
        (b"ruok", b"imok"),
        (b"isro", b"rw"),
        (b"srvr", b"Mode: standalone"),
        (b"stat", b"Zxid: 0x"),
        (b"mntr", b"zk_znode_count\t4"),
        (b"envi", b"zookeeper.version=3.8.0"),
    ],
)
async def test_a_four_letter_word_is_answered_with_text(world, word, answer):
    async with world.raw() as client:
        await client.stream.send_all(word)
        text = b""
        while data := await client.stream.receive_some(4096):
            text += data

    assert answer in text
