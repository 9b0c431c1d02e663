"""A registry that is started before the brokers, as all processes of a cluster are at once."""

from __future__ import annotations

import socket

import trio

from client import Environment
from coordinator.memory import MemoryCluster
from registry.assembled import RegistryConfig, open_registry


async def test_a_registry_waits_for_the_first_broker():
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))  # taken, and nobody listens
        address = f"127.0.0.1:{nobody.getsockname()[1]}"
        config = RegistryConfig(bootstrap=address, url="http://127.0.0.1:1")
        store = MemoryCluster().connect
        with trio.move_on_after(0.5) as patience:
            async with open_registry(config, environment=Environment.real(), connect_store=store):
                raise AssertionError("there is no broker")

    assert patience.cancelled_caught
