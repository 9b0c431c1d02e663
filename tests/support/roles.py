"""Who is who in a cluster: asked anew each time, by our own client, so that no news is old.

(librdkafka's admin client can wait for ever for a broker that was away for a while.)
"""

from __future__ import annotations

import trio

from client import Admin, ConnectionBroken, NoBrokerReachable
from tests.support.groups.bare_member import connect_to, find_coordinator

PATIENCE_S = 120.0
PAUSE_S = 0.05


def owner_of(bootstrap: str, group: str) -> int:
    """Return the port of the broker that has a group."""
    return trio.run(_owner_of, bootstrap, group)


def controller_of(bootstrap: str) -> int:
    """Return the id of the active controller, as a client is told."""
    return trio.run(_controller_of, bootstrap)


def leader_of(bootstrap: str, topic: str) -> int:
    """Return the id of the leader of a topic's first partition."""
    return trio.run(_leader_of, bootstrap, topic)


def wait_in_sync(bootstrap: str, topic: str, *, replicas: int = 3) -> None:
    """Wait until every partition of a topic has so many replicas in sync."""
    trio.run(_wait_in_sync, bootstrap, topic, replicas)


async def _owner_of(bootstrap: str, group: str) -> int:
    addresses = bootstrap.split(",")
    with trio.fail_after(PATIENCE_S):
        for attempt in range(1_000_000):
            try:
                async with connect_to(addresses[attempt % len(addresses)]) as connection:
                    found = await find_coordinator(connection, group)
                async with connect_to(found):  # It may be dead, and not yet known to be.
                    return int(found.rpartition(":")[2])
            except ConnectionBroken:
                await trio.sleep(PAUSE_S)
    raise AssertionError("fail_after has raised")


async def _controller_of(bootstrap: str) -> int:
    async with Admin(bootstrap) as admin:
        return (await admin.describe_cluster()).controller_id


async def _leader_of(bootstrap: str, topic: str) -> int:
    async with Admin(bootstrap) as admin:
        return (await admin.describe_topics([topic]))[topic].partitions[0].leader_id


async def _wait_in_sync(bootstrap: str, topic: str, replicas: int) -> None:
    with trio.fail_after(PATIENCE_S):
        while not await _is_in_sync(bootstrap, topic, replicas):  # noqa: ASYNC110 - others decide
            await trio.sleep(PAUSE_S)


async def _is_in_sync(bootstrap: str, topic: str, replicas: int) -> bool:
    try:
        async with Admin(bootstrap) as admin:
            described = (await admin.describe_topics([topic]))[topic]
    except NoBrokerReachable:
        return False
    return all(len(partition.isr) >= replicas for partition in described.partitions.values())
