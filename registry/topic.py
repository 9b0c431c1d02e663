"""The topic that schemas are kept in: made where it is not there, checked where it is.

Must never know: what its records hold.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import structlog
import trio

from client import ConnectionBroken, NewTopic, NoBrokerReachable, ResourceType, WaitTimedOut
from protocol.errors import ErrorCode, OttlaError, RequestError

if TYPE_CHECKING:
    from client import Admin

log_events = structlog.get_logger()

PAUSE_S: Final = 0.1
KEEPS_ALL: Final = {"retention.ms": "-1", "retention.bytes": "-1"}
"""What makes a topic keep every record. Our brokers do not compact yet, and refuse to be asked."""

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


async def ensure_topic(admin: Admin, name: str, *, replication_factor: int) -> None:
    """See to it that the topic is there and keeps what it is given.

    A new one gets one partition and `replication_factor` replicas, -1 for what the cluster gives
    every topic. Waits while too few brokers are up. Raises: UnfitTopic, RequestError.
    """
    topic = NewTopic(name, 1, replication_factor, KEEPS_ALL)
    told = False
    while True:
        try:
            await admin.create_topic(topic)
        except RequestError as error:
            if error.code is ErrorCode.TOPIC_ALREADY_EXISTS:
                break
            if error.code not in _NOT_YET:
                raise
            if not told:
                log_events.info("topic_cannot_be_made_yet", topic=name, cause=str(error))
                told = True
        except (ConnectionBroken, NoBrokerReachable, WaitTimedOut) as error:
            log_events.info("topic_cannot_be_made_yet", topic=name, cause=str(error))
        else:
            log_events.info("topic_made", topic=name)
            return
        await trio.sleep(PAUSE_S)
    await _check(admin, name)


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
    forgets = "delete" in policy and any(
        found.get(key) != value for key, value in KEEPS_ALL.items()
    )
    if forgets:
        raise UnfitTopic(
            f"topic {name} has cleanup.policy={policy} and would forget schemas: run "
            f"'ottla topic alter {name} --set retention.ms=-1 --set retention.bytes=-1', or set "
            f"cleanup.policy=compact where the brokers know it"
        )
