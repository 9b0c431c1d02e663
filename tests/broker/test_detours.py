"""Detours: who takes which, and what is refused."""

from __future__ import annotations

import pytest
import trio

from broker.config import BrokerConfig
from broker.detours import Detour, DetouredNetwork, detour_servers, detours_of, parse_detours
from broker.errors import ConfigError
from simulation.network import MemoryNetwork

TEXT = "1>127.0.0.1:9093=20001, 2>127.0.0.1:9092=20002, 1>zoo:2181=20003"


def test_every_broker_takes_its_own_detours():
    assert detours_of(1, TEXT) == {("127.0.0.1", 9093): 20001, ("zoo", 2181): 20003}
    assert detours_of(2, TEXT) == {("127.0.0.1", 9092): 20002}
    assert detours_of(3, TEXT) == {}


def test_a_detour_is_written_as_it_is_read():
    detour = Detour(1, "127.0.0.1", 9093, detour_port=20001)

    assert parse_detours(str(detour)) == (detour,)


def test_servers_with_a_detour_are_replaced_and_the_path_stays():
    detours = detours_of(1, TEXT)

    assert detour_servers("other:2181, zoo:2181/a/b", detours) == "other:2181,127.0.0.1:20003/a/b"
    assert detour_servers("zoo", detours) == "zoo"


@pytest.mark.parametrize("text", ["1>h:1", "h:1=2", "1>h=2", "1>h:0=2", "1>h:1=65536", "x>h:1=2"])
def test_what_cannot_be_read_is_refused(text):
    with pytest.raises(ConfigError, match="detour"):
        BrokerConfig.parse({"ottla.fault.injection": "true", "ottla.fault.detours": text})


def test_detours_are_for_brokers_that_may_be_broken_on_purpose():
    with pytest.raises(ConfigError, match=r"needs ottla\.fault\.injection=true"):
        BrokerConfig.parse({"ottla.fault.detours": TEXT})


async def test_a_connection_with_a_detour_ends_at_the_proxy(autojump_clock):
    memory = MemoryNetwork()
    host = memory.host("here")
    network = DetouredNetwork(host, {("127.0.0.1", 9093): 20001})
    proxy = await network.listen("127.0.0.1", 20001)
    straight = await network.listen("127.0.0.1", 9092)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(network.connect, "127.0.0.1", 9093)
        await proxy.accept()
        nursery.start_soon(network.connect, "127.0.0.1", 9092)
        await straight.accept()
    with pytest.raises(ConnectionRefusedError):
        await network.connect("127.0.0.1", 9094)
