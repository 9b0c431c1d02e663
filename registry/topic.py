"""The topic that schemas are kept in: made where it is not there, checked where it is.

Must never know: what its records hold.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import structlog
import trio

from client import (
    Admin,
    ConnectionBroken,
    NewTopic,
    NoBrokerReachable,
    ResourceType,
    WaitTimedOut,
)
from protocol.errors import ErrorCode, OttlaError, RequestError

if TYPE_CHECKING:
    from client import Environment

log_events = structlog.get_logger()

PAUSE_S: Final = 0.1
COMPACTED: Final = {"cleanup.policy": "compact"}
"""What makes a topic keep the newest record of each key for ever: how a new one is made."""

KEEPS_ALL: Final = {"retention.ms": "-1", "retention.bytes": "-1"}
"""What makes a topic keep every record under the policy `delete`: as good, only longer."""

_NOT_YET: Final = frozenset(
    {
        ErrorCode.INVALID_REPLICATION_FACTOR,  # fewer brokers are up than it takes
        ErrorCode.REQUEST_TIMED_OUT,
        ErrorCode.NOT_CONTROLLER,
        ErrorCode.COORDINATOR_NOT_AVAILABLE,
        ErrorCode.BROKER_NOT_AVAILABLE,
    }
)


class UnfitTopic(OttlaError):
    """The topic is there, but would lose or scatter schemas."""


async def ensure_topic(
    bootstrap: str, name: str, *, replication_factor: int, environment: Environment
) -> None:
    """See to it that the topic is there and keeps what it is given.

    A new one gets one partition and `replication_factor` replicas, -1 for what the cluster gives
    every topic. Waits while no broker can be reached, or too few are up.
    Raises: UnfitTopic, RequestError.
    """
    told = False
    while True:
        try:
            async with Admin(bootstrap, environment=environment) as admin:
                await _make_or_check(admin, name, replication_factor)
                return
        except (ConnectionBroken, NoBrokerReachable, WaitTimedOut) as error:
            cause: OttlaError = error
        except RequestError as error:
            if error.code not in _NOT_YET:
                raise
            cause = error
        if not told:
            log_events.info("brokers_waited_for", topic=name, cause=str(cause))
            told = True
        await trio.sleep(PAUSE_S)


async def _make_or_check(admin: Admin, name: str, replication_factor: int) -> None:
    try:
        await admin.create_topic(NewTopic(name, 1, replication_factor, COMPACTED))
    except RequestError as error:
        if error.code is not ErrorCode.TOPIC_ALREADY_EXISTS:
            raise
        await _check(admin, name)
    else:
        log_events.info("topic_made", topic=name)


async def _check(admin: Admin, name: str) -> None:
    topic = (await admin.describe_topics([name]))[name]
    if len(topic.partitions) != 1:
        raise UnfitTopic(
            f"topic {name} has {len(topic.partitions)} partitions, the order of schemas takes one: "
            f"give the registry another topic"
        )
    entries = await admin.describe_configs(ResourceType.TOPIC, name)
    found = {entry.name: entry.value for entry in entries}
    policy = found.get("cleanup.policy") or ""
    limits = [f"{key}={found.get(key)}" for key in KEEPS_ALL if found.get(key) != KEEPS_ALL[key]]
    if "delete" in policy and limits:
        raise UnfitTopic(
            f"topic {name} of cleanup.policy={policy} with {' and '.join(limits)} would forget "
            f"schemas: run 'ottla topic alter {name} --config cleanup.policy=compact'"
        )
