"""Brokers that are made to do what none may: each is seen at once, and ends the run."""

from __future__ import annotations

from contextlib import asynccontextmanager

import pytest
import trio
from msgspec.structs import replace

from broker.watermark import Watermark
from chaos.load import Load
from chaos.workload import Workload
from client import Admin, NewTopic
from simulation.cluster import simulated_cluster
from simulation.invariants import Invariants
from tests.cluster.orders import TOPIC, produce


@asynccontextmanager
async def looked_at():
    """A cluster with three records, the work of its clients, and who looks at it."""
    with trio.fail_after(60):
        async with simulated_cluster(3) as cluster:
            async with Admin(cluster.bootstrap, environment=cluster.environment("a")) as admin:
                await admin.create_topic(NewTopic(TOPIC, partitions=1, replication_factor=3))
            work = Workload(cluster.bootstrap, Load(TOPIC, 1, 1), environment=cluster.environment)
            seen = Invariants(cluster, work, told=lambda _: None, lag_time_max_s=30)
            trio.lowlevel.add_instrument(seen)
            await produce(cluster, [b"1", b"2", b"3"])
            yield cluster, work, seen
        trio.lowlevel.remove_instrument(seen)


def leave_the_isr(leader, _):
    leader.state = replace(leader.state, isr=leader.state.isr[1:])


def take_the_epoch_of_another(leader, follower):
    follower.state = leader.state
    follower.leadership = leader.leadership


def lower_the_watermark(leader, _):
    leader.high_watermark = Watermark(1)


def start_later(leader, _):
    leader.start_log_at(2)


@pytest.mark.parametrize(
    ("act", "broken"),
    [
        (leave_the_isr, "leader-not-in-isr: broker"),
        (take_the_epoch_of_another, "two-leaders: brokers"),
        (lower_the_watermark, "watermark-fell: orders-0 from 3 to 1"),
        (start_later, "start-moved: orders-0 starts at 2 at broker"),
    ],
    ids=lambda part: getattr(part, "__name__", ""),
)
async def test_what_no_broker_may_do_is_seen(autojump_clock, act, broken):
    async with looked_at() as (cluster, _work, seen):
        await trio.sleep(1)
        assert seen.broken is None
        here = [p for machine in cluster.brokers.values() for p in machine.replicas()]
        (leader,) = [p for p in here if p.is_leader]
        act(leader, next(p for p in here if not p.is_leader))
        await trio.sleep(30)

    assert str(seen.broken).startswith(broken)


@pytest.mark.parametrize(
    ("deleted", "broken"), [(2, "undeleted: broker"), (0, "None")], ids=["there again", "gone"]
)
async def test_what_was_deleted_and_is_there_at_a_new_leader_is_seen(
    autojump_clock, deleted, broken
):
    async with looked_at() as (cluster, work, seen):
        work.deleted[0] = deleted
        machines = cluster.brokers.values()
        (leader,) = [m for m in machines if any(p.is_leader for p in m.replicas())]
        await leader.kill()
        await trio.sleep(30)

    assert str(seen.broken).startswith(broken)
