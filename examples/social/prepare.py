"""What must be there before the services begin: topics, and the first version of each schema.

Must never know: services.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from client import Admin, NewTopic
from client.schema_registry import RegistrySchema, SchemaRegistry
from protocol.errors import ErrorCode, RequestError

from .contracts import EVENT_PARTITIONS, EVENTS, RESULTS, event_schema, schema_text

if TYPE_CHECKING:
    from .service import Settings

RETENTION: Final = {
    "retention.ms": str(6 * 3_600_000),
    "retention.bytes": str(64 * 1024 * 1024),
    "segment.bytes": str(16 * 1024 * 1024),
}
"""However long the demo runs, its disk stays small."""


async def prepare(settings: Settings) -> None:
    """Create topics and register schemas that are not there yet.

    Raises: RequestError, SchemaRegistryError, SchemaRegistryUnreachable.
    """
    topics = [NewTopic(EVENTS, partitions=EVENT_PARTITIONS, configs=RETENTION)]
    topics += [NewTopic(topic, partitions=1, configs=RETENTION) for topic in RESULTS]
    async with Admin(settings.bootstrap) as admin:
        for new in topics:
            try:
                await admin.create_topic(new)
            except RequestError as error:
                if error.code is not ErrorCode.TOPIC_ALREADY_EXISTS:
                    raise
    async with SchemaRegistry(settings.registry) as registry:
        known = await registry.call("GET", "/subjects")
        for topic in RESULTS:
            await registry.register(f"{topic}-value", RegistrySchema(schema_text(topic)))
        if f"{EVENTS}-value" not in known:
            await registry.register(f"{EVENTS}-value", RegistrySchema(event_schema(1)))
