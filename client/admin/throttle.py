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
_RATES: Final = frozenset({LEADER_RATE, FOLLOWER_RATE})
_REPLICAS: Final = frozenset({LEADER_REPLICAS, FOLLOWER_REPLICAS})

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


async def has_throttle(admin: ConfigAdmin, topic: str, brokers: Iterable[int]) -> bool:
    """Say whether a topic has a throttle, or any of these brokers a rate.

    Raises: RequestError, ConnectionBroken, NoBrokerReachable, WaitTimedOut.
    """
    if await _set_of(admin, ResourceType.TOPIC, topic, _REPLICAS):
        return True
    for broker_id in sorted(brokers):
        if await _set_of(admin, ResourceType.BROKER, str(broker_id), _RATES):
            return True
    return False


async def lift_throttle(admin: ConfigAdmin, topic: str, brokers: Iterable[int]) -> bool:
    """Take a throttle away from a topic, and the rate from brokers. Returns: whether there was one.

    A broker has one rate for all that moves: it is taken away from whatever else moves there, too.
    Raises: RequestError, ConnectionBroken, NoBrokerReachable, WaitTimedOut.
    """
    lifted = await _unset(admin, ResourceType.TOPIC, topic, _REPLICAS)
    for broker_id in sorted(brokers):
        lifted |= await _unset(admin, ResourceType.BROKER, str(broker_id), _RATES)
    return lifted


async def _unset(admin: ConfigAdmin, kind: ResourceType, name: str, keys: frozenset[str]) -> bool:
    is_set = await _set_of(admin, kind, name, keys)
    if is_set:
        await admin.alter_configs(kind, name, dict.fromkeys(is_set))
    return bool(is_set)


async def _set_of(
    admin: ConfigAdmin, kind: ResourceType, name: str, keys: frozenset[str]
) -> list[str]:
    """Give those of some settings that were given at run time."""
    entries = await admin.describe_configs(kind, name)
    return [entry.name for entry in entries if entry.name in keys and entry.is_dynamic]


def _replicas(partitions: Iterable[tuple[int, Sequence[int]]]) -> str:
    return ",".join(f"{p}:{broker}" for p, brokers in partitions for broker in brokers)
