"""A simulated cluster of three brokers, and a way to ask any of them anything."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from coordinator.cluster import NO_CONTROLLER
from simulation.cluster import simulated_cluster
from tests.support.asking import Asker

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


@pytest.fixture
async def ask() -> AsyncIterator[Asker]:
    async with simulated_cluster(3) as cluster:
        asker = Asker(cluster)
        first = cluster.brokers[1].broker
        assert first is not None
        await first.view.wait_for(lambda c: c.controller_id != NO_CONTROLLER, timeout_s=60)
        yield asker
