"""Brokers are asked what they lead: leaders, epochs and high watermarks come into the history."""

from __future__ import annotations

import trio

from chaos.checker import check
from chaos.history import Led, Partition, Watermark
from chaos.leadership import LOOK_EVERY_S, Leadership
from chaos.liveness import wait_read, wait_written
from chaos.load import Load
from chaos.workload import Workload
from client import Admin, NewTopic
from simulation.cluster import SimulatedCluster, simulated_cluster

PLACE = Partition("orders", 0)


async def create(cluster: SimulatedCluster) -> None:
    async with Admin(cluster.bootstrap, environment=cluster.environment("admin")) as admin:
        await admin.create_topic(NewTopic(PLACE.topic, partitions=1, replication_factor=3))


async def test_leaders_are_seen_in_each_epoch_and_how_far_they_have_come(autojump_clock):
    async with simulated_cluster(3) as cluster, trio.open_nursery() as nursery:
        await create(cluster)
        load = Load(PLACE.topic, partitions=1, seed=1)
        work = Workload("broker-1:9092", load, environment=cluster.environment)
        done = trio.Event()
        nursery.start_soon(Leadership(work).watch, "watcher")
        nursery.start_soon(lambda: work.write("producer", until=done))
        await wait_written(work)
        await trio.sleep(2 * LOOK_EVERY_S)
        (first,) = [one for one in work.history if isinstance(one, Led)]
        await cluster.brokers[first.broker_id].kill()
        await trio.sleep(10)
        done.set()
        await trio.sleep(2)
        history = work.history
        nursery.cancel_scope.cancel()

    led = [one for one in history if isinstance(one, Led)]
    marks = [one for one in history if isinstance(one, Watermark)]
    assert [one.epoch for one in led] == [first.epoch, first.epoch + 1]
    assert led[1].broker_id != first.broker_id
    assert marks[-1].offset == work.acknowledged[0] + 1
    assert marks[-1].broker_id == led[1].broker_id
    assert [one for one in check(history) if one.name in ("two-leaders", "watermark-fell")] == []


async def test_readers_are_waited_for_until_they_have_come_to_the_end(autojump_clock):
    async with simulated_cluster(3) as cluster, trio.open_nursery() as nursery:
        await create(cluster)
        load = Load(PLACE.topic, partitions=1, seed=1)
        work = Workload(cluster.bootstrap, load, environment=cluster.environment)
        done = trio.Event()
        nursery.start_soon(work.read, "reader")
        nursery.start_soon(lambda: work.write("producer", until=done))
        await wait_written(work)
        done.set()
        await trio.sleep(2)
        end = work.acknowledged[0] + 1

        await wait_read(work, ["reader"], {0: end})
        with trio.move_on_after(60) as beyond:
            await wait_read(work, ["reader"], {0: end + 1})
        with trio.move_on_after(60) as nobody:
            await wait_read(work, ["reader", "somebody"], {0: end})
        nursery.cancel_scope.cancel()

    assert beyond.cancelled_caught
    assert nobody.cancelled_caught
