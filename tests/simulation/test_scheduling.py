from __future__ import annotations

import pytest
import trio
from trio.testing import MockClock

from client import Admin, NewTopic, Producer
from simulation.cluster import simulated_cluster
from simulation.scheduling import deterministic_scheduling, virtual_clock


def order_of_tasks(seed: int) -> list[int]:
    async def main() -> list[int]:
        ran: list[int] = []

        async def note(number: int) -> None:
            for _ in range(3):
                await trio.lowlevel.checkpoint()
                ran.append(number)

        async with trio.open_nursery() as nursery:
            for number in range(20):
                nursery.start_soon(note, number)
        return ran

    with deterministic_scheduling(seed):
        return trio.run(main)


def test_one_seed_gives_one_order_and_another_seed_another():
    assert order_of_tasks(1) == order_of_tasks(1)
    assert order_of_tasks(1) != order_of_tasks(2)


def times_of(deadlines: list[float], *, tick_s: float) -> list[float]:
    async def main() -> list[float]:
        woken: list[float] = []

        async def wait(deadline: float) -> None:
            await trio.sleep_until(deadline)
            woken.append(trio.current_time())

        async with trio.open_nursery() as nursery:
            for deadline in deadlines:
                nursery.start_soon(wait, deadline)
        return sorted(woken)

    return trio.run(main, clock=virtual_clock(tick_s=tick_s))


def test_what_comes_due_between_two_ticks_happens_at_once():
    due = [0.001, 0.03, 0.049, 0.05, 0.051, 0.31]

    assert times_of(due, tick_s=0) == pytest.approx(due)
    ticked = times_of(due, tick_s=0.05)
    assert ticked == pytest.approx([0.05, 0.05, 0.05, 0.05, 0.1, 0.35])
    assert len(set(ticked)) == 3


def story(seed: int) -> list[tuple[float, object]]:
    async def main() -> list[tuple[float, object]]:
        told: list[tuple[float, object]] = []
        async with simulated_cluster(3, seed=seed) as cluster:
            environment = cluster.environment("client")
            async with Admin(cluster.bootstrap, environment=environment) as admin:
                await admin.create_topic(NewTopic("t", partitions=3, replication_factor=3))
                described = await admin.describe_topics(["t"])
            told.append((trio.current_time(), described))
            async with Producer(cluster.bootstrap, environment=environment) as producer:
                for number in range(20):
                    written = await producer.send("t", b"%d" % number)
                    told.append((trio.current_time(), written))
                await cluster.brokers[1].kill()
                told.append((trio.current_time(), await producer.send("t", b"after")))
        return told

    with deterministic_scheduling(seed):
        return trio.run(main, clock=MockClock(autojump_threshold=0))


def test_a_whole_cluster_tells_the_same_story_twice():
    assert story(7) == story(7)
