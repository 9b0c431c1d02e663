"""A scripted cluster, and the faults that its brokers can be told to have."""

from __future__ import annotations

import pytest
import trio

from tests.support.fake_admin import FakeAdminCluster
from tests.support.fake_cluster import FakeCluster, Fault


@pytest.fixture
async def cluster(nursery: trio.Nursery) -> FakeCluster:
    """Three brokers, no topic."""
    fake = FakeCluster(nursery, brokers=3)
    for broker_id in fake.broker_ids:
        await fake.start(broker_id)
    return fake


@pytest.fixture
async def admin_cluster(nursery: trio.Nursery) -> FakeAdminCluster:
    """Three brokers that keep groups, and can be asked about disks and moving replicas."""
    fake = FakeAdminCluster(nursery, brokers=3)
    for broker_id in fake.broker_ids:
        await fake.start(broker_id)
    return fake


@pytest.fixture
def faults() -> type[Fault]:
    """What `cluster.script` takes."""
    return Fault
