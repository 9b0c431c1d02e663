"""How topics are shown: what is asked for, tables for people, plain values for JSON.

Must never know: how topics are changed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import trio

from client.admin import Admin
from client.descriptions import ConfigSource, ResourceType
from commands.columns import columns, count_of
from commands.session import run_client
from protocol.errors import RequestError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from client.descriptions import CreatedTopic
    from client.metadata import PartitionInfo, TopicInfo

FLUSH: Final = "ottla.flush"
LOOKUPS_AT_ONCE: Final = 32


def describe_topics(
    bootstrap: str, names: Iterable[str] | None
) -> tuple[list[dict[str, Any]], list[RequestError]]:
    """Describe topics with their settings, sorted by name, or all; and say why others cannot be.

    Raises: OttlaError.
    """

    async def main() -> tuple[list[dict[str, Any]], list[RequestError]]:
        async with Admin(bootstrap) as admin:
            topics, refused = await find_topics(admin, names)
            settings = await _settings(admin, topics)
        return [_describe(topics[name], *settings[name]) for name in sorted(topics)], refused

    return run_client(main)


async def find_topics(
    admin: Admin, names: Iterable[str] | None
) -> tuple[dict[str, TopicInfo], list[RequestError]]:
    """Look up topics, one at a time so that each gets its own answer. Raises: NoBrokerReachable."""
    if names is None:
        return await admin.describe_topics(), []
    topics: dict[str, TopicInfo] = {}
    refused: list[RequestError] = []
    for name in dict.fromkeys(names):
        try:
            topics |= await admin.describe_topics([name])
        except RequestError as error:
            refused.append(error)
    return topics, refused


Settings = tuple[dict[str, str | None], dict[str, str | None]]
"""All settings of a topic, and those that it has of its own."""


async def _settings(admin: Admin, names: Iterable[str]) -> dict[str, Settings]:
    found: dict[str, Settings] = {}
    limit = trio.CapacityLimiter(LOOKUPS_AT_ONCE)

    async def look_up(name: str) -> None:
        async with limit:
            entries = await admin.describe_configs(ResourceType.TOPIC, name)
        found[name] = (
            {entry.name: entry.value for entry in entries},
            {entry.name: entry.value for entry in entries if entry.source is ConfigSource.TOPIC},
        )

    async with trio.open_nursery() as nursery:
        for name in names:
            nursery.start_soon(look_up, name)
    return found


def _describe(
    info: TopicInfo, config: dict[str, str | None], changed: dict[str, str | None]
) -> dict[str, Any]:
    return {
        "name": info.name,
        "topic_id": info.topic_id.hex(),
        "internal": info.is_internal,
        "flush": config.get(FLUSH),
        "partitions": [_describe_partition(p) for p in info.partitions.values()],
        "config": config,
        "changed_config": changed,
    }


def _describe_partition(info: PartitionInfo) -> dict[str, Any]:
    return {
        "partition": info.partition,
        "leader": info.leader_id if info.leader_id >= 0 else None,
        "leader_epoch": info.leader_epoch,
        "replicas": list(info.replicas),
        "isr": list(info.isr),
    }


def describe_created(created: CreatedTopic) -> dict[str, Any]:
    """Give a new topic as plain values."""
    return {
        "name": created.name,
        "topic_id": created.topic_id.hex(),
        "partitions": created.partitions,
        "replication_factor": created.replication_factor,
    }


def tell_created(created: CreatedTopic) -> str:
    """Give a new topic as a line of text."""
    return (
        f"created {created.name}: {count_of(created.partitions, 'partition')},"
        f" {count_of(created.replication_factor, 'replica')} each"
    )


def summarize(described: dict[str, Any]) -> dict[str, Any]:
    """Give what a list of topics says of one."""
    partitions = described["partitions"]
    return {
        "name": described["name"],
        "partitions": len(partitions),
        "replication_factor": max((len(one["replicas"]) for one in partitions), default=0),
        "flush": described["flush"],
    }


def show(described: dict[str, Any]) -> str:
    """Write a topic: a headline, the settings of its own, its partitions."""
    partitions = [
        [
            str(one["partition"]),
            "NONE" if one["leader"] is None else str(one["leader"]),
            str(one["leader_epoch"]),
            _numbers(one["replicas"]),
            _numbers(one["isr"]),
        ]
        for one in described["partitions"]
    ]
    settings = [f"{key}={value}" for key, value in sorted(described["changed_config"].items())]
    title = f"{described['name']}: {count_of(len(partitions), 'partition')}"
    if described["flush"] is not None:  # other brokers than Ottla's have no such setting
        title += f", flush {described['flush']}"
    return "\n".join(
        [
            f"{title}, id {described['topic_id']}",
            *(f"  {setting}" for setting in settings if not setting.startswith(FLUSH)),
            columns(("PARTITION", "LEADER", "EPOCH", "REPLICAS", "ISR"), partitions),
        ]
    )


def _numbers(numbers: list[int]) -> str:
    return ",".join(map(str, numbers)) or "-"
