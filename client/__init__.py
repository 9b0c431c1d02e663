"""A trio-native client for Kafka's protocol: producer, consumer and admin.

    async with Producer("localhost:9092") as producer:
        written = await producer.send("orders", b"one coffee", key=b"table 7")

    async with Consumer("localhost:9092", ConsumerConfig(auto_offset_reset="earliest")) as consumer:
        await consumer.assign_topics("orders")
        async for record in consumer:
            print(record.offset, record.key, record.value)

    async with Admin("localhost:9092") as admin:
        await admin.create_topic(NewTopic("orders", partitions=6, replication_factor=3))

Everything waits rather than fill memory without bound, and every error names its cause.
Modules are imported when one of their names is first used: a broker takes no more than connections
from here, and the rest would cost it a fifth of its start and 3 MB.
Must never know: the broker, the coordinator.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from client.admin import Admin, AdminConfig
    from client.consumer import Consumer, ConsumerConfig
    from client.delivery import Delivery
    from client.descriptions import (
        ClusterDescription,
        ConfigEntry,
        CreatedTopic,
        NewTopic,
        ResourceType,
    )
    from client.environment import Environment
    from client.errors import (
        ClientClosed,
        CommitFailed,
        ConnectFailed,
        ConnectionBroken,
        DeliveryFailed,
        LogTruncated,
        MemberFenced,
        NoBrokerReachable,
        NoGroup,
        NoPosition,
        NothingAssigned,
        OffsetOutOfRange,
        PartitionGone,
        ProducerFenced,
        RecordsLost,
        RecordTooLarge,
        RequestTimedOut,
        SubscriptionConflict,
        UnknownTopic,
        UnsupportedApi,
        WaitTimedOut,
    )
    from client.identity import ProducerIdentity
    from client.metadata import Broker, PartitionInfo, TopicInfo
    from client.producer import Producer, ProducerConfig
    from client.records import (
        ConsumerRecord,
        GroupMetadata,
        OffsetAndMetadata,
        OffsetAndTimestamp,
        RecordMetadata,
        TopicPartition,
    )

__all__ = [
    "Admin",
    "AdminConfig",
    "Broker",
    "ClientClosed",
    "ClusterDescription",
    "CommitFailed",
    "ConfigEntry",
    "ConnectFailed",
    "ConnectionBroken",
    "Consumer",
    "ConsumerConfig",
    "ConsumerRecord",
    "CreatedTopic",
    "Delivery",
    "DeliveryFailed",
    "Environment",
    "GroupMetadata",
    "LogTruncated",
    "MemberFenced",
    "NewTopic",
    "NoBrokerReachable",
    "NoGroup",
    "NoPosition",
    "NothingAssigned",
    "OffsetAndMetadata",
    "OffsetAndTimestamp",
    "OffsetOutOfRange",
    "PartitionGone",
    "PartitionInfo",
    "Producer",
    "ProducerConfig",
    "ProducerFenced",
    "ProducerIdentity",
    "RecordMetadata",
    "RecordTooLarge",
    "RecordsLost",
    "RequestTimedOut",
    "ResourceType",
    "SubscriptionConflict",
    "TopicInfo",
    "TopicPartition",
    "UnknownTopic",
    "UnsupportedApi",
    "WaitTimedOut",
]

_HOMES: Final = (
    "client.records",
    "client.errors",
    "client.descriptions",
    "client.metadata",
    "client.identity",
    "client.environment",
    "client.delivery",
    "client.producer",
    "client.consumer",
    "client.admin",
)
"""Where the names are, those first that the others import anyway."""


if not TYPE_CHECKING:  # to a type checker it would say that there is every name

    def __getattr__(name: str) -> Any:
        """Import modules until one has the name (PEP 562)."""
        if name in __all__:
            for home in _HOMES:
                value = getattr(import_module(home), name, None)
                if value is not None:
                    globals()[name] = value
                    return value
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
