"""Waits until every broker knows a topic, or its growth: who was told of it hears it first."""

from __future__ import annotations

import trio

from protocol.api.metadata import MetadataRequest, MetadataRequestTopic
from protocol.errors import ErrorCode
from tests.support.groups.bare_member import connect_to

PATIENCE_S = 60.0
PAUSE_S = 0.02


def wait_known(bootstrap: str, topic: str, *, partitions: int = 1) -> None:
    """Wait until each of these brokers shows a topic as wide as this, every partition led."""
    for address in bootstrap.split(","):
        trio.run(_wait_known_by, address, topic, partitions)


async def _wait_known_by(address: str, topic: str, partitions: int) -> None:
    request = MetadataRequest([MetadataRequestTopic(name=topic)], allow_auto_topic_creation=False)
    with trio.fail_after(PATIENCE_S):
        async with connect_to(address) as connection:
            while True:
                (found,) = (await connection.call(request)).topics
                led = [p for p in found.partitions if p.leader_id >= 0]
                if not found.error_code and len(led) == len(found.partitions) >= partitions:
                    return
                assert found.error_code in {ErrorCode.NONE, ErrorCode.UNKNOWN_TOPIC_OR_PARTITION}
                await trio.sleep(PAUSE_S)
