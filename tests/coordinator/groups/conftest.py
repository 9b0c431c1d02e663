"""Sessions with the stores that groups are kept in."""

from __future__ import annotations

from contextlib import AsyncExitStack
from functools import partial

import pytest

from coordinator.bootstrap import prepare
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
async def stores(connect):
    """Two sessions with a cluster that is prepared for groups."""
    async with AsyncExitStack() as stack:
        found = [await stack.enter_async_context(connect()) for _ in range(2)]
        await prepare(found[0], new_cluster_id=lambda: "c")
        yield found
