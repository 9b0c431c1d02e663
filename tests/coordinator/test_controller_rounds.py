"""Requests that one round decides: what each is told where they are about the same topic."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
import trio

from coordinator.errors import UnknownTopic
from coordinator.events import ConfigChecks, IsrChange, NewTopic
from coordinator.membership import tell_offline
from protocol.errors import ErrorCode, RequestError
from tests.support.controllers import Cluster, create, started

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable


async def in_one_round(cluster: Cluster, *asked: Callable[[], Awaitable[Any]]) -> list[Any]:
    """Ask for all in this order while a round is being written. Returns: what each was told."""
    controller = cluster.nodes[1].controller
    outcomes: list[Any] = [None] * len(asked)

    async def ask(number: int, call: Callable[[], Awaitable[Any]]) -> None:
        try:
            outcomes[number] = await call()
        except RequestError as error:
            outcomes[number] = error

    cluster.memory.latency = partial(trio.sleep, 0.05)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(create, controller, "on-its-way")
        for number, call in enumerate(asked):
            await trio.sleep(0.001)
            nursery.start_soon(ask, number, call)
    cluster.memory.latency = None
    return outcomes


async def test_a_topic_that_is_created_and_deleted_is_answered_to_both(autojump_clock):
    async with started(1, 2, 3) as (cluster, nodes):
        controller = nodes[0].controller
        created, deleted = await in_one_round(
            cluster,
            partial(controller.create_topics, [NewTopic("t", 1, 3)]),
            partial(controller.delete_topics, ["t"]),
        )

        assert created["t"].topic_id == deleted["t"].topic_id
        assert "t" not in nodes[0].watcher.state.topics


async def test_a_topic_that_is_replaced_is_not_taken_for_its_successor(autojump_clock):
    async with started(1, 2, 3) as (cluster, nodes):
        controller = nodes[0].controller
        await controller.create_topics([NewTopic("t", partition_count=3, replication_factor=3)])
        state = nodes[0].watcher.state
        topic = state.topics["t"]
        before = topic.partitions[2]
        leader = state.brokers[before.leader_id]
        change = IsrChange(
            topic_id=topic.topic_id,
            partition=2,
            leader_epoch=before.leader_epoch,
            partition_epoch=before.partition_epoch,
            isr={each: state.brokers[each].broker_epoch for each in before.isr[:2]},
        )

        (proposed,), deleted, created = await in_one_round(
            cluster,
            partial(controller.alter_partitions, leader.broker_id, leader.broker_epoch, [change]),
            partial(controller.delete_topics, ["t"]),
            partial(controller.create_topics, [NewTopic("t", 1, 3)]),
        )

        assert proposed.isr == before.isr[:2]
        assert deleted["t"].topic_id == topic.topic_id
        assert created["t"].topic_id != topic.topic_id


@pytest.mark.parametrize("comes_again", [False, True])
async def test_a_deletion_by_id_spares_whoever_took_the_name(autojump_clock, comes_again):
    async with started(1, 2, 3) as (cluster, nodes):
        controller = nodes[0].controller
        await create(controller, "t")
        old_id = nodes[0].watcher.state.topics["t"].topic_id
        makes = [partial(controller.create_topics, [NewTopic("t", 1, 3)])] if comes_again else []

        *_, refused = await in_one_round(
            cluster,
            partial(controller.delete_topics, ["t"]),
            *makes,
            partial(controller.delete_topics, ["t"], topic_ids={"t": old_id}),
        )

        assert refused["t"].code is ErrorCode.UNKNOWN_TOPIC_ID
        assert ("t" in nodes[0].watcher.state.topics) is comes_again


async def test_a_decision_that_fails_is_refused_and_ends_no_controller(autojump_clock):
    async with started(1, 2, 3) as (_, nodes):
        controller = nodes[0].controller
        controller._checks = ConfigChecks(topic=lambda config: 1 / len(config))

        with pytest.raises(RequestError, match="ZeroDivisionError"):
            await controller.create_topics([NewTopic("t", 1, 3)])

        controller._checks = ConfigChecks()
        await create(controller, "t")
        with pytest.raises(UnknownTopic):
            raise (await controller.delete_topics(["none"]))["none"]


async def test_what_a_broker_says_of_its_replicas_outlives_its_shutdown(autojump_clock):
    async with started(1, 2, 3) as (cluster, nodes):
        controller, leaving = nodes[0].controller, nodes[1].registration
        await create(controller, "t")
        offline = frozenset({(bytes(range(16)), 0)})
        cluster.memory.latency = partial(trio.sleep, 0.05)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(tell_offline, nodes[1].store, leaving, offline)
            await trio.sleep(0.08)  # it has read what it writes
            nursery.start_soon(controller.controlled_shutdown, 2, leaving.broker_epoch)
        cluster.memory.latency = None

        state = await cluster.until(nodes[0], lambda s: s.brokers[2].shutting_down)

        assert state.brokers[2].offline == offline
