"""Throttling the replication of partitions that move, with the settings that Kafka has for it.

A rate is set at every broker that takes part, and the topic says which replicas it is for.
Must never know: reassignments, how brokers keep to a rate. Source: KIP-73.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Final

from client.descriptions import ResourceType

if TYPE_CHECKING:
    from client.admin.configs import ConfigAdmin

LEADER_RATE: Final = "leader.replication.throttled.rate"
FOLLOWER_RATE: Final = "follower.replication.throttled.rate"
LEADER_REPLICAS: Final = "leader.replication.throttled.replicas"
FOLLOWER_REPLICAS: Final = "follower.replication.throttled.replicas"

Placement = Mapping[int, Sequence[int]]
"""The replicas of each partition."""


async def set_throttle(
    admin: ConfigAdmin, topic: str, *, rate: int, before: Placement, after: Placement
) -> None:
    """Have what moves from `before` to `after` take at most `rate` bytes/s at each broker.

    Raises: RequestError, ConnectionBroken, NoBrokerReachable, WaitTimedOut.
    """
    coming = {p: [b for b in after[p] if b not in before[p]] for p in after}
    replicas: dict[str, str | None] = {
        LEADER_REPLICAS: _replicas((p, before[p]) for p in after),
        FOLLOWER_REPLICAS: _replicas(coming.items()),
    }
    await admin.alter_configs(ResourceType.TOPIC, topic, replicas)
    rates: dict[str, str | None] = {LEADER_RATE: str(rate), FOLLOWER_RATE: str(rate)}
    for broker_id in sorted({b for p in after for b in (*before[p], *after[p])}):
        await admin.alter_configs(ResourceType.BROKER, str(broker_id), rates)


async def lift_throttle(admin: ConfigAdmin, topic: str, brokers: Iterable[int]) -> bool:
    """Take a throttle away from a topic, and the rate from brokers. Returns: whether there was one.

    Raises: RequestError, ConnectionBroken, NoBrokerReachable, WaitTimedOut.
    """
    lifted = await _unset(admin, ResourceType.TOPIC, topic, {LEADER_REPLICAS, FOLLOWER_REPLICAS})
    for broker_id in sorted(brokers):
        rates = {LEADER_RATE, FOLLOWER_RATE}
        lifted |= await _unset(admin, ResourceType.BROKER, str(broker_id), rates)
    return lifted


async def _unset(admin: ConfigAdmin, kind: ResourceType, name: str, keys: set[str]) -> bool:
    entries = await admin.describe_configs(kind, name)
    is_set = {entry.name: None for entry in entries if entry.name in keys and entry.is_dynamic}
    if is_set:
        await admin.alter_configs(kind, name, is_set)
    return bool(is_set)


def _replicas(partitions: Iterable[tuple[int, Sequence[int]]]) -> str:
    return ",".join(f"{p}:{broker}" for p, brokers in partitions for broker in brokers)
