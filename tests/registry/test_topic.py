"""The topic of schemas: made once brokers are there, refused where it would lose schemas."""

from __future__ import annotations

import pytest
import trio

from client import Admin, NewTopic, ResourceType
from registry.topic import UnfitTopic, ensure_topic
from simulation.cluster import simulated_cluster

BOUND_S = 300
NAME = "_schemas"


async def ensured(cluster) -> None:
    """Have the topic made or checked."""
    environment = cluster.environment("registry")
    await ensure_topic(cluster.bootstrap, NAME, replication_factor=-1, environment=environment)


async def test_brokers_that_are_not_up_yet_are_waited_for(autojump_clock):
    with trio.fail_after(BOUND_S):
        async with simulated_cluster(3) as cluster, trio.open_nursery() as nursery:
            for broker in cluster.brokers.values():
                await broker.kill()
            nursery.start_soon(ensured, cluster)
            await trio.sleep(30)
            for broker in cluster.brokers.values():
                await broker.start(wait_registered=False)
        # The nursery has ended: it was made.


async def policy_of(admin) -> str:
    """Ask how the topic is cleaned up."""
    entries = await admin.describe_configs(ResourceType.TOPIC, NAME)
    return next(entry.value for entry in entries if entry.name == "cleanup.policy")


async def test_a_new_topic_is_compacted_and_taken_as_it_is_after_that(autojump_clock):
    with trio.fail_after(BOUND_S):
        async with (
            simulated_cluster(1) as cluster,
            Admin(cluster.bootstrap, environment=cluster.environment("admin")) as admin,
        ):
            await ensured(cluster)
            assert await policy_of(admin) == "compact"
            await ensured(cluster)


@pytest.mark.parametrize(
    "configs",
    [
        {"cleanup.policy": "compact"},
        {"cleanup.policy": "compact", "retention.ms": "1000"},
        {"retention.ms": "-1", "retention.bytes": "-1"},
        {"cleanup.policy": "compact,delete", "retention.ms": "-1", "retention.bytes": "-1"},
    ],
)
async def test_a_topic_that_forgets_no_schema_is_taken_and_left_as_it_is(configs, autojump_clock):
    with trio.fail_after(BOUND_S):
        async with (
            simulated_cluster(1) as cluster,
            Admin(cluster.bootstrap, environment=cluster.environment("admin")) as admin,
        ):
            await admin.create_topic(NewTopic(NAME, 1, 1, configs))

            await ensured(cluster)

            assert await policy_of(admin) == configs.get("cleanup.policy", "delete")


@pytest.mark.parametrize(
    ("configs", "why"),
    [
        ({}, "cleanup.policy=delete with retention.ms=604800000 would forget"),
        ({"retention.ms": "-1", "retention.bytes": "9"}, "with retention.bytes=9 would forget"),
        (
            {"cleanup.policy": "compact,delete", "retention.bytes": "9"},
            "cleanup.policy=compact,delete with retention.ms=604800000 and retention.bytes=9 would",
        ),
    ],
)
async def test_a_topic_that_would_forget_schemas_is_refused_with_a_remedy_that_helps(
    configs, why, autojump_clock
):
    with trio.fail_after(BOUND_S):
        async with (
            simulated_cluster(1) as cluster,
            Admin(cluster.bootstrap, environment=cluster.environment("admin")) as admin,
        ):
            await admin.create_topic(NewTopic(NAME, 1, 1, configs))
            with pytest.raises(UnfitTopic, match=why) as refused:
                await ensured(cluster)

            assert f"'ottla topic alter {NAME} --config cleanup.policy=compact'" in str(
                refused.value
            )
            changes = {"cleanup.policy": "compact"}
            await admin.alter_configs(ResourceType.TOPIC, NAME, changes)
            await ensured(cluster)


async def test_a_topic_that_would_scatter_schemas_is_refused(autojump_clock):
    with trio.fail_after(BOUND_S):
        async with (
            simulated_cluster(1) as cluster,
            Admin(cluster.bootstrap, environment=cluster.environment("admin")) as admin,
        ):
            await admin.create_topic(NewTopic(NAME, 2, 1, {"cleanup.policy": "compact"}))

            with pytest.raises(UnfitTopic, match="2 partitions"):
                await ensured(cluster)
