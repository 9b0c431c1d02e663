"""A sync that fails, at whatever moment: nothing counts as durable because of the next one."""

from __future__ import annotations

import pytest
import trio

from broker.log.directory import DataDirectory
from simulation.cluster import SimulatedBroker
from tests.cluster.orders import consume, produce
from tests.cluster.test_faults_in_memory import cluster_of, create, numbered

VALUES = numbered(3)


def trusts_syncs(machine: SimulatedBroker) -> bool:
    return DataDirectory(machine.disk, "data").trusts_syncs()


async def test_what_a_failed_recovery_has_dropped_is_written_again(autojump_clock):
    async with cluster_of(1) as cluster, trio.open_nursery() as nursery:
        await create(cluster)
        (machine,) = cluster.brokers.values()
        quick, machine.disk.sync_latency_s = machine.disk.sync_latency_s, lambda: 10.0
        nursery.start_soon(produce, cluster, VALUES)
        await trio.sleep(5)
        await machine.kill()  # the first record is in the kernel's memory alone
        machine.disk.sync_latency_s = quick
        machine.disk.fail_next_sync()
        await machine.start()
        assert len(list(machine.broker.partitions.offline())) == 1

        await machine.kill()
        await machine.start()
        assert await consume(cluster, 3) == VALUES
        await machine.kill(power=True)
        await machine.start()

        assert await consume(cluster, 3) == VALUES


@pytest.mark.parametrize("stops", [False, True], ids=["at a new topic", "at the stop"])
async def test_a_broker_that_ends_by_a_failed_sync_leaves_word_of_it(autojump_clock, stops):
    async with cluster_of(1) as cluster:
        (machine,) = cluster.brokers.values()
        if stops:
            await create(cluster)
            await produce(cluster, VALUES)
        assert trusts_syncs(machine)
        machine.disk.fail_next_sync()

        if stops:
            await machine.stop()
        else:
            with trio.move_on_after(5):
                await create(cluster)
        await machine.wait_ended()

        assert machine.failure is not None
        assert not trusts_syncs(machine)
        machine.disk.fail_next_sync(0)
        await machine.start()
        assert trusts_syncs(machine), "all has been written again"
