from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from commands.failure import CommandFailed
from commands.ports import describe_holder, find_free, require_any_listens, require_free


@pytest.fixture
def taken_port():
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def test_free_ports_are_free_and_differ():
    ports = find_free("127.0.0.1", 5)

    require_free("127.0.0.1", ports)
    assert len(set(ports)) == 5


@pytest.mark.skipif(not Path("/proc/net/tcp").exists(), reason="no /proc here")
def test_a_taken_port_is_told_with_its_holder_and_the_next_step(taken_port):
    with pytest.raises(CommandFailed) as caught:
        require_free("127.0.0.1", [taken_port])

    assert f"port {taken_port} is taken by process {os.getpid()} (" in caught.value.cause
    assert "--port" in caught.value.next_step


def test_a_port_that_nobody_holds_has_no_holder():
    assert describe_holder(find_free("127.0.0.1", 1)[0]) == ""


@pytest.mark.parametrize("port", [0, 65_536])
def test_a_port_that_cannot_be_is_refused(port):
    with pytest.raises(CommandFailed, match=f"port {port} does not exist"):
        require_free("127.0.0.1", [port])


def test_one_of_several_servers_is_enough(taken_port):
    require_any_listens(f"127.0.0.1:1,127.0.0.1:{taken_port}/root/path")


def test_where_no_server_listens_each_is_told_with_its_reason():
    with pytest.raises(CommandFailed) as caught:
        require_any_listens("127.0.0.1:1,nonsense")

    assert "127.0.0.1:1: connection refused, 'nonsense' is not host:port" in caught.value.cause
