"""A simulated SIGKILL: what a process tidies up while it ends is not done."""

from __future__ import annotations

import pytest

from broker.broker import Broker
from simulation.cluster import SimulatedBroker, simulated_cluster


@pytest.mark.parametrize(
    ("end", "is_tidied"), [(SimulatedBroker.kill, False), (SimulatedBroker.stop, True)]
)
async def test_a_killed_process_writes_nothing_any_more(
    autojump_clock, monkeypatch, end, is_tidied
):
    async with simulated_cluster(1) as cluster:
        (machine,) = cluster.brokers.values()
        await machine.kill()
        run = Broker.run

        async def run_and_tidy_up(self, **facts):
            try:
                await run(self, **facts)
            finally:
                machine.disk.write_file("data/tidied", b"up")

        monkeypatch.setattr(Broker, "run", run_and_tidy_up)
        await machine.start()

        await end(machine)

        assert machine.disk.exists("data/tidied") == is_tidied
