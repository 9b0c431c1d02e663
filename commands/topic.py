"""`ottla topic`: create, list, describe, alter and delete topics.

Must never know: requests, the controller.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

import click
import trio

from client.admin import Admin
from client.descriptions import DEFAULT, CreatedTopic, NewTopic, ResourceType
from commands.columns import columns, count_of
from commands.failure import CommandFailed
from commands.options import INT16_MAX, INT32_MAX, Pair, cluster_options, json_option
from commands.session import run_client
from protocol.errors import ErrorCode, RequestError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from client.metadata import PartitionInfo, TopicInfo

FLUSH: Final = "ottla.flush"
LOOKUPS_AT_ONCE: Final = 32
PARTITIONS: Final = click.IntRange(1, INT32_MAX)
NO_TOPICS: Final = "there are no topics; make one with 'ottla topic create'"

NEXT_STEPS: Final = {
    ErrorCode.TOPIC_ALREADY_EXISTS: "choose another name, or add --if-not-exists",
    ErrorCode.INVALID_CONFIG: "see all settings with 'ottla topic describe TOPIC --json'",
    ErrorCode.UNKNOWN_TOPIC_OR_PARTITION: "see what there is with 'ottla topic list'",
}
"""What to do about refusals to which the broker does not say it."""

config_option = click.option(
    "--config",
    "configs",
    type=Pair(),
    multiple=True,
    metavar="KEY=VALUE",
    help="A setting, by Kafka's name; can be repeated.",
)


@click.group()
def topic() -> None:
    """Create, list, describe, alter and delete topics.

    \b
    Example:
      $ ottla topic create orders --partitions 6 && ottla topic describe orders
    """


@topic.command()
@click.argument("names", metavar="TOPIC...", nargs=-1, required=True)
@click.option("--partitions", type=PARTITIONS, help="[default: the broker's, 1]")
@click.option(
    "--replication-factor",
    type=click.IntRange(1, INT16_MAX),
    help="[default: the broker's, 3 or as many as there are brokers]",
)
@config_option
@click.option("--if-not-exists", is_flag=True, help="A topic that is there already is fine.")
@json_option
@cluster_options
def create(
    names: tuple[str, ...],
    configs: tuple[tuple[str, str], ...],
    *,
    bootstrap: str,
    if_not_exists: bool,
    as_json: bool,
    **numbers: int | None,
) -> None:
    """Create topics.

    \b
    Examples:
      $ ottla topic create orders --partitions 6
      $ ottla topic create audit --config retention.ms=-1 --config min.insync.replicas=2
    """
    asked = [
        NewTopic(
            name,
            numbers["partitions"] or DEFAULT,
            numbers["replication_factor"] or DEFAULT,
            dict(configs),
        )
        for name in names
    ]

    async def main() -> Mapping[str, CreatedTopic | RequestError]:
        async with Admin(bootstrap) as admin:
            return await admin.create_topics(asked)

    results = run_client(main)
    created = [one for one in results.values() if isinstance(one, CreatedTopic)]
    if as_json:
        click.echo(json.dumps({"created": [_describe_created(one) for one in created]}))
    else:
        for one in created:
            click.echo(
                f"created {one.name}: {count_of(one.partitions, 'partition')},"
                f" {count_of(one.replication_factor, 'replica')} each"
            )
    _require_none_refused(
        one
        for one in results.values()
        if isinstance(one, RequestError)
        and not (if_not_exists and one.code is ErrorCode.TOPIC_ALREADY_EXISTS)
    )


@topic.command("list")
@click.option("--internal", is_flag=True, help="List the cluster's own topics as well.")
@json_option
@cluster_options
def list_topics(*, bootstrap: str, internal: bool, as_json: bool) -> None:
    """List topics; FLUSH is when records reach the disk: commit (before acks=all) or os.

    \b
    Example:
      $ ottla topic list
    """
    described = _describe_all(bootstrap, None)
    found = [_summarize(one) for one in described if internal or not one["internal"]]
    if as_json:
        click.echo(json.dumps({"topics": found}))
    elif found:
        rows = [[str(cell) for cell in one.values()] for one in found]
        click.echo(columns(("TOPIC", "PARTITIONS", "REPLICAS", "FLUSH"), rows))
    else:
        click.echo(NO_TOPICS, err=True)


@topic.command()
@click.argument("names", metavar="[TOPIC]...", nargs=-1)
@json_option
@cluster_options
def describe(names: tuple[str, ...], *, bootstrap: str, as_json: bool) -> None:
    """Show partitions, leaders, replicas and settings of topics, or of all.

    Settings that nobody has changed are shown with --json only.

    \b
    Example:
      $ ottla topic describe orders
    """
    found = _describe_all(bootstrap, names or None)
    if as_json:
        click.echo(json.dumps({"topics": found}, indent=2))
        return
    if found:
        click.echo("\n\n".join(_show(one) for one in found))
    else:
        click.echo(NO_TOPICS, err=True)


@topic.command()
@click.argument("name", metavar="TOPIC")
@click.option("--partitions", type=PARTITIONS, help="Widen to so many in all.")
@config_option
@click.option(
    "--delete-config",
    "deleted",
    multiple=True,
    metavar="KEY",
    help="Put a setting back to its default; can be repeated.",
)
@cluster_options
def alter(
    name: str,
    configs: tuple[tuple[str, str], ...],
    *,
    bootstrap: str,
    partitions: int | None,
    deleted: tuple[str, ...],
) -> None:
    """Change settings of a topic, or give it more partitions.

    With more partitions the records of a key may go to another one than before.

    \b
    Example:
      $ ottla topic alter orders --partitions 12 --config retention.ms=86400000
    """
    changes: dict[str, str | None] = {**dict(configs), **dict.fromkeys(deleted)}
    if not changes and partitions is None:
        raise click.UsageError("give --partitions, --config or --delete-config")

    async def main() -> None:
        async with Admin(bootstrap) as admin:
            if changes:
                await admin.alter_configs(ResourceType.TOPIC, name, changes)
            if partitions is not None:
                await admin.create_partitions(name, partitions)

    try:
        run_client(main)
    except RequestError as error:
        _require_none_refused([error])
    click.echo(f"altered {name}")


@topic.command()
@click.argument("names", metavar="TOPIC...", nargs=-1, required=True)
@json_option
@cluster_options
def delete(names: tuple[str, ...], *, bootstrap: str, as_json: bool) -> None:
    """Delete topics and all their records.

    \b
    Example:
      $ ottla topic delete orders
    """

    async def main() -> Mapping[str, RequestError | None]:
        async with Admin(bootstrap) as admin:
            return await admin.delete_topics(names)

    results = run_client(main)
    deleted = [name for name, refused in results.items() if refused is None]
    if as_json:
        click.echo(json.dumps({"deleted": deleted}))
    else:
        for name in deleted:
            click.echo(f"deleted {name}")
    _require_none_refused(refused for refused in results.values() if refused is not None)


def _describe_all(bootstrap: str, names: Iterable[str] | None) -> list[dict[str, Any]]:
    """Describe topics with their settings, sorted by name. Raises: OttlaError."""

    async def main() -> list[dict[str, Any]]:
        async with Admin(bootstrap) as admin:
            topics = await admin.describe_topics(names)
            settings = await _settings(admin, topics)
        return [_describe(topics[name], *settings[name]) for name in sorted(topics)]

    return run_client(main)


Settings = tuple[dict[str, str | None], dict[str, str | None]]
"""All settings of a topic, and those that somebody has changed."""


async def _settings(admin: Admin, names: Iterable[str]) -> dict[str, Settings]:
    found: dict[str, Settings] = {}
    limit = trio.CapacityLimiter(LOOKUPS_AT_ONCE)

    async def look_up(name: str) -> None:
        async with limit:
            entries = await admin.describe_configs(ResourceType.TOPIC, name)
        found[name] = (
            {entry.name: entry.value for entry in entries},
            {entry.name: entry.value for entry in entries if not entry.is_default},
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


def _describe_created(created: CreatedTopic) -> dict[str, Any]:
    return {
        "name": created.name,
        "topic_id": created.topic_id.hex(),
        "partitions": created.partitions,
        "replication_factor": created.replication_factor,
    }


def _summarize(described: dict[str, Any]) -> dict[str, Any]:
    partitions = described["partitions"]
    return {
        "name": described["name"],
        "partitions": len(partitions),
        "replication_factor": max((len(one["replicas"]) for one in partitions), default=0),
        "flush": described["flush"],
    }


def _show(described: dict[str, Any]) -> str:
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
    return "\n".join(
        [
            f"{title}, flush {described['flush']}, id {described['topic_id']}",
            *(f"  {setting}" for setting in settings if not setting.startswith(FLUSH)),
            columns(("PARTITION", "LEADER", "EPOCH", "REPLICAS", "ISR"), partitions),
        ]
    )


def _numbers(numbers: list[int]) -> str:
    return ",".join(map(str, numbers)) or "-"


def _require_none_refused(errors: Iterable[RequestError]) -> None:
    """Raise one error for all refusals, with the next step for the first. Raises: CommandFailed."""
    refused = list(errors)
    if refused:
        causes = "; ".join(map(str, refused))
        raise CommandFailed(causes, next_step=NEXT_STEPS.get(refused[0].code, ""))
