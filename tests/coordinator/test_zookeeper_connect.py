"""Connecting the ZooKeeper store: which servers, which root, and what is said where it fails."""

from __future__ import annotations

import pytest
import trio

from coordinator.store import Create, Delete, Set
from coordinator.zookeeper import connect_zookeeper
from protocol.errors import CoordinationError

PATIENCE_S = 10.0


async def refuse_to_connect(hosts, match):
    with pytest.raises(CoordinationError, match=match):
        async with connect_zookeeper(hosts, connect_timeout_s=0.3):
            pytest.fail("connected to nobody")


async def test_where_nobody_listens_the_error_names_the_hosts_and_the_next_step():
    (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
    port = listener.socket.getsockname()[1]
    await listener.aclose()

    await refuse_to_connect(f"127.0.0.1:{port}", f"127.0.0.1:{port} .*start it")


async def test_a_server_that_accepts_and_says_nothing_gives_no_session():
    (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
    async with listener:
        await refuse_to_connect(f"127.0.0.1:{listener.socket.getsockname()[1]}", "gave a session")


async def test_a_host_without_an_address_gives_no_session():
    await refuse_to_connect("nowhere.invalid:2181", "nowhere.invalid:2181 gave")


@pytest.mark.parametrize("hosts", ["", "host:port", "/only/a/path"])
async def test_what_names_no_servers_is_refused_at_once(hosts):
    await refuse_to_connect(hosts, "write host:port")


async def test_the_first_server_that_answers_is_taken(port):
    (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
    dead = listener.socket.getsockname()[1]
    await listener.aclose()

    with trio.fail_after(PATIENCE_S):
        async with connect_zookeeper(f"127.0.0.1:{dead},127.0.0.1:{port}") as store:
            assert store.session_id


async def test_a_root_is_created_and_all_paths_are_below_it(port, root):
    hosts = f"127.0.0.1:{port}"
    async with (
        connect_zookeeper(f"{hosts}{root}/deep/er/") as below,
        connect_zookeeper(hosts) as above,
    ):
        path, _ = await below.create("/a", b"1")
        numbered, _ = await below.create("/n-", sequence=True)
        results = await below.multi([Create("/b"), Set("/", b"2", version=0), Delete("/a")])

        assert (path, numbered, results[0]) == ("/a", "/n-0000000001", "/b")
        assert await below.children("/") == ["b", "n-0000000001"]
        assert await above.children(f"{root}/deep/er") == ["b", "n-0000000001"]
        assert (await above.get(f"{root}/deep/er"))[0] == b"2"
