"""`ottla cluster`: the brokers as their clients see them, their disks, what moves, what is wrong.

Must never know: processes (that is `ottla status`), requests.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click
from msgspec import Struct

from client.admin import Admin
from client.records import TopicPartition
from commands.columns import columns, count_of, mebibytes, shorten
from commands.options import cluster_options, json_option
from commands.session import run_client
from commands.topic_reassign import describe_moving, moving_table
from protocol.errors import RequestError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from client.descriptions import ClusterDescription, LogDir, Reassignment
    from client.metadata import PartitionInfo, TopicInfo


class Facts(Struct, frozen=True):
    """What a cluster's brokers say."""

    cluster: ClusterDescription
    topics: Mapping[str, TopicInfo]
    disks: Mapping[int, tuple[LogDir, ...] | RequestError]
    moving: dict[TopicPartition, Reassignment]


@click.group()
def cluster() -> None:
    """See a cluster from its clients' side, wherever its processes run.

    \b
    Example:
      $ ottla cluster describe --bootstrap kafka-1:9092
    """


@cluster.command()
@json_option
@cluster_options
def describe(*, bootstrap: str, as_json: bool) -> None:
    """Show brokers, their share and their disks, what moves, and partitions in trouble.

    LOGS is what a broker's replicas take, FREE what is left on their volumes.

    \b
    Example:
      $ ottla cluster describe
    """

    async def main() -> Facts:
        async with Admin(bootstrap) as admin:
            return Facts(
                await admin.describe_cluster(),
                await admin.describe_topics(),
                await admin.describe_log_dirs(),
                await admin.list_partition_reassignments(),
            )

    facts = run_client(main)
    if as_json:
        click.echo(json.dumps(describe_facts(facts), indent=2))
        return
    click.echo(
        f"cluster {facts.cluster.cluster_id or 'without id'},"
        f" controller {_controller(facts.cluster)}"
    )
    click.echo(brokers_table(facts))
    for line in troubles(facts):
        click.echo(line)
    if facts.moving:
        click.echo(f"{count_of(len(facts.moving), 'partition')} on the move")
        click.echo(moving_table(facts.moving))


def brokers_table(facts: Facts) -> str:
    """Write the live brokers in columns."""
    rows = [
        [
            str(one["broker"]) + ("*" if one["controller"] else ""),
            one["endpoint"],
            one["rack"] or "-",
            str(one["replicas"]),
            str(one["leaders"]),
            mebibytes(one["log_bytes"]),
            mebibytes(one["free_bytes"]),
            one["error"] or "",
        ]
        for one in map_brokers(facts)
    ]
    header = ("BROKER", "ENDPOINT", "RACK", "REPLICAS", "LEADERS", "LOGS", "FREE", "NOTE")
    return columns(header, rows)


def map_brokers(facts: Facts) -> list[dict[str, Any]]:
    """Give each live broker's share as plain values."""
    partitions = [partition for _, partition in _partitions(facts)]
    return [
        {
            "broker": broker.broker_id,
            "endpoint": str(broker.address),
            "rack": broker.rack,
            "controller": broker.broker_id == facts.cluster.controller_id,
            "replicas": sum(broker.broker_id in p.replicas for p in partitions),
            "leaders": sum(broker.broker_id == p.leader_id for p in partitions),
            **_disk(facts.disks.get(broker.broker_id, ())),
        }
        for broker in facts.cluster.brokers
    ]


def troubles(facts: Facts) -> list[str]:
    """Say in a line each how many partitions there are, have no leader, lack replicas in sync."""
    without, behind = _without_leader(facts), _under_replicated(facts)
    count = sum(len(topic.partitions) for topic in facts.topics.values())
    lines = [f"{count_of(len(facts.topics), 'topic')}, {count_of(count, 'partition')}"]
    if without:
        lines.append(f"{len(without)} WITHOUT A LEADER: {shorten(without)}")
    if behind:
        lines.append(f"{len(behind)} under-replicated: {shorten(behind)}")
    return lines


def describe_facts(facts: Facts) -> dict[str, Any]:
    """Give a cluster as plain values."""
    return {
        "cluster_id": facts.cluster.cluster_id,
        "controller_id": facts.cluster.controller_id,
        "brokers": map_brokers(facts),
        "topics": len(facts.topics),
        "partitions": sum(len(topic.partitions) for topic in facts.topics.values()),
        "partitions_without_leader": _without_leader(facts),
        "under_replicated_partitions": _under_replicated(facts),
        "moving": describe_moving(facts.moving),
    }


def _without_leader(facts: Facts) -> list[str]:
    return [str(place) for place, partition in _partitions(facts) if partition.leader_id < 0]


def _under_replicated(facts: Facts) -> list[str]:
    """Name partitions that lack replicas in sync; those on their way are not missed yet."""
    found = []
    for place, partition in _partitions(facts):
        move = facts.moving.get(place)
        missed = {*partition.replicas} - {*partition.isr} - {*(move.adding if move else ())}
        if missed:
            found.append(str(place))
    return found


def _partitions(facts: Facts) -> Iterator[tuple[TopicPartition, PartitionInfo]]:
    for name, topic in sorted(facts.topics.items()):
        for partition in topic.partitions.values():
            yield TopicPartition(name, partition.partition), partition


def _disk(found: tuple[LogDir, ...] | RequestError) -> dict[str, Any]:
    """Add up a broker's directories; what one of them cannot say is unknown in all."""
    if isinstance(found, RequestError):
        return {"log_bytes": None, "free_bytes": None, "error": str(found)}
    errors = "; ".join(str(log_dir.error) for log_dir in found if log_dir.error)
    known = bool(found) and all(log_dir.usable_bytes >= 0 for log_dir in found)
    return {
        "log_bytes": sum(log_dir.size_bytes for log_dir in found) if found else None,
        "free_bytes": sum(log_dir.usable_bytes for log_dir in found) if known else None,
        "error": errors or None,
    }


def _controller(found: ClusterDescription) -> str:
    return f"broker {found.controller_id}" if found.controller_id >= 0 else "NONE"
