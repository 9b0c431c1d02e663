"""The laws of the store port, checked on every implementation of it.

Each test gets `connect`, a factory of sessions with one cluster that is empty at first; or `store`,
one session; or `sessions`, two.
"""

from __future__ import annotations

from contextlib import AsyncExitStack
from functools import partial

import pytest

from coordinator.memory import MemoryCluster
from coordinator.zookeeper import connect_zookeeper


@pytest.fixture(
    params=["memory", "embedded", pytest.param("zookeeper", marks=pytest.mark.zookeeper)]
)
def connect(request):
    """Sessions of one cluster. With a server, every test has a root of its own there."""
    if request.param == "memory":
        return MemoryCluster().connect
    server = request.getfixturevalue(request.param)
    return partial(connect_zookeeper, f"{server.hosts}/{request.node.name}")


@pytest.fixture
async def sessions(connect):
    """Two sessions with one cluster."""
    async with AsyncExitStack() as stack:
        yield [await stack.enter_async_context(connect()) for _ in range(2)]


@pytest.fixture
async def store(connect):
    """A session."""
    async with connect() as store:
        yield store


@pytest.fixture
def names():
    """List the znodes at the top, without ZooKeeper's own."""

    async def list_names(store):
        return [name for name in await store.children("/") if name != "zookeeper"]

    return list_names
