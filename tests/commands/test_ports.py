from __future__ import annotations

import os
from pathlib import Path

import pytest

import commands.ports as ports_module
from commands.failure import CommandFailed
from commands.ports import (
    describe_holder,
    find_free,
    is_held_by_another,
    require_any_listens,
    require_free,
)

CLIENTS = Path("/proc/sys/net/ipv4/ip_local_port_range")


def test_free_ports_are_free_and_differ():
    ports = find_free("127.0.0.1", 5)

    require_free("127.0.0.1", ports)
    assert len(set(ports)) == 5


@pytest.mark.skipif(not CLIENTS.exists(), reason="not Linux")
def test_no_client_is_given_a_free_port():
    assert max(find_free("127.0.0.1", 100)) < int(CLIENTS.read_text().split()[0])


def test_more_free_ports_than_there_are_is_told_with_the_next_step(monkeypatch):
    monkeypatch.setattr(ports_module, "NOT_FOR_CLIENTS", range(20_000, 20_003))
    with pytest.raises(CommandFailed, match="of 4 are free") as caught:
        find_free("127.0.0.1", 4)

    assert "--port" in caught.value.next_step


@pytest.mark.skipif(not Path("/proc/net/tcp").exists(), reason="no /proc here")
def test_a_taken_port_is_told_with_its_holder_and_the_next_step(taken_port):
    with pytest.raises(CommandFailed) as caught:
        require_free("127.0.0.1", [taken_port])

    assert f"port {taken_port} is taken by process {os.getpid()} (" in caught.value.cause
    assert "--port" in caught.value.next_step


@pytest.mark.skipif(not Path("/proc/net/tcp").exists(), reason="no /proc here")
def test_whose_port_it_is_is_seen(taken_port):
    assert not is_held_by_another(taken_port, os.getpid())
    assert is_held_by_another(taken_port, os.getppid())
    assert not is_held_by_another(find_free("127.0.0.1", 1)[0], os.getpid())


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
